import { readdir, readFile, stat } from 'node:fs/promises';
import { resolve as absolute, join } from 'node:path';
import { type Digest, hexOf, sha256 } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { makeFolders, withFileLock, writeAtomic } from '../files/index.ts';
import { absent, openFile, setAside, touch, writeBlob } from './layout-blob.ts';
import {
  findTag,
  formatLayoutIndex,
  type LayoutIndex,
  layoutInvalid,
  readLayoutIndex,
  type Tagged,
  withoutTag,
  withTag,
} from './layout-index.ts';
import { type Pruned, type PruneOptions, prune } from './layout-prune.ts';
import { type LayoutReader, layoutReader, notFound, replayable } from './layout-read.ts';
import { MEDIA } from './media.ts';
import { isLayoutTag, tagInvalid } from './reference.ts';
import { referralOf, referrersTag, subjectOfTag, withReferrer } from './referrers.ts';
import type { Descriptor, Store } from './store.ts';
import { treeOf } from './walk.ts';

export interface LayoutOptions {
  /** Make the layout when the folder is empty or missing. Default true. */
  readonly create?: boolean;
  /** Refuse every write before it starts. Default false. */
  readonly readOnly?: boolean;
}

export interface LayoutStore extends Omit<Store, keyof LayoutReader>, LayoutReader {
  readonly folder: string;
  /** Stores bytes whose digest isn't known yet. @throws McpBuildError `store-read-only`, `disk-full` */
  ingest(bytes: AsyncIterable<Uint8Array>, mediaType: string): Promise<Descriptor>;
  /** Sets tags as `tag` does, all at once or none: the index is written once. */
  tagAll(tags: readonly Tagged[]): Promise<void>;
  /** Takes a tag away; what it pointed at stays until `prune`. @throws McpBuildError `not-found` */
  untag(tag: string): Promise<void>;
  /** Removes what no tag reaches; safe while others write. */
  prune(options?: PruneOptions): Promise<Pruned>;
  /** Where a blob's file is, or would be. */
  pathOf(digest: Digest): string;
}

const VERSION = `${JSON.stringify({ imageLayoutVersion: '1.0.0' })}\n`;

/**
 * A store in a folder, in the form that skopeo, crane and umoci read (image-spec, image-layout.md). Several processes may use one
 * folder at once, and one killed at any point leaves a valid layout.
 * @throws McpBuildError `layout-invalid`, `store-read-only`; `not-found` with `create: false`
 */
