import { isWorse } from '../../trust/index.ts';
import type { Package } from '../tree.ts';
import { type Compare, compareOf, isAffected } from './range.ts';
import type { Advisory, AdvisoryEcosystem, Match } from './record.ts';

/** What a package is called in OSV. Debian's advisories are about source packages. */
export interface Identity {
  readonly ecosystem: AdvisoryEcosystem;
  readonly name: string;
  readonly version: string;
}

const SUITES: Readonly<Record<string, number>> = { bullseye: 11, bookworm: 12, trixie: 13, forky: 14 };

/** @returns undefined where nobody can tell which advisories would be about it */
export function identityOf({
  kind,
  name,
  version,
  files,
}: Pick<Package, 'kind' | 'name' | 'version' | 'files'>): Identity | undefined {
  if (kind === 'npm') return { ecosystem: 'npm', name, version };
  if (kind === 'wheel') return { ecosystem: 'PyPI', name, version };
  const [file] = files;
  const release = SUITES[(file?.index ?? '').split(/[-_]/)[0] ?? ''];
  // The pool has one folder a source package: pool/main/g/glibc/libc6_2.41-12_amd64.deb.
  const source = /^pool\/(?:updates\/)?[^/]+\/[^/]+\/([a-z0-9][a-z0-9.+-]+)\/[^/]+$/.exec(file?.file ?? '')?.[1];
  if (release === undefined || source === undefined) return undefined;
  // A rebuild for one architecture has the source's version, with a suffix.
  return { ecosystem: `Debian:${release}`, name: source, version: version.replace(/\+b\d+$/, '') };
}

/** The advisories that are about a version, those of one flaw as one. @param advisories all that name the package */
export function matching(advisories: readonly Advisory[], { ecosystem, version }: Identity): readonly Match[] {
  const compare = compareOf(ecosystem);
  const hits = advisories.flatMap((advisory) => {
    const result = isAffected(advisory, version, compare);
    return result.affected ? [{ advisory, fixed: result.fixed, unsure: result.unsure }] : [];
  });
  return groups(hits).map((group) => merged(group, compare));
}

interface Hit {
  readonly advisory: Advisory;
  readonly fixed: string | undefined;
  readonly unsure: string | undefined;
}

/** Records that share a name, directly or through another one. Malware stays apart: it must not hide behind a flaw's alias. */
function groups(hits: readonly Hit[]): readonly (readonly Hit[])[] {
  const leader = new Map<string, string>();
  const find = (name: string): string => {
    let at = name;
    for (let up = leader.get(at); up !== undefined && up !== at; up = leader.get(at)) at = up;
    return at;
  };
  const key = ({ malware }: Advisory, name: string) => `${malware ? 'malware ' : ''}${name}`;
  for (const { advisory } of hits) {
    const own = find(key(advisory, advisory.id));
    leader.set(own, own);
    for (const alias of advisory.aliases) {
      const other = find(key(advisory, alias));
      leader.set(other, own);
    }
  }
  const found = new Map<string, Hit[]>();
  for (const hit of hits) {
    const at = find(key(hit.advisory, hit.advisory.id));
    found.set(at, [...(found.get(at) ?? []), hit]);
  }
  return [...found.values()];
}

function merged(group: readonly Hit[], compare: Compare): Match {
  const names = [...new Set(group.flatMap(({ advisory }) => [advisory.id, ...advisory.aliases]))].sort(byFame);
  const [id = 'unknown', ...aliases] = names;
  const rated = group.filter(({ advisory }) => advisory.rated);
  const judges = rated.length > 0 ? rated : group;
  const worst = judges.reduce((a, b) => (isWorse(b.advisory.severity, a.advisory.severity) ? b : a)).advisory;
  const score = Math.max(...judges.map(({ advisory }) => advisory.score ?? -1));
  // A later fix of one record counts: until then somebody holds the version for affected.
  const fixes = group.map(({ fixed }) => fixed);
  const fixed = fixes.every((one) => one !== undefined)
    ? fixes.reduce((a, b) => ((compare(a ?? '', b ?? '') ?? 0) >= 0 ? a : b))
    : undefined;
  const unsure = group.every((hit) => hit.unsure !== undefined) ? group[0]?.unsure : undefined;
  return {
    id,
    aliases,
    summary: group.map(({ advisory }) => advisory.summary).find((text) => text !== '') ?? '',
    severity: worst.severity,
    ...(score >= 0 ? { score } : {}),
    rated: rated.length > 0,
    malware: group.some(({ advisory }) => advisory.malware),
    ...(fixed === undefined ? {} : { fixed }),
    ...(unsure === undefined ? {} : { unsure }),
  };
}

function byFame(a: string, b: string): number {
  const fame = (id: string) => ['MAL-', 'CVE-', 'GHSA-', 'PYSEC-', 'DSA-'].findIndex((prefix) => id.startsWith(prefix));
  const rank = (id: string) => (fame(id) < 0 ? 9 : fame(id));
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}
