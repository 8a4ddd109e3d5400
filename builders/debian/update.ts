import type { ResolveOptions } from '../adapter.ts';
import type { Artifact, LayerLock, NpmArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { closure } from './closure.ts';
import type { ImagesFolders } from './images.ts';
import { artifactOf, datesOf, readIndices } from './indices.ts';
import type { MirrorOptions } from './mirror.ts';
import type { BaseLock, Recipe } from './recipe.ts';

export const BASE_TRANSFORM = 'debian/1';
export const RUNTIME_TRANSFORM = 'node-runtime/1';

export interface UpdateOptions extends ResolveOptions, Pick<MirrorOptions, 'apt'> {
  /** The lock that is brought up to date: what it has seen is never gone back on. */
  readonly previous: BaseLock | undefined;
  readonly now: Date;
  /** The folders with the recipes and keys; by default the one that comes with mcp-build. */
  readonly images?: ImagesFolders;
  /** Finds the Node runtime of each platform; by default in the npm registry the user has configured. */
  readonly resolveRuntime?: (
    platforms: readonly Platform[],
    range: string,
    options: ResolveOptions,
  ) => Promise<Readonly<Partial<Record<Platform, NpmArtifact>>>>;
}

/**
 * Resolves a recipe to exact packages: the newest that the signed indexes of its suites hold today. The one step that chooses a base.
 * @throws McpBuildError what `readIndices` and `closure` throw, and what resolving the runtime throws
 */
export async function updateBase(
  recipe: Recipe,
  platforms: readonly Platform[],
  options: UpdateOptions,
): Promise<BaseLock> {
  const indices = await readIndices(recipe.suites, { ...options, seen: options.previous?.releases ?? {} });
  const runtimes = await runtimesOf(recipe, platforms, options);
  const locked: BaseLock['platforms'] = {};
  for (const platform of platforms) {
    const index = await indices.packages(platform);
    const omitted = Object.keys(recipe.omit).map((name) => ({ name }));
    const chosen = closure(recipe.packages, index, omitted);
    const before = filesOf(options.previous, platform);
    const files = chosen.map((one) => artifactOf(one, indices, before));
    const runtime = runtimes[platform];
    const layers: LayerLock[] = [{ name: 'base', transform: BASE_TRANSFORM, files }];
    if (runtime) layers.push({ name: 'runtime', transform: RUNTIME_TRANSFORM, files: [runtime] });
    locked[platform] = { layers };
  }
  return {
    lockVersion: 1,
    recipe: recipe.name,
    releases: datesOf(indices),
    // A platform that wasn't asked for stays as it was.
    platforms: { ...options.previous?.platforms, ...locked },
  };
}

async function runtimesOf(
  recipe: Recipe,
  platforms: readonly Platform[],
  options: UpdateOptions,
): Promise<Readonly<Partial<Record<Platform, NpmArtifact>>>> {
  if (!recipe.runtime) return {};
  options.progress?.(`resolving Node ${recipe.runtime.node}`);
  const resolve = options.resolveRuntime ?? (await import('../npm/index.ts')).resolveNodeRuntime;
  return resolve(platforms, recipe.runtime.node, options);
}

/** One package that an update moved; without `from` it is new, without `to` gone. */
export interface BaseChange {
  readonly platform: Platform;
  readonly name: string;
  readonly from?: string;
  readonly to?: string;
}

/** What an update changed, in the order of the locks. */
export function baseChanges(before: BaseLock | undefined, after: BaseLock): readonly BaseChange[] {
  const changes: BaseChange[] = [];
  for (const platform of Object.keys(after.platforms) as Platform[]) {
    const old = new Map(filesOf(before, platform).map(({ name, version }) => [name, version]));
    for (const { name, version } of filesOf(after, platform)) {
      const from = old.get(name);
      old.delete(name);
      if (from !== version) changes.push({ platform, name, ...(from === undefined ? {} : { from }), to: version });
    }
    for (const [name, from] of old) changes.push({ platform, name, from });
  }
  return changes;
}

function filesOf(lock: BaseLock | undefined, platform: Platform): readonly Artifact[] {
  return lock?.platforms[platform]?.layers.flatMap((layer) => layer.files) ?? [];
}
