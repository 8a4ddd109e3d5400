import type { Adapter } from '../adapter.ts';
import { bake } from './bake.ts';
import { fetchTarball } from './fetch.ts';
import { resolve } from './resolve.ts';

/** npm servers: resolved as npm does, fetched from the user's registries, unpacked without running anything. docs/npm.md */
export const npm = {
  ecosystem: 'npm',
  base: 'node24',
  resolve,
  fetch: (artifact, options) => fetchTarball(artifact, options),
  bake,
} as const satisfies Adapter;

export { resolveNodeRuntime } from './node-runtime.ts';
