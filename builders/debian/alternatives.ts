import { posix } from 'node:path';
import type { Entry } from '../entry.ts';
import type { Platform } from '../platform.ts';
import type { Tree } from './tree.ts';

/** `%` stands for the platform's folder of libraries. Of several the first that is there, by the priorities that their packages give them. */
const ALTERNATIVES: readonly { readonly link: string; readonly of: readonly string[] }[] = [
  { link: 'usr/bin/awk', of: ['usr/bin/gawk', 'usr/bin/mawk', 'usr/bin/original-awk'] },
  // What ffmpeg and numeric libraries are linked to: without them they don't start.
  { link: 'usr/lib/%/libblas.so.3', of: ['usr/lib/%/openblas-pthread/libblas.so.3', 'usr/lib/%/blas/libblas.so.3'] },
  {
    link: 'usr/lib/%/liblapack.so.3',
    of: ['usr/lib/%/openblas-pthread/liblapack.so.3', 'usr/lib/%/lapack/liblapack.so.3'],
  },
  { link: 'usr/lib/%/libopenblas.so.0', of: ['usr/lib/%/openblas-pthread/libopenblas.so.0'] },
];

export const TRIPLETS: Readonly<Record<Platform, string>> = {
  'linux/amd64': 'x86_64-linux-gnu',
  'linux/arm64': 'aarch64-linux-gnu',
};

/** The links that `update-alternatives` would have made, straight to what they lead to, as far as nothing is there under their name. */
export function* alternatives(tree: Tree, platform: Platform): Generator<Entry & { readonly type: 'symlink' }> {
  const here = (path: string) => path.replace('%', TRIPLETS[platform]);
  for (const { link, of } of ALTERNATIVES) {
    const found = of.map(here).find((path) => tree.has(path));
    const path = here(link);
    if (found === undefined || tree.has(path)) continue;
    yield { type: 'symlink', path, target: posix.relative(posix.dirname(path), found) };
  }
}
