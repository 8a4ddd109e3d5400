import { matches } from '../../trust/index.ts';
import type { Known } from '../audit.ts';
import { type Finding, finding } from '../finding.ts';
import { nameOf } from '../tree.ts';

/**
 * Names that the policy binds to an index must have come from it. A lock names indexes as the user's configuration does, so an internal name
 * that some other index was the first to answer for shows here.
 */
export function checkSources({ packages, rules }: Known): readonly Finding[] {
  const found: Finding[] = [];
  for (const one of packages) {
    const bound = rules.sources.find(({ names }) => names.some((pattern) => matches(pattern, nameOf(one))));
    if (!bound) continue;
    for (const index of new Set(one.files.map((file) => file.index))) {
      if (index === bound.index) continue;
      found.push(
        finding(
          'wrong-source',
          one.ref,
          `Came from the index "${index}"; the policy binds its name to "${bound.index}"`,
        ),
      );
    }
  }
  return found;
}
