import { parseDuration } from '../../trust/index.ts';
import type { Known } from '../audit.ts';
import { type Finding, finding, printed } from '../finding.ts';
import { pathsOf } from '../tree.ts';
import type { Match } from './record.ts';

const DAY = 86_400_000;
/** In milliseconds. */
const STALE = 7 * DAY;

/** What is publicly known of every package, the base's included, and how old that knowledge is. */
export function checkAdvisories({ packages, advisories, rules, now, lock }: Known): readonly Finding[] {
  if (!advisories) return [finding('advisories-missing', lock.name, 'No advisories were compared with')];
  const paths = pathsOf(packages);
  const found: Finding[] = [];
  const limit = rules.advisoriesAge === undefined ? STALE : (parseDuration(rules.advisoriesAge) ?? STALE);
  const kinds = new Set(packages.map(({ kind }) => kind));
  for (const [ecosystem, kind] of [
    ['npm', 'npm'],
    ['PyPI', 'wheel'],
    ['Debian', 'deb'],
  ] as const) {
    if (!kinds.has(kind)) continue;
    const collected = advisories.collected.get(ecosystem);
    if (!collected)
      found.push(finding('advisories-missing', lock.name, `There are no advisories for ${ecosystem} packages`));
    else if (now.getTime() - collected.getTime() > limit) {
      found.push(
        finding(
          'advisories-stale',
          lock.name,
          `The advisories for ${ecosystem} packages are of ${collected.toISOString().slice(0, 10)}, ${Math.floor((now.getTime() - collected.getTime()) / DAY)} days old`,
        ),
      );
    }
  }
  if (advisories.unread > 0) {
    found.push(
      finding('advisories-missing', lock.name, `${advisories.unread} advisories could not be read`, {
        // An API names those of these very packages; an export has everybody's.
        severity: advisories.from === 'batch API' ? 'high' : 'medium',
      }),
    );
  }
  for (const one of packages) {
    for (const match of advisories.matching(one)) found.push(about(one.ref, match, paths.get(one.ref) ?? [one.ref]));
  }
  return found;
}

function about(ref: string, match: Match, path: readonly string[]): Finding {
  const { id, aliases, summary, severity, score, rated, malware, fixed, unsure } = match;
  const rating = malware ? '' : score !== undefined ? ` (CVSS ${score.toFixed(1)})` : rated ? '' : ' (nobody rated it)';
  return finding(malware ? 'malware' : 'known-vulnerable', ref, `${id}${rating}: ${printed(summary || 'no summary')}`, {
    severity,
    id,
    aliases,
    path,
    ...(fixed === undefined ? {} : { fixed, remedy: `Update to ${printed(fixed, 60)} or later.` }),
    evidence:
      unsure === undefined
        ? []
        : [`its range names "${printed(unsure, 60)}", which can't be compared: taken as affected`],
  });
}
