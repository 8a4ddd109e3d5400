import type { Known } from '../audit.ts';
import { type Finding, finding, printed, WHY } from '../finding.ts';
import { indexOf } from '../tree.ts';

/** What the index that a package came from says of it today. */
export type Listing =
  | { readonly state: 'unreachable'; readonly reason: string; readonly uploaded?: undefined }
  | { readonly state: 'gone'; readonly uploaded?: undefined }
  | {
      readonly state: 'listed';
      /** Hashes by file name; empty where the index says none. */
      readonly hashes: ReadonlyMap<string, readonly string[]>;
      readonly uploaded?: string | undefined;
      /** Its authors' words. */
      readonly deprecated?: string | undefined;
      /** Who could publish when this version was, and who did, where the index says. */
      readonly maintainers?: readonly string[] | undefined;
      readonly publisher?: string | undefined;
      /** PEP 592: the reason, empty where none is given. */
      readonly yanked?: string | undefined;
    };

export function checkListings({ packages, listings }: Known): readonly Finding[] {
  if (!listings) return [];
  const found: Finding[] = [];
  for (const one of packages) {
    const { ref, files } = one;
    const listing = listings.get(ref);
    if (!listing) continue;
    if (listing.state === 'unreachable') {
      const silence = { source: indexOf(one), what: 'Could not be asked about', why: printed(listing.reason, WHY) };
      found.push(finding('not-checked', ref, `Its index could not be asked: ${printed(listing.reason)}`, { silence }));
    } else if (listing.state === 'gone') found.push(finding('withdrawn', ref, 'Its index no longer lists it'));
    else {
      for (const { file, integrity } of files) {
        const hashes = listing.hashes.get(file);
        if (hashes === undefined) found.push(finding('withdrawn', ref, `Its index no longer lists ${file}`));
        else if (hashes.length > 0 && !hashes.includes(integrity)) {
          found.push(
            finding('integrity', ref, `Its index lists other bytes under the name ${file}`, {
              evidence: [`locked ${integrity}`, ...hashes.slice(0, 4).map((one) => `listed ${one}`)],
            }),
          );
        }
      }
      if (listing.deprecated !== undefined)
        found.push(finding('deprecated', ref, `Deprecated: ${printed(listing.deprecated)}`));
      if (listing.yanked !== undefined)
        found.push(finding('yanked', ref, `Yanked${listing.yanked ? `: ${printed(listing.yanked)}` : ''}`));
    }
  }
  return found;
}
