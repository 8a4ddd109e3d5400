import { isFault, McpBuildError } from '../errors/index.ts';
import { isManifestType } from './media.ts';
import { openPool, type Pool } from './pool.ts';
import type { RemoteStore } from './remote.ts';
import type { Descriptor, Store } from './store.ts';
import { type Tree, treeOf } from './walk.ts';

export type CopyEvent =
  /** Bytes of a blob on their way; a repeated transfer counts again. */
  | { readonly kind: 'bytes'; readonly descriptor: Descriptor; readonly bytes: number }
  | { readonly kind: 'sent' | 'mounted' | 'present'; readonly descriptor: Descriptor }
  /** A referrer that its list names but that isn't one, or isn't there. */
  | { readonly kind: 'ignored'; readonly descriptor: Descriptor; readonly reason: string }
  | { readonly kind: 'tagged'; readonly tag: string };

export interface CopyOptions {
  /** Take along what refers to the image (signatures, attestations), and what refers to that. Default true. */
  readonly referrers?: boolean;
  /** Tags to set when everything is there. */
  readonly tags?: readonly string[];
  /** A repository of the target's registry that may have some of the blobs (the base image's): they are mounted from there. */
  readonly mountFrom?: string;
  readonly progress?: (event: CopyEvent) => void;
  /** Blobs at a time, of the image and of each referrer; 4 by default. With 1 everything is written one after the other, in the same order each time. */
  readonly parallel?: number;
}

export interface Copied {
  /** Blobs and manifests that were written. */
  readonly sent: number;
  readonly mounted: number;
  /** Blobs that were there. */
  readonly present: number;
  /** Of blobs, in bytes. */
  readonly bytes: number;
  /** Referrers that were written. */
  readonly referrers: number;
}

/** What one subject may have, and how deep referrers of referrers go: a list is whatever somebody with a push right wrote. */
const REFERRERS = 1_000;
const DEPTH = 4;
/** Lists, and manifests of referrers, at a time. */
const LISTS = 8;

/**
 * Copies an image or index with all it points at: children before what points at them, tags last, so that nobody who follows a tag
 * ever meets half an image, or one whose signatures are still on their way.
 * @throws McpBuildError what reading the one store and writing the other throw; `referrers-unavailable`
 */
export async function copy(from: Store, to: Store, root: Descriptor, options: CopyOptions = {}): Promise<Copied> {
  const totals = { sent: 0, mounted: 0, present: 0, bytes: 0, referrers: 0 };
  const pool = openPool(options.parallel ?? 4);
  const run: Run = { from, to, pool, totals, options, done: new Set() };
  const tags = options.tags ?? [];
  const tree = await treeOf(from, root);
  const at = new Map<string, string | undefined>();
  for (const tag of tags) at.set(tag, await digestAt(to, tag));
  // A registry keeps no tag on, and no manifest of, what isn't there in full.
  const present = to.whole === true && ([...at.values()].includes(root.digest) || (await to.has(root)));
  const subjects = options.referrers === false ? [] : tree.nodes.map((node) => node.descriptor);
  // Asked for while the blobs are on their way: over a network each list costs two round trips.
  const lists = listsOf(run, subjects);
  lists.catch(() => undefined);
  if (!present) await copyTree(run, tree);
  await copyReferrers(run, await lists, 0);
  for (const tag of tags) {
    if (at.get(tag) === root.digest) continue;
    await to.tag(tag, root);
    options.progress?.({ kind: 'tagged', tag });
  }
  return totals;
}

interface Run {
  readonly from: Store;
  readonly to: Store;
  readonly pool: Pool;
  readonly totals: { -readonly [Field in keyof Copied]: number };
  readonly options: CopyOptions;
  /** Blobs that this copy has seen to. */
  readonly done: Set<string>;
}

async function copyTree(run: Run, tree: Tree): Promise<void> {
  // The largest first: the last one to end is then a small one.
  const blobs = tree.blobs.filter((blob) => !run.done.has(blob.digest)).sort((a, b) => b.size - a.size);
  await run.pool.each(blobs, (blob) => copyBlob(run, blob));
  for (const { bytes, descriptor } of tree.nodes) {
    await run.to.writeManifest(bytes, descriptor.mediaType);
    run.totals.sent++;
    run.options.progress?.({ kind: 'sent', descriptor });
  }
}

