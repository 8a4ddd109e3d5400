import { LOCAL_INDEX } from '../../builders/index.ts';
import { DEFAULT_VETTING, matches, parseDuration } from '../../trust/index.ts';
import type { Known } from '../audit.ts';
import { type Finding, finding } from '../finding.ts';
import { nameOf, type Package } from '../tree.ts';

const DAY = 86_400_000;
/** In milliseconds: most hijacked releases are found within hours. */
const STANDARD = 3 * DAY;

/** How long ago an index received each package, by the lock and by what the index says today: the younger of both counts. */
export function checkAge(known: Known): readonly Finding[] {
  const { packages, listings, now, rules = DEFAULT_VETTING } = known;
  const wanted = rules.releaseAge === undefined ? STANDARD : (parseDuration(rules.releaseAge) ?? STANDARD);
  const found: Finding[] = [];
  for (const one of packages) {
    // Debian's archive says when a suite was made, not when it received a package; a base's age is its own policy.
    if (one.kind === 'deb' || one.base) continue;
    // No index has received it: whoever named the file took this very one.
    if (one.files.some(({ index }) => index === LOCAL_INDEX)) continue;
    if (rules.releaseAgeExcept.some((pattern) => matches(pattern, nameOf(one)))) continue;
    const times = uploads(one, listings?.get(one.ref)?.uploaded);
    if (times.length === 0) {
      found.push(finding('age-unknown', one.ref, 'No index says when it received it'));
      continue;
    }
    const newest = Math.max(...times);
    const age = now.getTime() - newest;
    if (age >= wanted) continue;
    if (rules.securityFixes && fixesAdvisory(one, known)) continue;
    found.push(
      finding('too-new', one.ref, `Published ${describeAge(age)} ago; ${wanted / DAY} days are asked for`, {
        evidence: [new Date(newest).toISOString()],
      }),
    );
  }
  return found;
}

function uploads({ files }: Package, listed: string | undefined): readonly number[] {
  const said = [...files.map(({ uploaded }) => uploaded), listed].filter((one) => one !== undefined);
  return said.map((one) => Date.parse(one)).filter((one) => !Number.isNaN(one));
}

/** A fix may be young, but only where the version before it, in the lock that this one follows, is known to be affected and this one isn't. */
function fixesAdvisory(one: Package, { previous, advisories }: Known): boolean {
  if (!advisories || !previous) return false;
  const before = previous.packages.filter(
    ({ kind, name, version }) => kind === one.kind && name === one.name && version !== one.version,
  );
  if (before.length === 0 || advisories.matching(one).length > 0) return false;
  return before.some((earlier) => advisories.matching(earlier).some(({ malware }) => !malware));
}

function describeAge(age: number): string {
  if (age < 0) return 'in the future, not';
  const hours = age / 3_600_000;
  return hours < 48 ? `${Math.floor(hours)} h` : `${Math.floor(hours / 24)} days`;
}
