import type { ResolveOptions } from '../adapter.ts';
import type { DebArtifact, LayerLock, NpmArtifact } from '../lock.ts';
import { architectureOf, type Platform } from '../platform.ts';
import { closure } from './closure.ts';
import { type MirrorOptions, mirrorOf } from './mirror.ts';
import { type Package, packageIndex } from './packages.ts';
import { type BaseLock, type Recipe, readKeys } from './recipe.ts';
import type { Release } from './release.ts';
import { readPackages, readRelease } from './suite.ts';

export const BASE_TRANSFORM = 'debian/1';
export const RUNTIME_TRANSFORM = 'node-runtime/1';

export interface UpdateOptions extends ResolveOptions, Pick<MirrorOptions, 'apt'> {
  /** The lock that is brought up to date: what it has seen is never gone back on. */
  readonly previous: BaseLock | undefined;
  readonly now: Date;
  /** The folder with the recipes and keys; by default the one that comes with mcp-build. */
  readonly images?: string;
  /** Finds the Node runtime of each platform; by default in the npm registry the user has configured. */
  readonly resolveRuntime?: (
    platforms: readonly Platform[],
    range: string,
    options: ResolveOptions,
  ) => Promise<Readonly<Partial<Record<Platform, NpmArtifact>>>>;
}

/**
 * Resolves a recipe to exact packages: the newest that the signed indexes of its suites hold today. The one step that chooses a base.
 * @throws McpBuildError `mirror-unset`, `mirror-invalid`, `mirror-unavailable`, `recipe-invalid`, what `readRelease`, `readPackages` and
 * `closure` throw, and what resolving the runtime throws
 */
export async function updateBase(
  recipe: Recipe,
  platforms: readonly Platform[],
  options: UpdateOptions,
): Promise<BaseLock> {
  const mirror = await mirrorOf(options);
  const outside = { mirror, ...(options.signal ? { signal: options.signal } : {}) };
  const releases: Release[] = [];
  for (const suite of recipe.suites) {
    options.progress?.(`reading ${suite.name}`);
    const seen = options.previous?.releases[suite.name];
    releases.push(
      await readRelease({
        ...outside,
        suite: suite.name,
        keys: await readKeys(suite.keys, options.images),
        now: options.now,
        notBefore: seen === undefined ? undefined : new Date(seen),
      }),
    );
  }
  const runtimes = await runtimesOf(recipe, platforms, options);
  const locked: BaseLock['platforms'] = {};
  for (const platform of platforms) {
    const architecture = architectureOf(platform);
    const packages: Package[] = [];
    for (const release of releases) {
      options.progress?.(`reading the packages of ${release.suite} for ${architecture}`);
      packages.push(...(await readPackages(release, architecture, outside)));
    }
    const omitted = Object.keys(recipe.omit).map((name) => ({ name }));
    const chosen = closure(recipe.packages, packageIndex(packages), omitted);
    const files = chosen.map((one) => artifactOf(one, releases, platform, options.previous));
    const runtime = runtimes[platform];
    const layers: LayerLock[] = [{ name: 'base', transform: BASE_TRANSFORM, files }];
    if (runtime) layers.push({ name: 'runtime', transform: RUNTIME_TRANSFORM, files: [runtime] });
    locked[platform] = { layers };
  }
  return {
    lockVersion: 1,
    recipe: recipe.name,
    releases: Object.fromEntries(releases.map(({ suite, date }) => [suite, date.toISOString()])),
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

function artifactOf(
  { name, version, file, integrity, size, suite, architecture }: Package,
  releases: readonly Release[],
  platform: Platform,
  previous: BaseLock | undefined,
): DebArtifact {
  const before = debsOf(previous, platform).find((deb) => deb.file === file && deb.integrity === integrity);
  const date = releases.find((release) => release.suite === suite)?.date;
  // The index doesn't say when it received a package, but by its own date it had: the first date that a lock saw is kept, which is
  // the closest one, lets a snapshot service find the file, and leaves the lock alone while the package stays the same.
  const uploaded = before?.uploaded ?? date?.toISOString();
  return {
    kind: 'deb',
    name,
    version,
    file,
    integrity,
    size,
    ...(uploaded === undefined ? {} : { uploaded }),
    index: before?.index ?? suite,
    architecture,
  };
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

function filesOf(lock: BaseLock | undefined, platform: Platform) {
  return lock?.platforms[platform]?.layers.flatMap((layer) => layer.files) ?? [];
}

function debsOf(lock: BaseLock | undefined, platform: Platform): readonly DebArtifact[] {
  return filesOf(lock, platform).filter((file) => file.kind === 'deb');
}
