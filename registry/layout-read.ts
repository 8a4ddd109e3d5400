import { type Digest, isDigest, verified } from '../digest/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import { findTag, type LayoutIndex, plain, type Tagged, tagOf, tagsOf } from './layout-index.ts';
import { MANIFEST_LIMIT, parseManifest } from './manifest.ts';
import { isManifestType, MEDIA } from './media.ts';
import { inOrder, referralOf, referrersTag } from './referrers.ts';
import type { Descriptor, Lending, Store } from './store.ts';

/** Where the files of a layout come from: a folder, or an archive of one. */
export interface LayoutFiles {
  readonly name: string;
  index(): Promise<LayoutIndex>;
  /** In bytes; undefined where the blob isn't there. */
  size(digest: Digest): Promise<number | undefined>;
  /** Unchecked bytes. @throws McpBuildError `not-found` */
  open(digest: Digest, lending?: Lending): AsyncIterable<Uint8Array>;
  /** Told of each blob whose bytes aren't its digest's. */
  rotten?(digest: Digest): Promise<void>;
}

export type LayoutReader = Required<Pick<Store, 'has' | 'read' | 'open' | 'resolve' | 'referrers'>> & {
  /** The tags people gave, without the lists of referrers. */
  list(): Promise<readonly Tagged[]>;
};

/** The reading half of a store over a layout. */
export function layoutReader(files: LayoutFiles): LayoutReader {
  const reader: LayoutReader = {
    has: async ({ digest, size }) => (await files.size(digest)) === size,
    open: ({ digest }, lending) => files.open(digest, lending),
    read: (descriptor) => replayable(() => readChecked(files, descriptor)),
    list: async () => tagsOf(await files.index()),
    resolve: async (reference) => {
      if (isDigest(reference)) return resolveDigest(files, reference);
      const entry = findTag(await files.index(), reference);
      if (!entry) throw notFound(files.name, reference);
      return plain(entry);
    },
    referrers: async (subject) => {
      try {
        return await referrersIn(files, reader, subject);
      } catch (cause) {
        throw referrersUnavailable(files.name, subject, cause);
      }
    },
  };
  return reader;
}

/** An iterable that starts over each time it is iterated, so that an upload can be repeated. */
export function replayable(start: () => AsyncGenerator<Uint8Array>): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: start };
}

/**
 * The whole of a small document.
 * @param limit in bytes, of what is held in memory. @throws McpBuildError `too-large`, and what `store.read` throws
 */
export async function readDocument(
  store: Pick<Store, 'read' | 'name'>,
  descriptor: Descriptor,
  limit = MANIFEST_LIMIT,
): Promise<Uint8Array> {
  if (descriptor.size > limit) {
    throw new McpBuildError({
      code: 'too-large',
      message: `${descriptor.digest} in ${store.name} has ${descriptor.size} bytes, more than the ${limit} that are read`,
      input: descriptor.digest,
      fix: 'Check that this is the image you mean.',
    });
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read(descriptor)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* readChecked(files: LayoutFiles, descriptor: Descriptor): AsyncGenerator<Uint8Array> {
  const name = `${descriptor.digest} in ${files.name}`;
  try {
    yield* verified(files.open(descriptor.digest), {
      name,
      integrity: descriptor.digest,
      size: descriptor.size,
      fix: 'The copy here is damaged: pull or build the image again.',
    });
  } catch (error) {
    if (isFault(error, 'integrity')) await files.rotten?.(descriptor.digest);
    throw error;
  }
}

async function resolveDigest(files: LayoutFiles, digest: Digest): Promise<Descriptor> {
  const size = await files.size(digest);
  if (size === undefined) throw notFound(files.name, digest);
  const listed = (await files.index()).manifests.find((entry) => entry.digest === digest && entry.size === size);
  if (listed) return plain(listed);
  const unknown = { mediaType: MEDIA.manifest, digest, size };
  const bytes = await readDocument({ name: files.name, read: (one) => readChecked(files, one) }, unknown);
  return { ...unknown, mediaType: parseManifest(bytes, undefined, digest).mediaType };
}

async function referrersIn(
  files: LayoutFiles,
  reader: Pick<LayoutReader, 'read'>,
  subject: Digest,
): Promise<readonly Descriptor[]> {
  const index = await files.index();
  const store = { name: files.name, read: reader.read };
  const found: Descriptor[] = [];
  const listed = findTag(index, referrersTag(subject));
  if (listed) {
    const manifest = parseManifest(await readDocument(store, plain(listed)), listed.mediaType, listed.digest);
    if (manifest.kind !== 'index') throw new Error(`${listed.digest} is not an index`);
    found.push(...manifest.manifests);
  }
  // Other tools list a referrer without a tag and find it by its subject.
  for (const entry of index.manifests) {
    if (tagOf(entry) !== undefined || !isManifestType(entry.mediaType) || entry.digest === subject) continue;
    const referral = referralOf(await readDocument(store, plain(entry)), plain(entry));
    if (referral?.subject === subject) found.push(referral.referrer);
  }
  return inOrder(found);
}

/** @param fix where it is a registry that has it not: what the local store holds says nothing of it */
export function notFound(
  store: string,
  what: string,
  fix = 'Check the name, tag or digest; `mcp-build list` shows what the local store holds.',
): McpBuildError {
  return new McpBuildError({
    code: 'not-found',
    message: `${store} has no ${what}`,
    input: what,
    fix,
  });
}

export function referrersUnavailable(store: string, subject: Digest, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'referrers-unavailable',
    message: `The list of what refers to ${subject} in ${store} can't be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    input: subject,
    fix: 'Nothing is known about its signatures, so nothing is assumed: try again, or push them again.',
    exit: isFault(cause) && cause.exit === 5 ? 5 : 1,
    cause,
  });
}
