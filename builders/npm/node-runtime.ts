import { join } from 'node:path';
import semver from 'semver';
import type { ResolveOptions } from '../adapter.ts';
import type { NpmArtifact } from '../lock.ts';
import { architectureOf, type Platform } from '../platform.ts';
import { ageUnknown, indexOf, instant, strongest } from './artifacts.ts';
import { type ChooseOptions, chooseVersion } from './choose.ts';
import { npmConfiguration } from './configuration.ts';
import { tarballName } from './names.ts';
import { packuments as openPackuments } from './packuments.ts';

/**
 * The packages that carry the Node binary, one for each platform and all of one version: the newest that every one of them has.
 * @param range of versions of Node, `24`. @throws McpBuildError `too-new`, `age-unknown`, `version-not-found`, `integrity-missing`
 */
export async function resolveNodeRuntime(
  platforms: readonly Platform[],
  range: string,
  options: ResolveOptions,
): Promise<Readonly<Partial<Record<Platform, NpmArtifact>>>> {
  const configuration = await npmConfiguration(options);
  const packuments = openPackuments(configuration, join(options.cache, 'packuments'), options.signal);
  const choosing = { configuration, packuments, before: options.before };
  const names = new Map(
    platforms.map((platform) => [platform, `node-linux-${architectureOf(platform) === 'amd64' ? 'x64' : 'arm64'}`]),
  );
  // The packages are published one after the other: between two of them the newest version is only there for some.
  const common = await commonVersions([...names.values()], range, choosing);
  const runtimes: Partial<Record<Platform, NpmArtifact>> = {};
  for (const [platform, name] of names) {
    const version = await chooseVersion(name, common ?? range, choosing);
    const packument = await packuments.of(name);
    const dist = packument.versions[version]?.dist as { integrity?: string } | undefined;
    const uploaded = instant(packument.time[version]);
    if (uploaded === undefined && options.before) throw ageUnknown(`${name}@${version}`);
    runtimes[platform] = {
      kind: 'npm',
      name,
      version,
      file: tarballName(name, version),
      integrity: strongest(dist?.integrity, `${name}@${version}`),
      ...(uploaded === undefined ? {} : { uploaded }),
      index: indexOf(name, configuration.flat),
      locations: [],
    };
  }
  return runtimes;
}

/** The newest version in the range that all packages have, and have had long enough; undefined where there is none. */
async function commonVersions(
  names: readonly string[],
  range: string,
  choosing: ChooseOptions,
): Promise<string | undefined> {
  const sets = await Promise.all(
    names.map(async (name) => {
      const { versions, time } = await choosing.packuments.of(name);
      return new Set(Object.keys(versions).filter((version) => isOldEnough(time[version], choosing.before)));
    }),
  );
  const shared = [...(sets[0] ?? [])].filter((version) => sets.every((versions) => versions.has(version)));
  return semver.maxSatisfying(shared, range) ?? undefined;
}

function isOldEnough(time: string | undefined, before: Date | undefined): boolean {
  if (!before) return true;
  const uploaded = instant(time);
  return uploaded !== undefined && new Date(uploaded) <= before;
}