export async function openLayout(folder: string, options: LayoutOptions = {}): Promise<LayoutStore> {
  const root = absolute(folder);
  await prepare(root, options.create !== false && options.readOnly !== true);
  const blobs = join(root, 'blobs', 'sha256');
  const ingestFolder = join(root, '.ingest');
  const pathOf = (digest: Digest) => join(blobs, hexOf(digest));
  const to = { pathOf, name: root };

  const writing = async <T>(work: () => Promise<T>): Promise<T> => {
    if (options.readOnly) throw readOnly(root);
    try {
      return await work();
    } catch (error) {
      throw writeFault(error, root);
    }
  };
  const locked = <T>(work: () => Promise<T>) => writing(() => withFileLock(join(root, '.lock'), work));
  const saveIndex = (index: LayoutIndex) => writeAtomic(join(root, 'index.json'), formatLayoutIndex(index));

  const reader = layoutReader({
    name: root,
    index: () => readLayoutIndex(root),
    size: async (digest) => {
      const found = await stat(pathOf(digest)).catch(absent);
      return found?.isFile() ? found.size : undefined;
    },
    open: (digest, lending) =>
      replayable(async function* () {
        const bytes = await openFile(pathOf(digest), lending);
        if (!bytes) throw notFound(root, digest);
        yield* bytes;
      }),
    rotten: async (digest) => {
      if (!options.readOnly) await setAside(pathOf(digest), digest, ingestFolder).catch(() => undefined);
    },
  });

  const has = async (descriptor: Descriptor): Promise<boolean> => {
    if (!(await reader.has(descriptor))) return false;
    // Young again, so that a prune which has already looked at it spares it until the tag is there.
    if (!options.readOnly) await touch(pathOf(descriptor.digest));
    return true;
  };

  /** Called under the lock, where no prune runs: what is found stays. */
  const requireWhole = async (descriptor: Descriptor): Promise<void> => {
    const { blobs: children } = await treeOf({ name: root, read: reader.read }, descriptor);
    for (const child of children) if (!(await has(child))) throw notFound(root, child.digest);
  };

  const addReferrer = async (subject: Digest, referrer: Descriptor): Promise<void> => {
    const index = await readLayoutIndex(root);
    const tag = referrersTag(subject);
    const list = findTag(index, tag) ? await reader.referrers(subject) : [];
    const more = withReferrer(list, referrer);
    if (!more) return;
    await writeBlob(ingestFolder, [more.bytes], { ...to, expected: more.descriptor });
    await saveIndex(withTag(index, tag, more.descriptor));
  };

  const tagAll = async (tags: readonly Tagged[]): Promise<void> => {
    const wrong = tags.find(({ tag }) => !isLayoutTag(tag) || subjectOfTag(tag));
    if (wrong) throw tagInvalid(wrong.tag);
    if (tags.length === 0) return;
    await locked(async () => {
      for (const { descriptor } of tags) await requireWhole(descriptor);
      let index = await readLayoutIndex(root);
      for (const { tag, descriptor } of tags) index = withTag(index, tag, descriptor);
      await saveIndex(index);
    });
  };

  return {
    ...reader,
    name: root,
    folder: root,
    pathOf,
    has,
    borrows: true,
    write: (descriptor, bytes, lending) =>
      writing(async () => {
        await writeBlob(ingestFolder, bytes, { ...to, ...lending, expected: descriptor });
      }),
    ingest: (bytes, mediaType) => writing(async () => ({ mediaType, ...(await writeBlob(ingestFolder, bytes, to)) })),
    writeManifest: async (bytes, mediaType) => {
      const descriptor: Descriptor = { mediaType, digest: sha256(bytes), size: bytes.length };
      const referral = referralOf(bytes, descriptor);
      await writing(() => writeBlob(ingestFolder, [bytes], { ...to, expected: descriptor }));
      if (referral) await locked(() => addReferrer(referral.subject, referral.referrer));
      return descriptor;
    },
    tag: (tag, descriptor) => tagAll([{ tag, descriptor }]),
    tagAll,
    untag: (tag) =>
      locked(async () => {
        const index = await readLayoutIndex(root);
        if (!findTag(index, tag)) throw notFound(root, tag);
        await saveIndex(withoutTag(index, tag));
      }),
    prune: (pruneOptions = {}) =>
      locked(() =>
        prune(
          {
            store: { ...reader, name: root },
            folder: root,
            blobs,
            ingestFolder,
            readIndex: () => readLayoutIndex(root),
            saveIndex,
          },
          pruneOptions,
        ),
      ),
  };
}

async function prepare(root: string, create: boolean): Promise<void> {
  const marker = await readFile(join(root, 'oci-layout'), 'utf8').catch(absent);
  if (marker === undefined) return initialize(root, create);
  let version: unknown;
  try {
    version = (JSON.parse(marker) as { imageLayoutVersion?: unknown } | null)?.imageLayoutVersion;
  } catch (cause) {
    throw layoutInvalid(root, 'its oci-layout file is not JSON', cause);
  }
  if (version !== '1.0.0') throw layoutInvalid(root, `its version is ${JSON.stringify(version)}`);
}

async function initialize(root: string, create: boolean): Promise<void> {
  const names = (await readdir(root).catch(absent)) ?? [];
  // Another process may be making this very layout: what it has made so far is not foreign.
  const foreign = names.find((name) => !/^(?:blobs|index\.json|oci-layout|\.ingest|\.lock)(?:\.|$)/.test(name));
  if (foreign !== undefined) throw layoutInvalid(root, `it holds other files (${foreign})`);
  if (!create) throw notFound(root, 'OCI layout');
  try {
    await makeFolders(join(root, 'blobs', 'sha256'));
    await withFileLock(join(root, '.lock'), async () => {
      if ((await stat(join(root, 'index.json')).catch(absent)) === undefined) {
        const empty = { schemaVersion: 2 as const, mediaType: MEDIA.index, manifests: [] };
        await writeAtomic(join(root, 'index.json'), formatLayoutIndex(empty));
      }
      await writeAtomic(join(root, 'oci-layout'), VERSION);
    });
  } catch (error) {
    throw writeFault(error, root);
  }
}

function writeFault(error: unknown, root: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return readOnly(root, error);
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new McpBuildError({
    code: 'disk-full',
    message: `There is no room left for ${root}`,
    input: root,
    fix: 'Free some space (`mcp-build prune` removes images without a tag), then try again.',
    cause: error,
  });
}

function readOnly(root: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'store-read-only',
    message: `${root} can't be written`,
    input: root,
    fix: 'Give this user the right to write there, or name another folder with MCP_BUILD_HOME.',
    ...(cause === undefined ? {} : { cause }),
  });
}
