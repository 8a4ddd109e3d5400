import type { Artifact, DebArtifact } from '../lock.ts';
import { architectureOf, type Platform } from '../platform.ts';
import type { ImagesFolders } from './images.ts';
import { type MirrorOptions, mirrorOf } from './mirror.ts';
import { type Package, type PackageIndex, packageIndex } from './packages.ts';
import { type Recipe, readKeys } from './recipe.ts';
import type { Release } from './release.ts';
import { readPackages, readRelease } from './suite.ts';

export interface IndicesOptions extends MirrorOptions {
  readonly now: Date;
  /** The date of each suite's release that was accepted before: an older one is refused. */
  readonly seen: Readonly<Record<string, string>>;
  /** Where the keys are; by default the folder that comes with mcp-build. */
  readonly images?: ImagesFolders;
  readonly progress?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** What the archive offers today, as it signed it. */
export interface Indices {
  readonly releases: readonly Release[];
  /** Read anew each time it is asked for: one platform's index takes some 100 MB. */
  packages(platform: Platform): Promise<PackageIndex>;
}

/**
 * Reads the signed release of each suite from the mirror the user has configured.
 * @throws McpBuildError `mirror-unset`, `mirror-invalid`, `mirror-unavailable`, `recipe-invalid`, and what `readRelease` throws;
 * `packages` throws what `readPackages` does
 */
export async function readIndices(suites: Recipe['suites'], options: IndicesOptions): Promise<Indices> {
  const mirror = await mirrorOf(options);
  const outside = { mirror, ...(options.signal ? { signal: options.signal } : {}) };
  const releases: Release[] = [];
  for (const { name: suite, keys } of suites) {
    options.progress?.(`reading ${suite}`);
    const seen = options.seen[suite];
    const notBefore = seen === undefined ? undefined : new Date(seen);
    const trusted = await readKeys(keys, options.images);
    releases.push(await readRelease({ ...outside, suite, keys: trusted, now: options.now, notBefore }));
  }
  return {
    releases,
    async packages(platform) {
      const architecture = architectureOf(platform);
      const packages: Package[] = [];
      for (const release of releases) {
        options.progress?.(`reading the packages of ${release.suite} for ${architecture}`);
        for (const one of await readPackages(release, architecture, outside)) packages.push(one);
      }
      return packageIndex(packages);
    },
  };
}

/** The date of each suite's release, which later ones must not be older than. */
export function datesOf({ releases }: Indices): Record<string, string> {
  return Object.fromEntries(releases.map(({ suite, date }) => [suite, date.toISOString()]));
}

/** What a lock says of a package. @param before what was locked in its place: a package that stays the same keeps its date */
export function artifactOf(
  { name, version, file, integrity, size, suite, architecture }: Package,
  indices: Indices,
  before: readonly Artifact[],
): DebArtifact {
  const known = before.find((one) => one.kind === 'deb' && one.file === file && one.integrity === integrity);
  const date = indices.releases.find((release) => release.suite === suite)?.date;
  // The index doesn't say when it received a package, but by its own date it had: the first date that a lock saw is kept, which is
  // the closest one, lets a snapshot service find the file, and leaves the lock alone while the package stays the same.
  const uploaded = known?.uploaded ?? date?.toISOString();
  return {
    kind: 'deb',
    name,
    version,
    file,
    integrity,
    size,
    ...(uploaded === undefined ? {} : { uploaded }),
    index: known?.index ?? suite,
    architecture,
  };
}
