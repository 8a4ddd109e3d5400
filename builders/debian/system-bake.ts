import { posix } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import type { Entry } from '../entry.ts';
import type { LayerLock, Open } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { alternatives } from './alternatives.ts';
import { bakeInto, bakePackage, cacheEntry, debsOf, emptyRoot, placed, type State } from './bake.ts';
import { SYSTEM_DROPPED } from './selection.ts';
import { certificateBundle, textFile } from './system.ts';
import { Tree } from './tree.ts';
import { BASE_TRANSFORM } from './update.ts';

/**
 * Git refuses repositories that another user owns, lest somebody plant one above the folder where one works. In a container the owners
 * are those of the host, where they mean other people or none, and what there is to see was named by whoever started it.
 */
const GIT_CONFIG = '[safe]\n\tdirectory = *\n';

/**
 * Transform `debian-system/1`: packages on top of the base below, as `debian/1` makes them, and what they replace of it: the loader's cache,
 * over the libraries of both.
 * @param below the layers under this one; the packages of its base are read again, since the tree of both must be one
 * @throws McpBuildError `lock-mismatch` without a base; else as `bakeBase`
 */
export async function* bakeSystem(
  layer: LayerLock,
  platform: Platform,
  open: Open,
  below: readonly LayerLock[],
): AsyncGenerator<Entry> {
  const base = baseOf(layer, below);
  const debs = debsOf(layer);
  const packages = new Set([...base.files, ...debs].map((file) => file.name));
  const under = emptyRoot(platform, new Set(base.files.map((file) => file.name)));
  // Nothing of it is written: what the base has, and where, is all that is asked.
  for await (const _ of bakeInto(under, base, open));
  const state: State = {
    ...under,
    packages,
    dropped: SYSTEM_DROPPED,
    tree: new Tree(under.tree),
    certificates: new Map(),
  };
  for (const deb of debs) yield* bakePackage(deb, state, open);
  const made: Entry[] = [];
  for (const link of alternatives(state.tree, platform)) {
    made.push(link);
    const name = posix.basename(link.path);
    if (/\.so\.\d+$/.test(name)) state.libraries.set(name, link.path);
  }
  if (state.tree.has('usr/bin/git')) made.push(textFile('etc/gitconfig', GIT_CONFIG));
  if (state.certificates.size > 0) made.push(certificateBundle(state.certificates));
  for (const entry of made) yield* placed(entry, 'mcp-build', state.tree);
  yield* state.tree.folder('etc', 'mcp-build');
  yield cacheEntry(state);
}

/** The layer that the packages of another were resolved on. @throws McpBuildError `lock-mismatch` */
export function baseOf(layer: LayerLock, below: readonly LayerLock[]): LayerLock {
  const base = below.find(({ transform }) => transform === BASE_TRANSFORM);
  if (base) return base;
  throw new McpBuildError({
    code: 'lock-mismatch',
    message: `The layer ${layer.name} of Debian packages has no base of Debian packages (${BASE_TRANSFORM}) below it`,
    input: layer.name,
    fix: 'Lock again with the same version of mcp-build.',
    exit: 4,
  });
}
