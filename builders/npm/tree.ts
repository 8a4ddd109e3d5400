import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArboristNode } from '@npmcli/arborist';
import { architectureOf, type Platform } from '../platform.ts';
import { refuseExotic } from './artifacts.ts';
import type { NpmConfiguration } from './configuration.ts';
import type { NpmPackumentCache } from './packuments.ts';

/** The version of Node that `engines` are held against: that of the base recipe, whatever runs mcp-build. */
export const IMAGE_NODE = '24.15.0';

export interface TreeOptions {
  readonly configuration: NpmConfiguration;
  readonly npmCache: NpmPackumentCache;
  /** npm's own content cache: tarballs with bundled dependencies are unpacked from it. */
  readonly cacache: string;
  readonly before: Date | undefined;
  /** Of these, younger releases may be taken; which, is checked of the outcome. */
  readonly young?: readonly { readonly name: string }[];
  /** Read tarballs with bundled dependencies, so that what they bring is in the tree. */
  readonly bundles?: boolean;
}

export interface Tree {
  readonly root: ArboristNode;
  /** The text of `package-lock.json` as npm would write it. */
  readonly lock: string;
}

/**
 * npm's ideal tree of the `package.json` (and `package-lock.json`, if there) in `folder`. Nothing is installed and nothing executed;
 * only the lock is written there, so that a second platform is a matter of milliseconds and needs no network.
 */
export async function idealTree(folder: string, platform: Platform, options: TreeOptions): Promise<Tree> {
  const { default: Arborist } = await import('@npmcli/arborist');
  const arborist = new Arborist(arboristOptions(folder, platform, options));
  let root: ArboristNode;
  try {
    root = await arborist.buildIdealTree();
  } catch (error) {
    // Says which package brought what can't be resolved, where npm's own error doesn't.
    if (arborist.idealTree) refuseExotic(arborist.idealTree.inventory.values());
    // Arborist holds what is *required* against the machine it runs on, not against the platform asked for. The tree is whole by
    // then; read again with that check off, it says what `platform` takes, and `requirePlatform` does the check for the right platform.
    if ((error as { code?: unknown }).code !== 'EBADPLATFORM' || !arborist.idealTree) throw error;
    await writeLock(folder, arborist.idealTree);
    const again = new Arborist({ ...arboristOptions(folder, platform, options), force: true });
    root = await again.buildIdealTree();
  }
  return { root, lock: await writeLock(folder, root) };
}

async function writeLock(folder: string, root: ArboristNode): Promise<string> {
  root.meta?.commit();
  const lock = root.meta?.toString() ?? '';
  await writeFile(join(folder, 'package-lock.json'), lock);
  return lock;
}

/** The user's network settings, and our own for the shape of the tree: the same source must give the same lock on every machine. */
function arboristOptions(folder: string, platform: Platform, options: TreeOptions): Record<string, unknown> {
  const { flat } = options.configuration;
  return {
    ...flat,
    path: folder,
    cache: options.cacache,
    packumentCache: options.npmCache,
    os: 'linux',
    cpu: architectureOf(platform) === 'amd64' ? 'x64' : 'arm64',
    libc: 'glibc',
    nodeVersion: IMAGE_NODE,
    before: earliest(options.before, flat.before),
    ...(options.before ? { minReleaseAgeExclude: (options.young ?? []).map(({ name }) => name) } : {}),
    // Without `save` Arborist leaves out peers that its lock would have.
    save: true,
    packageLock: true,
    packageLockOnly: true,
    complete: options.bundles ?? false,
    lockfileVersion: 3,
    omitLockfileRegistryResolved: true,
    ignoreScripts: true,
    ignoreExtension: true,
    installStrategy: 'hoisted',
    legacyPeerDeps: false,
    strictPeerDeps: false,
    preferDedupe: false,
    installLinks: false,
    engineStrict: false,
    force: false,
    global: false,
    omit: [],
    include: [],
    workspaces: [],
    defaultTag: 'latest',
    allowGit: 'none',
    allowFile: 'none',
    allowDirectory: 'none',
    // "root" with `_isRoot` reaches only the reading of bundles, whose tarballs come from the registry: a dependency by URL has its
    // own `_isRoot: false` and stays refused.
    allowRemote: 'root',
    _isRoot: true,
    audit: false,
    fund: false,
    progress: false,
  };
}

function earliest(before: Date | undefined, own: unknown): Date | null {
  const configured = own instanceof Date && !Number.isNaN(own.getTime()) ? own : undefined;
  if (!before) return configured ?? null;
  return configured && configured < before ? configured : before;
}
