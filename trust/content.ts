import { checked, type Digest, verified } from '../digest/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import {
  childrenOf,
  type Descriptor,
  isManifestType,
  type Manifest,
  parseManifest,
  readDocument,
  type Store,
} from '../registry/index.ts';
import type { Content } from './evidence.ts';
import { inParallel } from './parallel.ts';

export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

type Problem = Content['problems'][number];
type Reading = Pick<Store, 'read' | 'open' | 'name' | 'has'>;

/** Layers that were read whole from one registry, by their digests, and those that are being read. */
export type ReadLayers = Map<Digest, Promise<void>>;

/** In bytes: a layer below this is read as soon as it is asked for. */
const WORTH_ASKING = 256 * 1024;

/**
 * Hashes an image's manifests and configs, and with `layers` its layers, all the way down, and reports each that isn't what its digest
 * names. Never trusts that a store did it on the way in.
 * @param platforms which images of an index to descend into: all, none, or one platform's
 * @param once layers that need not be read from another repository of the same registry again: of them it is asked whether they are there. Those
 * that are read are added to it
 * @throws what the store throws for anything else than wrong or missing bytes, such as an unreachable registry
 */
export async function verifyContent(
  store: Reading,
  subject: Descriptor,
  options: {
    readonly layers?: boolean;
    readonly platforms?: 'all' | 'none' | Platform;
    readonly once?: ReadLayers | undefined;
  } = {},
): Promise<Content & { readonly platforms: readonly Descriptor[] }> {
  const layers = options.layers ?? true;
  const wanted = options.platforms ?? 'all';
  const problems: Problem[] = [];
  const root = await manifestOf(store, subject, problems);
  if (!root) return { layers, problems, platforms: [] };
  const platforms = root.kind === 'index' ? imagesOf(root.manifests, wanted) : [];
  const images = root.kind === 'image' ? [root] : await manifestsOf(store, platforms, problems);
  const blobs = images.flatMap((image) => (image.kind === 'image' && !layers ? [image.config] : childrenOf(image)));
  const distinct = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
  await inParallel(distinct, PARALLEL, async (blob) => {
    if (isManifestType(blob.mediaType)) {
      problems.push({ digest: blob.digest, reason: `${blob.digest} is an index within an index` });
      return;
    }
    await reporting(blob, problems, () => readOnce(store, blob, options.once));
  });
  return { layers, problems, platforms };
}

function imagesOf(manifests: readonly Descriptor[], wanted: 'all' | 'none' | Platform): readonly Descriptor[] {
  if (wanted === 'none') return [];
  // `unknown/unknown` is how BuildKit hides attestations in an index: nothing that runs.
  const images = manifests.filter(({ platform }) => platform?.os !== 'unknown');
  if (wanted === 'all') return images;
  return images.filter(({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture);
}

async function manifestsOf(store: Reading, list: readonly Descriptor[], problems: Problem[]): Promise<Manifest[]> {
  const found = await Promise.all(list.map((one) => manifestOf(store, one, problems)));
  return found.filter((one) => one !== undefined);
}

async function manifestOf(store: Reading, at: Descriptor, problems: Problem[]): Promise<Manifest | undefined> {
  return reporting(at, problems, async () => {
    const read = (one: Descriptor) => hashed(store, one);
    const bytes = await readDocument({ name: store.name, read }, at);
    return parseManifest(bytes, at.mediaType, at.digest);
  });
}

/** Hashed here, whatever the store promises. */
function hashed(store: Reading, { digest, size, ...rest }: Descriptor): AsyncIterable<Uint8Array> {
  const descriptor = { ...rest, digest, size };
  return verified(store.open?.(descriptor) ?? store.read(descriptor), { name: digest, integrity: digest, size });
}

async function readOnce(store: Reading, blob: Descriptor, once: ReadLayers | undefined): Promise<void> {
  if (!once || blob.size < WORTH_ASKING) return readWhole(store, blob);
  const elsewhere = once.get(blob.digest);
  const known = await elsewhere?.then(
    () => true,
    () => false,
  );
  // One that isn't there is read all the same, to fail as the registry has it.
  if (known && (await store.has(blob))) return;
  const reading = readWhole(store, blob);
  once.set(blob.digest, reading);
  return reading;
}

/** Nothing of it is kept, so it can be read into memory that is used again. */
async function readWhole(store: Reading, blob: Descriptor): Promise<void> {
  const { digest, size } = blob;
  const bytes = store.open?.(blob, { lent: true }) ?? store.read(blob);
  for await (const _ of checked(bytes, { name: digest, integrity: digest, size }));
}

/** Blobs read at a time. */
const PARALLEL = 4;

const OF_CONTENT = ['integrity', 'not-found', 'manifest-invalid', 'too-large'];

async function reporting<T>(
  { digest }: Descriptor,
  problems: Problem[],
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof McpBuildError) || !OF_CONTENT.some((code) => isFault(error, code))) throw error;
    problems.push({ digest, reason: error.message });
    return undefined;
  }
}
