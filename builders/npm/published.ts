import { join } from 'node:path';
import { type Integrity, isIntegrity } from '../../digest/index.ts';
import { isFault } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';
import { eachAsked } from '../asking.ts';
import type { NpmArtifact } from '../lock.ts';
import { npmConfiguration } from './configuration.ts';
import { packuments } from './packuments.ts';

/**
 * What the user's registry says the hash of a locked version is; empty when it doesn't list it.
 * @throws McpBuildError `registry-unavailable`, `registry-invalid`, `registry-unauthorized`
 */
export async function published(
  artifacts: readonly NpmArtifact[],
  options: FetchOptions,
): Promise<ReadonlyMap<NpmArtifact, readonly Integrity[]>> {
  const configuration = await npmConfiguration(options);
  const documents = packuments(configuration, join(options.cache, 'packuments'), options.signal);
  return eachAsked(artifacts, async (artifact) => {
    const packument = await documents.of(artifact.name).catch((error: unknown) => {
      if (isFault(error, 'package-not-found')) return undefined;
      throw error;
    });
    const dist = packument?.versions[artifact.version]?.dist as { integrity?: unknown } | undefined;
    return typeof dist?.integrity === 'string' ? dist.integrity.split(/\s+/).filter(isIntegrity) : [];
  });
}
