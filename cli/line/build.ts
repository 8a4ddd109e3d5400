import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  artifactCache,
  type Built,
  build,
  type Document,
  type LayerLock,
  type LayerOutput,
  type Lock,
  layerKey,
  lockDigest,
  type Platform,
  withLimits,
} from '../../builders/index.ts';
import { type Digest, hexOf, isDigest } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { writeAtomic } from '../../files/index.ts';
import type { LayoutStore } from '../../registry/index.ts';
import { bake, fetchArtifact } from './adapters.ts';
import { foreignBase } from './base.ts';
import { pythonCompiler } from './bytecode.ts';
import type { Environment, Home } from './home.ts';

export interface BuildOptions {
  readonly platforms: readonly Platform[];
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string | undefined;
  /** Where locked local files may be: their paths, or folders. */
  readonly files?: readonly string[];
  readonly store: LayoutStore;
  /** `all` by default; `base` makes every layer of the server anew; `none` makes all of them anew, and remembers none. */
  readonly layerCache?: 'all' | 'base' | 'none';
  /** `false` leaves the store without tags. */
  readonly tag?: boolean;
  /** Refuses any output that differs from the lock's. */
  readonly locked?: boolean;
  readonly progress?: (line: string) => void;
}

const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value));
const remembered = z.strictObject({ diffId: digest, digest, size: z.int().positive() });

/** Builds a lock into the store: the blobs, the documents, then the tags. @throws McpBuildError `output-differs` with `locked` */
export function buildLock(lock: Lock, options: BuildOptions): Promise<Built> {
  return withLimits(lock.limits, () => buildWithin(lock, options));
}

async function buildWithin(lock: Lock, options: BuildOptions): Promise<Built> {
  const { store, home } = options;
  const cache = artifactCache(join(home.cache, 'artifacts'), (artifact) =>
    fetchArtifact(artifact, fetchOptions(options)),
  );
  const cached = join(home.cache, 'layers');
  const recall = async (key: Digest): Promise<LayerOutput | undefined> => {
    const text = await readFile(join(cached, hexOf(key)), 'utf8').catch(() => undefined);
    const parsed = text === undefined ? undefined : remembered.safeParse(parseJson(text));
    return parsed?.success ? parsed.data : undefined;
  };
  const fresh = new Set<Digest>(
    options.layerCache === 'base'
      ? options.platforms.flatMap((platform) => {
          const layers = lock.platforms[platform]?.layers ?? [];
          return layers.flatMap((layer, at) =>
            isServers(layer) ? [layerKey(layer, platform, layers.slice(0, at))] : [],
          );
        })
      : [],
  );
  const python = pythonCompiler(lock, {
    open: cache.open,
    cache: home.cache,
    environment: options.environment,
  });
  const built = await build(lock, options.platforms, {
    bake: (layer, platform, below) => {
      // Downloads run ahead while the first files are already being compressed; whoever opens one waits for just that one.
      const base = layer.name === 'system' ? below.flatMap(({ name, files }) => (name === 'base' ? files : [])) : [];
      cache.fill([...base, ...layer.files]).catch(() => undefined);
      return bake(layer, platform, cache.open, below, python);
    },
    ingest: (bytes) => store.ingest(bytes, LAYER),
    has: (blob) => store.has({ mediaType: LAYER, ...blob }),
    recall: options.layerCache === 'none' ? undefined : async (key) => (fresh.has(key) ? undefined : recall(key)),
    remember: async (key, output) => {
      if (options.layerCache === 'none') return;
      // Both platforms may share a layer: made anew once is anew.
      fresh.delete(key);
      await writeAtomic(join(cached, hexOf(key)), JSON.stringify(output));
    },
    base: (platform) => foreignBase(lock, platform, store, options.environment),
    ...(options.progress ? { progress: options.progress } : {}),
  }).finally(() => python.close());
  if (options.locked) {
    const differences = outputDifferences(lock, built.lock);
    if (differences.length > 0) throw outputDiffers(lock, differences);
  }
  await publish(built, store, options.tag !== false);
  return built;
}

/** The immutable tag: version and the first 12 digits of the lock's digest. */
export function immutableTag(lock: Lock): string {
  return `${lock.name}:${tagSafe(lock.source.version)}-${hexOf(lockDigest(lock)).slice(0, 12)}`;
}

/** The tag that moves when the same version is built again on a newer base. */
export function versionTag({ source }: Pick<Lock, 'source'>): string {
  return tagSafe(source.version);
}

/** PEP 440 local versions and npm build metadata hold a `+`, which a tag can't. */
function tagSafe(version: string): string {
  return version.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 100);
}

async function publish(built: Built, store: LayoutStore, tagged: boolean): Promise<void> {
  for (const { config, manifest } of built.images) {
    await store.write(descriptor(config), once(config.bytes));
    await store.writeManifest(manifest.bytes, manifest.mediaType);
  }
  const index = await store.writeManifest(built.index.bytes, built.index.mediaType);
  if (!tagged) return;
  const { name } = built.lock;
  for (const tag of [immutableTag(built.lock), `${name}:${versionTag(built.lock)}`, name]) await store.tag(tag, index);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

export function descriptor({ mediaType, digest, size }: Document) {
  return { mediaType, digest, size };
}

function isServers(layer: LayerLock): boolean {
  return !['base', 'base-bytecode', 'runtime', 'bridge'].includes(layer.name);
}

function fetchOptions({ home, environment, workspace, files }: BuildOptions) {
  return { cache: home.cache, environment, workspace, ...(files ? { files } : {}) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Names each output that the lock already holds and that came out otherwise. */
export function outputDifferences(before: Lock, after: Lock): string[] {
  const found: string[] = [];
  const compressor = before.compressor !== undefined && before.compressor !== after.compressor;
  for (const [platform, { layers, image }] of Object.entries(before.platforms)) {
    const now = after.platforms[platform as Platform];
    layers.forEach((layer, at) => {
      const output = now?.layers[at]?.output;
      if (!layer.output || !output) return;
      if (layer.output.diffId !== output.diffId)
        found.push(`${platform} layer ${layer.name}: diffID ${output.diffId} instead of ${layer.output.diffId}`);
      else if (layer.output.digest !== output.digest) {
        const why = compressor
          ? `compressor ${after.compressor} instead of ${before.compressor}`
          : 'same compressor id';
        found.push(`${platform} layer ${layer.name}: same files, other compression (${why})`);
      }
    });
    if (image && now?.image && image !== now.image) found.push(`${platform} image ${now.image} instead of ${image}`);
  }
  if (before.index && after.index && before.index !== after.index)
    found.push(`index ${after.index} instead of ${before.index}`);
  return found;
}

function outputDiffers(lock: Lock, differences: readonly string[]): McpBuildError {
  return new McpBuildError({
    code: 'output-differs',
    message: `${lock.name} did not come out as its lock says: ${differences.join('; ')}`,
    input: lock.name,
    fix: 'If the lock or mcp-build itself was changed on purpose, build without --locked and review the new digests.',
    exit: 4,
  });
}
