import type { Known } from '../audit.ts';
import { type Finding, finding, printed } from '../finding.ts';
import { nameOf } from '../tree.ts';

/** Of names that are told. */
const TOLD = 10;

/**
 * Who may publish a package now and couldn't when the version before was published. Most packages that were taken over were so by a new maintainer, or by
 * an account that had never published before; most new maintainers are just that, so it is for a reviewer to know. It is the index's word. Where an index
 * doesn't say, for either version, nothing is found.
 */
export function checkMaintainers({ packages, listings, previous }: Known): readonly Finding[] {
  if (!listings || !previous?.listings) return [];
  const found: Finding[] = [];
  for (const one of packages) {
    const now = listings.get(one.ref);
    if (now?.state !== 'listed' || one.base) continue;
    const before = previous.packages.filter((other) => nameOf(other) === nameOf(one));
    if (before.some(({ version }) => version === one.version)) continue;
    const then = before.flatMap(({ ref, version }) => {
      const listing = previous.listings?.get(ref);
      return listing?.state === 'listed' && listing.maintainers ? [{ ...listing, version }] : [];
    });
    if (then.length === 0) continue;
    const known = new Set(then.flatMap(({ maintainers, publisher }) => [...(maintainers ?? []), publisher ?? '']));
    const since = then.map(({ version }) => version).join(', ');
    const added = (now.maintainers ?? []).filter((name) => !known.has(name));
    if (now.publisher !== undefined && !known.has(now.publisher)) {
      const by = printed(now.publisher, 60);
      const others = added.filter((name) => name !== now.publisher);
      const more = others.length > 0 ? `; new besides: ${told(others)}` : '';
      found.push(
        finding('new-maintainer', one.ref, `Published by ${by}, who did not maintain ${printed(since, 60)}${more}`, {
          severity: 'medium',
        }),
      );
    } else if (added.length > 0) {
      found.push(finding('new-maintainer', one.ref, `New maintainers since ${printed(since, 60)}: ${told(added)}`));
    }
  }
  return found;
}

function told(names: readonly string[]): string {
  const more = names.length > TOLD ? `, and ${names.length - TOLD} more` : '';
  return `${names
    .slice(0, TOLD)
    .map((name) => printed(name, 60))
    .join(', ')}${more}`;
}
