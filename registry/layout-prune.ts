import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../digest/index.ts';
import { makeFolders } from '../files/index.ts';
import { absent, ingestName, putBack } from './layout-blob.ts';
import { type LayoutIndex, plain, tagOf } from './layout-index.ts';
import { readDocument } from './layout-read.ts';
import { childrenOf, parseManifest } from './manifest.ts';
import { isManifestType } from './media.ts';
import { referrersTag, subjectOfTag } from './referrers.ts';
import type { Descriptor, Store } from './store.ts';

export interface PruneOptions {
  /** Digests to keep besides what tags reach. */
  readonly keep?: readonly Digest[];
  /** In milliseconds; blobs written or asked for since are spared, for someone is about to tag them. One hour by default. */
  readonly grace?: number;
}

export interface Pruned {
  readonly removed: readonly Digest[];
  /** Freed, in bytes. */
  readonly bytes: number;
}

export interface PruneParts {
  readonly store: Pick<Store, 'read' | 'name' | 'resolve'>;
  readonly folder: string;
  readonly blobs: string;
  readonly ingestFolder: string;
  readIndex(): Promise<LayoutIndex>;
  saveIndex(index: LayoutIndex): Promise<void>;
}

/**
 * Mark and sweep; the caller holds the layout's lock, so that no tag appears meanwhile. A writer who is still before its tag is
 * protected by `grace` (`has` and `write` make a blob young), and, should it be slower than that, told `not-found` by its `tag`.
 */
export async function prune(parts: PruneParts, options: PruneOptions): Promise<Pruned> {
  const before = Date.now() - (options.grace ?? 3_600_000);
  const index = await parts.readIndex();
  const marked = await mark(parts, index, options.keep ?? []);
  const young = async (digest: Digest): Promise<boolean> => {
    const found = await stat(join(parts.blobs, digest.slice(7))).catch(absent);
    return found !== undefined && found.mtimeMs > before;
  };
  const manifests: LayoutIndex['manifests'] = [];
  for (const entry of index.manifests) {
    const subject = subjectOfTag(tagOf(entry) ?? '');
    if (!subject || marked.has(subject) || (await young(entry.digest))) manifests.push(entry);
  }
  if (manifests.length !== index.manifests.length) await parts.saveIndex({ ...index, manifests });
  const pruned = await sweep(parts, marked, before);
  await sweepLeftovers(parts.ingestFolder, before, /^(\d+)-/);
  await sweepLeftovers(parts.folder, before, /^(?:index\.json|oci-layout|\.lock)\.(\d+)\..*\.tmp$/);
  return pruned;
}

async function mark(parts: PruneParts, index: LayoutIndex, keep: readonly Digest[]): Promise<ReadonlySet<string>> {
  const listed = new Map(index.manifests.map((entry) => [tagOf(entry), plain(entry)]));
  const marked = new Set<string>();
  const queue: Descriptor[] = [];
  const add = (descriptor: Descriptor) => {
    if (marked.has(descriptor.digest)) return;
    marked.add(descriptor.digest);
    if (isManifestType(descriptor.mediaType)) queue.push(descriptor);
  };
  for (const entry of index.manifests) if (!subjectOfTag(tagOf(entry) ?? '')) add(plain(entry));
  for (const digest of keep) {
    const descriptor = await parts.store.resolve(digest).catch(() => undefined);
    if (descriptor) add(descriptor);
    else marked.add(digest);
  }
  for (let next = queue.pop(); next; next = queue.pop()) {
    const referrers = listed.get(referrersTag(next.digest));
    if (referrers) add(referrers);
    try {
      const manifest = parseManifest(await readDocument(parts.store, next), next.mediaType, next.digest);
      for (const child of childrenOf(manifest)) add(child);
    } catch {
      // A missing or damaged manifest keeps nothing alive, and must not keep everything else from being pruned.
    }
  }
  return marked;
}

async function sweep(parts: PruneParts, marked: ReadonlySet<string>, before: number): Promise<Pruned> {
  const removed: Digest[] = [];
  let bytes = 0;
  await makeFolders(parts.ingestFolder);
  for (const name of (await readdir(parts.blobs).catch(absent)) ?? []) {
    const digest: Digest = `sha256:${name}`;
    const path = join(parts.blobs, name);
    const found = await stat(path).catch(absent);
    if (!found?.isFile() || marked.has(digest) || found.mtimeMs > before) continue;
    // Looked at again under a name where nobody finds it: whoever was told `has` in between has made it young.
    const grave = ingestName(parts.ingestFolder);
    await rename(path, grave);
    const last = await stat(grave);
    if (last.mtimeMs > before) {
      await putBack(grave, path);
      continue;
    }
    await rm(grave);
    removed.push(digest);
    bytes += last.size;
  }
  return { removed: removed.sort(), bytes };
}

/**
 * What writers that were killed left behind. The first group of `names` is the writer's pid; while that lives, its file is only
 * taken for forgotten after a day.
 */
async function sweepLeftovers(folder: string, before: number, names: RegExp): Promise<void> {
  for (const name of (await readdir(folder).catch(absent)) ?? []) {
    const pid = names.exec(name)?.[1];
    if (pid === undefined) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(absent);
    const limit = isAlive(Number(pid)) ? Math.min(before, Date.now() - 86_400_000) : before;
    if (found && found.mtimeMs <= limit) await rm(path, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
