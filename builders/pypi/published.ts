import { type Integrity, integrityFromHex } from '../../digest/index.ts';
import type { FetchOptions } from '../adapter.ts';
import { eachAsked } from '../asking.ts';
import type { WheelArtifact } from '../lock.ts';
import { normalizeProject } from '../source.ts';
import { sessionFor } from './fetch.ts';

/**
 * The hashes that the user's indexes list for the name of a locked wheel; empty when none lists it.
 * @throws McpBuildError `registry-unavailable`, `registry-invalid`
 */
export async function published(
  artifacts: readonly WheelArtifact[],
  options: FetchOptions,
): Promise<ReadonlyMap<WheelArtifact, readonly Integrity[]>> {
  const session = await sessionFor(options);
  return eachAsked(artifacts, async (artifact) => {
    const hashes = new Set<Integrity>();
    for (const index of session.client.configuration.indexes) {
      for (const listed of (await session.files(index, normalizeProject(artifact.name), options.signal)) ?? []) {
        if (listed.file === artifact.file && listed.sha256) hashes.add(integrityFromHex('sha256', listed.sha256));
      }
    }
    return [...hashes];
  });
}
