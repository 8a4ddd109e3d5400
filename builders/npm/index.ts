import type { Adapter, FetchOptions } from '../adapter.ts';
import type { NpmArtifact } from '../lock.ts';
import { bake } from './bake.ts';

/**
 * npm servers: resolved as npm does, fetched from the user's registries, unpacked without running anything (docs/npm.md). npm's
 * libraries take a third of a second to load, so each is loaded by the first call that needs it.
 */
export const npm = {
  ecosystem: 'npm',
  base: 'node24',
  resolve: async (source, platforms, options) => (await import('./resolve.ts')).resolve(source, platforms, options),
  fetch,
  bake,
} as const satisfies Adapter;

async function* fetch(artifact: NpmArtifact, options: FetchOptions): AsyncGenerator<Uint8Array> {
  const { fetchTarball } = await import('./fetch.ts');
  yield* fetchTarball(artifact, options);
}

/** See node-runtime.ts. */
export const resolveNodeRuntime: typeof import('./node-runtime.ts').resolveNodeRuntime = async (...parameters) =>
  (await import('./node-runtime.ts')).resolveNodeRuntime(...parameters);

/** The native lock files again, after something else updated them. See resolve.ts. */
export const refreshNpm: typeof import('./resolve.ts').refresh = async (...parameters) =>
  (await import('./resolve.ts')).refresh(...parameters);

/** See local.ts. */
export const localTarball: typeof import('./local.ts').localTarball = async (...parameters) =>
  (await import('./local.ts')).localTarball(...parameters);

/** See document.ts. */
export const fetchDocument: typeof import('./document.ts').fetchDocument = async (...parameters) =>
  (await import('./document.ts')).fetchDocument(...parameters);

/** What the registry says of locked files today. See published.ts. */
export const publishedNpm: typeof import('./published.ts').published = async (...parameters) =>
  (await import('./published.ts')).published(...parameters);

/** What the registry says of locked files today, with deprecation, signatures and attestations. See listing.ts. */
export const listNpm: typeof import('./listing.ts').listNpm = async (...parameters) =>
  (await import('./listing.ts')).listNpm(...parameters);

export type { NpmListing, NpmSignature } from './listing.ts';

/** Keys and attestations of the registry, unverified. See evidence.ts. */
export const npmKeys: typeof import('./evidence.ts').npmKeys = async (...parameters) =>
  (await import('./evidence.ts')).npmKeys(...parameters);
export const npmAttestations: typeof import('./evidence.ts').npmAttestations = async (...parameters) =>
  (await import('./evidence.ts')).npmAttestations(...parameters);

/** Whether the registries of the configuration answer. See reach.ts. */
export const reachNpm: typeof import('./reach.ts').reach = async (...parameters) =>
  (await import('./reach.ts')).reach(...parameters);
