import { type Digest, sha256 } from '../digest/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import { interpreterVersion, sourceLayer } from './bytecode/index.ts';
import type { Entry } from './entry.ts';
import { assemble, assembleIndex, type BaseImage, type Document, type Image, type ImageLayer } from './image.ts';
import { COMPRESSOR, writeLayer } from './layer.ts';
import type { LayerLock, LayerOutput, Lock, PlatformLock } from './lock.ts';
import type { Platform } from './platform.ts';

/** What a build needs from the outside. */
export interface BuildEnvironment {
  /** The files of one layer, by its transform. `below` are the layers of ours under it. */
  bake(layer: LayerLock, platform: Platform, below: readonly LayerLock[]): AsyncIterable<Entry>;
  /** Stores a blob whose digest is known only at its end, whole or not at all. */
  ingest(bytes: AsyncIterable<Uint8Array>): Promise<{ digest: Digest; size: number }>;
  has(blob: { digest: Digest; size: number }): Promise<boolean>;
  /** What the same inputs gave before; `undefined` makes every layer anew. */
  recall: ((key: Digest) => Promise<LayerOutput | undefined>) | undefined;
  remember(key: Digest, output: LayerOutput): Promise<void>;
  /** The layers of a foreign base, which must be stored already. */
  base(platform: Platform): Promise<BaseImage | undefined>;
  progress?(line: string): void;
}

export interface BuiltLayer extends LayerOutput {
  readonly platform: Platform;
  readonly name: LayerLock['name'];
  readonly cached: boolean;
}

export interface Built {
  readonly index: Document;
  readonly images: readonly Image[];
  readonly layers: readonly BuiltLayer[];
  /** The lock with its outputs; the index digest only where every platform of the lock was built. */
  readonly lock: Lock;
}

/**
 * Names a layer by all that decides its bytes. The platform is not among them but for Debian packages: most of an npm tree is the same
 * on both. What lies below is only where the layer replaces something of it.
 */
export function layerKey(
  layer: LayerLock,
  platform: Platform,
  below: readonly LayerLock[],
  compressor: string = COMPRESSOR,
): Digest {
  const isDebian = layer.transform.startsWith('debian-system/') || layer.transform.startsWith('debian/');
  const where = isDebian ? platform : 'any';
  return sha256(JSON.stringify({ ...inputsOf(layer), where, ...overOf(layer, below), compressor }));
}

/** What of the layers below shows in a layer's bytes, or decides whether it can be at all. */
function overOf(layer: LayerLock, below: readonly LayerLock[]): Readonly<Record<string, unknown>> {
  const base = below.find(({ transform }) => transform.startsWith('debian/'));
  if (layer.transform.startsWith('debian-system/')) return { over: base ? [inputsOf(base)] : [] };
  const source = sourceLayer(layer, below);
  if (source) return { of: inputsOf(source), by: base && interpreterVersion(base) };
  // Whether a server's files agree with those of its dependencies was checked for these dependencies.
  const dependencies = layer.name === 'server' ? below.find(({ name }) => name === 'dependencies') : undefined;
  return dependencies ? { beside: inputsOf(dependencies) } : {};
}

function inputsOf({ transform, files }: LayerLock) {
  return { transform, files: files.map(({ uploaded: _u, index: _x, size: _s, ...file }) => file) };
}

/**
 * Bakes, writes and assembles the given platforms of a lock. Resolves nothing and executes nothing.
 * @throws McpBuildError `platform-not-locked`; and whatever `bake` and `ingest` throw, with nothing but whole layers left behind
 */
export async function build(lock: Lock, platforms: readonly Platform[], outside: BuildEnvironment): Promise<Built> {
  const images: Image[] = [];
  const built: BuiltLayer[] = [];
  const outputs: Partial<Record<Platform, PlatformLock>> = { ...lock.platforms };
  for (const platform of platforms) {
    const locked = lock.platforms[platform];
    if (!locked) throw notLocked(lock, platform);
    const layers: ImageLayer[] = [];
    for (const [at, layer] of locked.layers.entries()) {
      outside.progress?.(`${platform}: layer ${layer.name}`);
      const { output, cached } = await makeLayer(layer, platform, locked.layers.slice(0, at), outside);
      layers.push({ ...output, createdBy: `mcp-build ${layer.transform} ${layer.name}` });
      built.push({ ...output, platform, name: layer.name, cached });
    }
    const image = assemble(lock, platform, layers, await outside.base(platform));
    images.push(image);
    outputs[platform] = {
      layers: locked.layers.map((layer, at) => ({ ...layer, output: outputOf(layers[at]!) })),
      image: image.manifest.digest,
    };
  }
  const index = assembleIndex(lock, images);
  const whole = Object.keys(lock.platforms).length === platforms.length;
  const { index: before, ...rest } = lock;
  // Some platforms built as they were built before leave the index over all of them what it was.
  const unchanged = platforms.every((platform) => lock.platforms[platform]?.image === outputs[platform]?.image);
  const known = whole ? index.digest : unchanged ? before : undefined;
  return {
    index,
    images,
    layers: built,
    lock: { ...rest, platforms: outputs, compressor: COMPRESSOR, ...(known === undefined ? {} : { index: known }) },
  };
}

async function makeLayer(
  layer: LayerLock,
  platform: Platform,
  below: readonly LayerLock[],
  outside: BuildEnvironment,
): Promise<{ output: LayerOutput; cached: boolean }> {
  const key = layerKey(layer, platform, below);
  const known = await outside.recall?.(key);
  if (known && (await outside.has(known))) return { output: known, cached: true };
  const { blob, layer: written } = writeLayer(outside.bake(layer, platform, below));
  // Rejected together with the blob's stream; without a handler it would count as unhandled first.
  written.catch(() => undefined);
  let ingested: { digest: Digest; size: number };
  try {
    ingested = await outside.ingest(blob);
  } catch (error) {
    // What can't be made on this machine may have come here with an image that was pulled: the lock says which bytes it must be.
    const elsewhere = isFault(error, 'bytecode-unavailable') || isFault(error, 'bridge-unavailable');
    if (!elsewhere || !layer.output || !(await outside.has(layer.output))) throw error;
    return { output: layer.output, cached: true };
  }
  const { digest, size } = ingested;
  const { diffId } = await written;
  const output: LayerOutput = { diffId, digest, size };
  await outside.remember(key, output);
  return { output, cached: false };
}

function outputOf({ diffId, digest, size }: LayerOutput): LayerOutput {
  return { diffId, digest, size };
}

function notLocked(lock: Lock, platform: Platform): McpBuildError {
  return new McpBuildError({
    code: 'platform-not-locked',
    message: `${lock.name} is locked for ${Object.keys(lock.platforms).join(', ')}, not for ${platform}`,
    input: platform,
    fix: `Lock it again with --platform ${platform}.`,
    exit: 2,
  });
}
