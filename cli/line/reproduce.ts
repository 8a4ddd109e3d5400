import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type LayerLock,
  LOCK_ANNOTATION,
  type Lock,
  lockDigest,
  looksLikeSource,
  type Platform,
  type TarDifference,
  tarDifferences,
} from '../../builders/index.ts';
import type { Digest } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { withTemporaryFolder } from '../../files/index.ts';
import { type LayoutStore, MEDIA, openLayout, parseManifest, readDocument } from '../../registry/index.ts';
import { buildLock, outputDifferences } from './build.ts';
import { hasLock, lockFolderOf, readLockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { findImage } from './image.ts';
import { folderOf } from './source.ts';

export interface ReproduceOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
  readonly progress: (line: string) => void;
}

export interface LayerComparison {
  readonly platform: Platform;
  readonly layer: LayerLock['name'];
  /** `compression`: the same files, packed otherwise. */
  readonly result: 'same' | 'compression' | 'files';
  readonly detail: string;
  readonly files: readonly TarDifference[];
}

export interface Reproduction {
  readonly name: string;
  readonly lock: Digest;
  readonly expected: Digest;
  readonly found: Digest;
  readonly same: boolean;
  readonly layers: readonly LayerComparison[];
  /** What else differs: manifests, the index. */
  readonly differences: readonly string[];
}

/**
 * Builds a lock again from its inputs alone, in an empty store and with no layer cache, and compares.
 * @throws McpBuildError `nothing-to-compare` when the lock was never built, `lock-missing` when no lock of an image is here
 */
export async function reproduce(target: string, options: ReproduceOptions): Promise<Reproduction> {
  const { lock, expected } = await locate(target, options);
  return withTemporaryFolder(options.home.cache, async (folder) => {
    const store = await openLayout(join(folder, 'store'));
    const platforms = Object.keys(lock.platforms) as Platform[];
    const built = await buildLock(lock, { ...options, platforms, store, layerCache: 'none', tag: false });
    const original = await openLayout(options.home.store);
    const layers: LayerComparison[] = [];
    for (const platform of platforms) {
      for (const [at, before] of (lock.platforms[platform]?.layers ?? []).entries()) {
        const after = built.lock.platforms[platform]?.layers[at]?.output;
        if (!before.output || !after) continue;
        layers.push({ platform, layer: before.name, ...(await compare(before, after, original, store)) });
      }
    }
    const found = built.index.digest;
    return {
      name: lock.name,
      lock: lockDigest(lock),
      expected,
      found,
      same: expected === found,
      layers,
      differences: outputDifferences(lock, built.lock),
    };
  });
}

async function compare(
  before: LayerLock,
  after: NonNullable<LayerLock['output']>,
  original: LayoutStore,
  store: LayoutStore,
): Promise<Omit<LayerComparison, 'platform' | 'layer'>> {
  const output = before.output!;
  if (output.digest === after.digest) return { result: 'same', detail: output.digest, files: [] };
  if (output.diffId === after.diffId) {
    return {
      result: 'compression',
      detail: `the same tar ${output.diffId}, compressed to ${after.digest} instead of ${output.digest}`,
      files: [],
    };
  }
  const there = { mediaType: MEDIA.layer, digest: output.digest, size: output.size };
  const here = { mediaType: MEDIA.layer, digest: after.digest, size: after.size };
  const files = (await original.has(there)) ? await tarDifferences(original.read(there), store.read(here), 50) : [];
  return { result: 'files', detail: `tar ${after.diffId} instead of ${output.diffId}`, files };
}

async function locate(target: string, options: ReproduceOptions): Promise<{ lock: Lock; expected: Digest }> {
  const { home, workspace } = options;
  const folder = looksLikeSource(target) ? await folderOf(target, options) : lockFolderOf(workspace, target);
  if (looksLikeSource(target) || (await hasLock(folder))) {
    const { lock } = await readLockFolder(folder);
    if (lock.index) return { lock, expected: lock.index };
    throw new McpBuildError({
      code: 'nothing-to-compare',
      message: `${lock.name} was never built for all its platforms`,
      input: target,
      fix: 'Build it first: mcp-build build <name>.',
      exit: 2,
    });
  }
  const { store, image } = await findImage(target, home);
  const manifest = parseManifest(await readDocument(store, image), image.mediaType, image.digest);
  const wanted = manifest.annotations?.[LOCK_ANNOTATION];
  for (const candidate of [
    ...(await foldersIn(join(workspace, 'lockfiles'), 1)),
    ...(await foldersIn(home.locks, 3)),
  ]) {
    if (!(await hasLock(candidate))) continue;
    const { lock } = await readLockFolder(candidate).catch(() => ({ lock: undefined }));
    if (lock && lockDigest(lock) === wanted) return { lock, expected: image.digest };
  }
  throw new McpBuildError({
    code: 'lock-missing',
    message: `${target} was built from the lock ${wanted ?? '(it doesn’t say which)'}, which is not here`,
    input: target,
    fix: 'Run it in the repository whose lockfiles/ the image was built from.',
    exit: 2,
  });
}

async function foldersIn(root: string, depth: number): Promise<string[]> {
  if (depth === 0) return [root];
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  const nested = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map((entry) => foldersIn(join(root, entry.name), depth - 1)),
  );
  return nested.flat();
}
