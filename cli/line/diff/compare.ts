import { isDeepStrictEqual } from 'node:util';
import type { Finding } from '../../../vetting/index.ts';
import { type Edit, editsOf } from './definitions.ts';
import type { PackageSide, Side } from './side.ts';

export interface PackageChange {
  /** `npm:zod`. */
  readonly name: string;
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly base: boolean;
  /** Comes from an index of security updates now. */
  readonly security: boolean;
  /** Where the licence isn't what it was; undefined where it is, or isn't known on both sides. */
  readonly licence?: { readonly from: readonly string[]; readonly to: readonly string[] };
}

export interface OfferEdits {
  /** `tool x`, `prompt x`, … */
  readonly name: string;
  readonly edits: readonly Edit[];
  /** How many there are beside these. */
  readonly more: number;
}

/** What is different between two sides, in the order in which a reviewer wants it. */
export interface Difference {
  readonly name: string;
  readonly source: { readonly from: string; readonly to: string } | undefined;
  readonly version: { readonly from: string; readonly to: string };
  readonly packages: {
    readonly added: readonly PackageChange[];
    readonly removed: readonly PackageChange[];
    readonly changed: readonly PackageChange[];
  };
  readonly permissions: { readonly from: unknown; readonly to: unknown } | undefined;
  readonly offer:
    | {
        readonly added: readonly string[];
        readonly removed: readonly string[];
        readonly changed: readonly string[];
        /** What is different in those that changed, where both definitions are recorded. */
        readonly edits: readonly OfferEdits[];
      }
    | undefined;
  /** In bytes, by platform. */
  readonly sizes: readonly { readonly platform: string; readonly from: number; readonly to: number }[];
  /** What an audit finds now and didn't before. */
  readonly findings: readonly Finding[];
}

/** Pure. @param findings of each side, where there was an audit */
export function compareSides(
  before: Side,
  after: Side,
  findings: { readonly before: readonly Finding[]; readonly after: readonly Finding[] } = { before: [], after: [] },
): Difference {
  const names = [...new Set([...before.packages.keys(), ...after.packages.keys()])].sort();
  const changes = names.flatMap((name): PackageChange[] => {
    const change = changeOf(name, before.packages.get(name), after.packages.get(name));
    return change ? [change] : [];
  });
  const known = new Set(findings.before.map(keyOf));
  return {
    name: after.name,
    source: before.source === after.source ? undefined : { from: before.source, to: after.source },
    version: { from: before.version, to: after.version },
    packages: {
      added: changes.filter(({ from }) => from.length === 0),
      removed: changes.filter(({ to }) => to.length === 0),
      changed: changes.filter(({ from, to }) => from.length > 0 && to.length > 0),
    },
    permissions:
      before.permissions && after.permissions && !isDeepStrictEqual(plain(before.permissions), plain(after.permissions))
        ? { from: before.permissions, to: after.permissions }
        : undefined,
    offer: before.offer && after.offer ? offerOf(before, after, before.offer, after.offer) : undefined,
    sizes: [...after.sizes].flatMap(([platform, to]) => {
      const from = before.sizes.get(platform);
      return from === undefined || from === to ? [] : [{ platform, from, to }];
    }),
    findings: findings.after.filter((one) => one.code !== 'new-dependency' && !known.has(keyOf(one))),
  };
}

/** Whether there is nothing to review. */
export function isSame({ source, version, packages, permissions, offer }: Difference): boolean {
  const { added, removed, changed } = packages;
  return (
    !source &&
    version.from === version.to &&
    added.length + removed.length + changed.length === 0 &&
    !permissions &&
    !offer
  );
}

function changeOf(
  name: string,
  before: PackageSide | undefined,
  after: PackageSide | undefined,
): PackageChange | undefined {
  const from = before?.versions ?? [];
  const to = after?.versions ?? [];
  const licence =
    before &&
    after &&
    before.licences.length > 0 &&
    after.licences.length > 0 &&
    !isDeepStrictEqual(before.licences, after.licences)
      ? { licence: { from: before.licences, to: after.licences } }
      : {};
  if (isDeepStrictEqual(from, to) && !('licence' in licence)) return undefined;
  const base = (before?.base ?? true) && (after?.base ?? true);
  return { name, from, to, base, security: after?.security ?? false, ...licence };
}

function offerOf(
  sideBefore: Side,
  sideAfter: Side,
  before: ReadonlyMap<string, readonly string[]>,
  after: ReadonlyMap<string, readonly string[]>,
): Difference['offer'] {
  const added = [...after.keys()].filter((name) => !before.has(name));
  const removed = [...before.keys()].filter((name) => !after.has(name));
  // Of a name with several definitions, one that isn't seen again is no change: the others were there before.
  const changed = [...after].flatMap(([name, digests]) => {
    const known = before.get(name);
    return known && digests.some((digest) => !known.includes(digest)) ? [name] : [];
  });
  const edits = changed.flatMap((name): OfferEdits[] => {
    const [from, to] = [sideBefore.definitions?.get(name), sideAfter.definitions?.get(name)];
    if (from === undefined || to === undefined) return [];
    const [old = [], now = []] = [before.get(name), after.get(name)];
    const gone = from.filter((_, at) => !now.includes(old[at] ?? ''));
    const fresh = to.filter((_, at) => !old.includes(now[at] ?? ''));
    const each = fresh.map((one, at) => editsOf(gone[at] ?? from[0], one));
    return [{ name, edits: each.flatMap((one) => one.edits), more: each.reduce((sum, one) => sum + one.more, 0) }];
  });
  return added.length + removed.length + changed.length === 0 ? undefined : { added, removed, changed, edits };
}

/** The same finding about another version of a package is no news. */
function keyOf({ code, subject, id }: Finding): string {
  return `${code} ${subject.replace(/(.)@[^@]*$/, '$1')} ${id ?? ''}`;
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
