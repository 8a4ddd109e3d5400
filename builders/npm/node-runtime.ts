import { join } from 'node:path';
import type { ResolveOptions } from '../adapter.ts';
import type { NpmArtifact } from '../lock.ts';
import { architectureOf, type Platform } from '../platform.ts';
import { ageUnknown, indexOf, instant, strongest } from './artifacts.ts';
import { chooseVersion } from './choose.ts';
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
  const runtimes: Partial<Record<Platform, NpmArtifact>> = {};
  let wanted = range;
  for (const platform of platforms) {
    const name = `node-linux-${architectureOf(platform) === 'amd64' ? 'x64' : 'arm64'}`;
    const version = await chooseVersion(name, wanted, { configuration, packuments, before: options.before });
    wanted = version;
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
