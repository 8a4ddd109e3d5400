import type { Adapter } from '../adapter.ts';
import type { LayerLock, Open } from '../lock.ts';
import { bake } from './bake.ts';
import { wheelInvalid } from './faults.ts';
import { fetchWheel } from './fetch.ts';
import { inspect, type StartupHook } from './inspect.ts';
import { resolve } from './resolve.ts';

export type { StartupHook } from './inspect.ts';

/** Servers from PyPI and every index that speaks its simple API. What the rules are and why: docs/pypi.md. */
export const pypi: Adapter = {
  ecosystem: 'pypi',
  base: 'python313',
  resolve,
  fetch(artifact, options) {
    if (artifact.kind !== 'wheel') throw wheelInvalid(artifact.file, 'is no wheel');
    return fetchWheel(artifact, options);
  },
  bake: (layer, _platform, open) => bake(layer, open),
};

/** What the wheels of a layer have Python run at every start: `.pth` lines, `sitecustomize`, `usercustomize`. Judging them is vetting's. */
export async function startupHooks(layer: LayerLock, open: Open): Promise<readonly StartupHook[]> {
  const found: StartupHook[] = [];
  for (const file of layer.files) {
    if (file.kind === 'wheel') found.push(...(await inspect(file, open)).hooks);
  }
  return found;
}
