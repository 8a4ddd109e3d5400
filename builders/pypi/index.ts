import type { Adapter } from '../adapter.ts';
import type { LayerLock, Open, WheelArtifact } from '../lock.ts';
import { bake } from './bake.ts';
import { inspect, type StartupHook } from './inspect.ts';

export { describeMetadata, describeWheel, type WheelDescription } from './describe.ts';
export type { StartupHook } from './inspect.ts';
export { claimedServerName, parseMetadata } from './metadata.ts';

/**
 * Servers from PyPI and every index that speaks its simple API: docs/pypi.md. What resolves and what talks to indexes is loaded by the
 * first call that needs it; a build from a warm cache needs neither.
 */
export const pypi = {
  ecosystem: 'pypi',
  base: 'python313',
  resolve: async (source, platforms, options) => (await import('./resolve.ts')).resolve(source, platforms, options),
  async *fetch(artifact: WheelArtifact, options) {
    yield* (await import('./fetch.ts')).fetchWheel(artifact, options);
  },
  bake: (layer, _platform, open, below?: readonly LayerLock[]) => bake(layer, open, below),
} as const satisfies Adapter;

/** The native lock files again, after something else updated them. See resolve.ts. */
export const refreshPypi: typeof import('./resolve.ts').refresh = async (...parameters) =>
  (await import('./resolve.ts')).refresh(...parameters);

/** What the wheels of a layer have Python run at every start: `.pth` lines, `sitecustomize`, `usercustomize`. Judging them is vetting's. */
export async function startupHooks(layer: LayerLock, open: Open): Promise<readonly StartupHook[]> {
  const found: StartupHook[] = [];
  for (const file of layer.files) {
    if (file.kind === 'wheel') found.push(...(await inspect(file, open)).hooks);
  }
  return found;
}

/** See local.ts. */
export const localWheel: typeof import('./local.ts').localWheel = async (...parameters) =>
  (await import('./local.ts')).localWheel(...parameters);

/** What the indexes say of locked files today. See published.ts. */
export const publishedPypi: typeof import('./published.ts').published = async (...parameters) =>
  (await import('./published.ts')).published(...parameters);

/** What the indexes say of locked files today, with yanking and provenance. See listing.ts. */
export const listWheels: typeof import('./listing.ts').listWheels = async (...parameters) =>
  (await import('./listing.ts')).listWheels(...parameters);

export type { WheelListing } from './listing.ts';

/** Provenance of a wheel, unverified. See evidence.ts. */
export const wheelProvenance: typeof import('./evidence.ts').wheelProvenance = async (...parameters) =>
  (await import('./evidence.ts')).wheelProvenance(...parameters);

/** Whether the indexes of the configuration answer. See reach.ts. */
export const reachPypi: typeof import('./reach.ts').reach = async (...parameters) =>
  (await import('./reach.ts')).reach(...parameters);
