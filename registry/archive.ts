import { type FileHandle, open } from 'node:fs/promises';
import type { Digest } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { openArchiveWriter } from './archive-write.ts';
import { type Copied, type CopyOptions, copy } from './copy.ts';
import { INDEX_LIMIT, type LayoutIndex, parseLayoutIndex, plain, type Tagged, tagOf } from './layout-index.ts';
import { type LayoutReader, layoutReader, notFound, replayable } from './layout-read.ts';
import { subjectOfTag } from './referrers.ts';
import type { Descriptor, Store } from './store.ts';
import { listTar, readRange, type TarFile, unsafe } from './tar.ts';

const BLOB = /^blobs\/sha256\/([0-9a-f]{64})$/;

export type ArchiveOptions = Pick<CopyOptions, 'referrers' | 'progress'>;

/** An archive of a layout, read where it lies: nothing is unpacked, and what nothing points at is never looked at. */
export interface Archive extends LayoutReader {
  readonly name: string;
  /** The images in it; without a tag where its index gives none. */
  images(): readonly { readonly tag?: string; readonly descriptor: Descriptor }[];
  close(): Promise<void>;
}

/**
 * Writes images, with all that refers to them, into one file: a tar of an OCI layout, which is whole or not there. The same images
 * give the same bytes.
 * @throws McpBuildError what reading `from` throws
 */
export async function exportLayout(
  file: string,
  from: Store,
  images: readonly Tagged[],
  options: ArchiveOptions = {},
): Promise<Copied> {
  const writer = await openArchiveWriter(file);
  const total = { sent: 0, mounted: 0, present: 0, bytes: 0, referrers: 0 };
  try {
    for (const { tag, descriptor } of images) {
      const copied = await copy(from, writer.store, descriptor, { ...options, tags: [tag], parallel: 1 });
      for (const what of Object.keys(total) as (keyof Copied)[]) total[what] += copied[what];
    }
    await writer.finish();
    return total;
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/**
 * Copies every image of an archive into a store. Its bytes are a stranger's: bounded, hashed, and only what its index reaches.
 * @param options.tagAs the tag an image gets by the one it has; undefined for none
 * @returns what was copied. @throws McpBuildError `archive-unsafe`, `not-found`, and what writing `to` throws
 */
export async function importLayout(
  file: string,
  to: Store,
  options: ArchiveOptions & { readonly tagAs?: (tag: string | undefined) => string | undefined } = {},
): Promise<readonly { readonly tag?: string; readonly descriptor: Descriptor }[]> {
  const archive = await openArchive(file);
  try {
    const { tagAs = (tag: string | undefined) => tag, ...rest } = options;
    const done = [];
    for (const image of archive.images()) {
      const tag = tagAs(image.tag);
      await copy(archiveStore(archive), to, image.descriptor, {
        ...rest,
        ...(tag === undefined ? {} : { tags: [tag] }),
      });
      done.push({ ...(tag === undefined ? {} : { tag }), descriptor: image.descriptor });
    }
    return done;
  } finally {
    await archive.close();
  }
}

/** @throws McpBuildError `archive-unsafe`, `layout-invalid`, `not-found` */
export async function openArchive(path: string): Promise<Archive> {
  const file = await open(path, 'r').catch((cause) => {
    throw cause.code === 'ENOENT' ? notFound(path, 'archive') : cause;
  });
  try {
    const { index, blobs } = await contents(file, path);
    const reader = layoutReader({
      name: path,
      index: async () => index,
      size: async (digest) => blobs.get(digest)?.size,
      open: (digest) =>
        replayable(async function* () {
          const blob = blobs.get(digest);
          if (!blob) throw notFound(path, digest);
          yield* readRange(file, blob.offset, blob.size);
        }),
    });
    const images = index.manifests
      .filter((entry) => !subjectOfTag(tagOf(entry) ?? ''))
      .map((entry) => ({ ...(tagOf(entry) === undefined ? {} : { tag: tagOf(entry)! }), descriptor: plain(entry) }));
    return { ...reader, name: path, images: () => images, close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** An archive as a store, which it is but for writing. */
export function archiveStore(archive: Archive): Store {
  const refuse = () => Promise.reject(readOnly(archive.name));
  return { ...archive, write: refuse, writeManifest: refuse, tag: refuse };
}

async function contents(
  file: FileHandle,
  path: string,
): Promise<{ readonly index: LayoutIndex; readonly blobs: ReadonlyMap<Digest, TarFile> }> {
  if (!(await file.stat()).isFile()) throw unsafe(path, 'is not a file');
  const blobs = new Map<Digest, TarFile>();
  let index: TarFile | undefined;
  let marker: TarFile | undefined;
  for (const entry of await listTar(file, path)) {
    const hex = BLOB.exec(entry.path)?.[1];
    if (hex) {
      if (blobs.has(`sha256:${hex}`)) throw unsafe(path, `holds ${entry.path} twice`);
      blobs.set(`sha256:${hex}`, entry);
    } else if (entry.path === 'index.json') {
      if (index) throw unsafe(path, 'holds index.json twice');
      index = entry;
    } else if (entry.path === 'oci-layout') marker = entry;
  }
  if (!index || !marker) throw unsafe(path, 'holds no OCI layout');
  if (index.size > INDEX_LIMIT) throw unsafe(path, `has an index.json of ${index.size} bytes`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of readRange(file, index.offset, index.size)) chunks.push(chunk);
  return { index: parseLayoutIndex(Buffer.concat(chunks), path), blobs };
}

function readOnly(path: string): McpBuildError {
  return new McpBuildError({
    code: 'store-read-only',
    message: `${path} is an archive: it is written once, as a whole`,
    input: path,
    fix: 'Import it, change what was imported, and export that.',
  });
}
