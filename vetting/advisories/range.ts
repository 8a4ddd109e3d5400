import semver from 'semver';
import { compareDebian } from '../../builders/debian/index.ts';
import { compareVersions } from '../../trust/index.ts';
import type { Advisory, AdvisoryEcosystem, Event } from './record.ts';

/** Orders two versions by the rules of an ecosystem; undefined where one of them is none. */
export type Compare = (a: string, b: string) => number | undefined;

export function compareOf(ecosystem: AdvisoryEcosystem): Compare {
  if (ecosystem === 'npm') return compareSemver;
  if (ecosystem === 'PyPI') return (a, b) => compareVersions('pypi', a, b);
  return compareDebian;
}

function compareSemver(a: string, b: string): number | undefined {
  const [left, right] = [semver.parse(a, { loose: true }), semver.parse(b, { loose: true })];
  return left && right ? left.compare(right) : undefined;
}

export type Affected =
  | { readonly affected: false }
  | { readonly affected: true; readonly fixed?: string; readonly unsure?: string };

/**
 * Whether a version has the flaw (OSV schema, "Evaluation"): in the list of versions, or within one of the ranges. What can't be compared is
 * taken as affected, and says so: an unreadable advisory is not an absent one.
 */
export function isAffected(
  { versions, ranges }: Pick<Advisory, 'versions' | 'ranges'>,
  version: string,
  compare: Compare,
): Affected {
  // A list beside ranges is the ranges spelt out; alone it may spell the same version another way.
  const listed =
    versions.includes(version) || (ranges.length === 0 && versions.some((one) => compare(one, version) === 0));
  let fixed: string | undefined;
  let inside = false;
  let unsure: string | undefined;
  for (const events of ranges) {
    const result = within(events, version, compare);
    if ('unsure' in result) unsure ??= result.unsure;
    else {
      inside ||= result.inside;
      if (result.inside || listed) fixed = earlier(fixed, result.fixed, compare);
    }
  }
  if (listed || inside) return { affected: true, ...(fixed === undefined ? {} : { fixed }) };
  return unsure === undefined ? { affected: false } : { affected: true, unsure };
}

function within(
  events: readonly Event[],
  version: string,
  compare: Compare,
): { inside: boolean; fixed: string | undefined } | { unsure: string } {
  let start: string | undefined;
  let startsAtAll = false;
  let best: string | undefined;
  let stopped = false;
  for (const event of events) {
    if ('introduced' in event) {
      const order = event.introduced === '0' ? 1 : compare(version, event.introduced);
      if (order === undefined) return { unsure: event.introduced };
      if (order < 0) continue;
      startsAtAll = true;
      if (event.introduced !== '0') start = later(start, event.introduced, compare);
    }
  }
  if (!startsAtAll) return { inside: false, fixed: undefined };
  for (const event of events) {
    if ('introduced' in event) continue;
    const at = 'fixed' in event ? event.fixed : 'last' in event ? event.last : event.limit;
    const order = compare(version, at);
    if (order === undefined) return { unsure: at };
    // An end before the latest start that applies belongs to an earlier stretch.
    const belongs = start === undefined || (compare(at, start) ?? 0) >= ('last' in event ? 0 : 1);
    if ('last' in event ? order > 0 : order >= 0) {
      if (belongs) stopped = true;
    } else if ('fixed' in event) best = earlier(best, event.fixed, compare);
  }
  return { inside: !stopped, fixed: best };
}

function earlier(a: string | undefined, b: string | undefined, compare: Compare): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return (compare(a, b) ?? 0) <= 0 ? a : b;
}

function later(a: string | undefined, b: string, compare: Compare): string {
  if (a === undefined) return b;
  return (compare(a, b) ?? 0) >= 0 ? a : b;
}