async function copyBlob(run: Run, descriptor: Descriptor): Promise<void> {
  const { from, to, totals, options } = run;
  const tell = (kind: 'sent' | 'mounted' | 'present') => {
    run.done.add(descriptor.digest);
    totals[kind]++;
    options.progress?.({ kind, descriptor });
  };
  if (await to.has(descriptor)) return tell('present');
  const seen = (bytes: number) => {
    totals.bytes += bytes;
    options.progress?.({ kind: 'bytes', descriptor, bytes });
  };
  const write = async (bytes: AsyncIterable<Uint8Array>): Promise<'sent' | 'mounted'> => {
    if (isRemote(to)) return to.upload(descriptor, bytes, mountSource(from, to, options));
    await to.write(descriptor, bytes, lending);
    return 'sent';
  };
  const lending = { lent: to.borrows === true };
  try {
    // The writer hashes: doing so on the way out as well would be for nothing.
    tell(await write(run.pool.watched(from.open?.(descriptor, lending) ?? from.read(descriptor), seen)));
  } catch (error) {
    if (!from.open || !isFault(error, 'integrity')) throw error;
    // Read with its own check the source says that it is the one at fault, and a layout puts the damaged blob aside.
    tell(await write(run.pool.watched(from.read(descriptor))));
  }
}

interface List {
  readonly subject: Descriptor;
  readonly referrers: readonly Descriptor[];
}

/** What refers to each of the subjects, without those that nothing refers to. */
async function listsOf(run: Run, subjects: readonly Descriptor[]): Promise<readonly List[]> {
  const lists = new Map<string, List>();
  await openPool(LISTS).each(subjects, async (subject) => {
    const referrers = (await run.from.referrers(subject.digest)).filter((one) => isManifestType(one.mediaType));
    lists.set(subject.digest, { subject, referrers });
  });
  return subjects.map((subject) => lists.get(subject.digest)!).filter((list) => list.referrers.length > 0);
}

/** The root's own last: who finds that signed can rely on what each platform's manifest needs being there. */
async function copyReferrers(run: Run, lists: readonly List[], depth: number): Promise<void> {
  // A tar takes one blob at a time, and is to have the same bytes each time.
  const atOnce = run.options.parallel === 1 ? 1 : LISTS;
  const copyOne = async ({ subject, referrers }: List): Promise<void> => {
    if (depth === DEPTH || referrers.length > REFERRERS) throw tooMany(run.from.name, subject);
    const there = new Set((await run.to.referrers(subject.digest)).map((one) => one.digest));
    const trees: Tree[] = [];
    for (const referrer of referrers) {
      if (there.has(referrer.digest)) continue;
      const tree = await treeOfReferrer(run, referrer, subject);
      if (tree) trees.push(tree);
    }
    // All blobs first, then all manifests at once: a registry without the referrers API then gets one new list instead of many.
    const blobs = trees.flatMap((tree) => tree.blobs);
    await run.pool.each(unique(blobs, run.done), (blob) => copyBlob(run, blob));
    await openPool(atOnce).each(trees, async (tree) => {
      await copyTree(run, tree);
      run.totals.referrers++;
    });
    await copyReferrers(run, await listsOf(run, referrers), depth + 1);
  };
  // Where a registry keeps lists by tag, each subject's is watched for a while after it was written.
  await openPool(atOnce).each(lists.slice(0, -1), copyOne);
  await openPool(atOnce).each(lists.slice(-1), copyOne);
}

async function treeOfReferrer(run: Run, referrer: Descriptor, subject: Descriptor): Promise<Tree | undefined> {
  try {
    const tree = await treeOf(run.from, referrer);
    if (tree.nodes.at(-1)?.manifest.subject?.digest === subject.digest) return tree;
    run.options.progress?.({ kind: 'ignored', descriptor: referrer, reason: 'it speaks of something else' });
  } catch (error) {
    // Lists outlive what they name; whoever verifies the copy finds what is missing.
    if (!isFault(error, 'not-found') && !isFault(error, 'manifest-invalid')) throw error;
    run.options.progress?.({ kind: 'ignored', descriptor: referrer, reason: error.message });
  }
  return undefined;
}

function unique(blobs: readonly Descriptor[], done: ReadonlySet<string>): readonly Descriptor[] {
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()].filter((blob) => !done.has(blob.digest));
}

async function digestAt(store: Store, tag: string): Promise<string | undefined> {
  try {
    return (await store.resolve(tag)).digest;
  } catch (error) {
    if (isFault(error, 'not-found')) return undefined;
    throw error;
  }
}

function isRemote(store: Store): store is RemoteStore {
  return 'upload' in store;
}

function mountSource(from: Store, to: RemoteStore, options: CopyOptions): string | undefined {
  if (isRemote(from) && from.registry === to.registry && from.repository !== to.repository) return from.repository;
  return options.mountFrom === to.repository ? undefined : options.mountFrom;
}

function tooMany(store: string, subject: Descriptor): McpBuildError {
  return new McpBuildError({
    code: 'referrers-unavailable',
    message: `${store} lists more than ${REFERRERS} referrers of ${subject.digest}, or referrers of referrers more than ${DEPTH} deep`,
    input: subject.digest,
    fix: 'Remove what does not belong there, or copy the image without its referrers.',
  });
}
