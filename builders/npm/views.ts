import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ArboristNode } from '@npmcli/arborist';
import type { ResolveOptions } from '../adapter.ts';
import type { NpmArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { nameOf, refuseExotic, requirePlatform, strongest, takenOf } from './artifacts.ts';
import { stageTarball } from './fetch.ts';
import { isBundle } from './manifest.ts';
import { hostileName, isPackageName, isVersion, tarballName } from './names.ts';
import { readPackage } from './tarball.ts';
import { idealTree, type Tree, type TreeOptions } from './tree.ts';

export interface View {
  readonly platform: Platform;
  readonly root: ArboristNode;
  readonly taken: readonly ArboristNode[];
  readonly lock: string;
}

export type Views = readonly [View, ...View[]];

/** The same tree as each platform sees it; all but the first are read from its lock. */
export async function viewsOf(
  folder: string,
  platforms: readonly [Platform, ...Platform[]],
  tree: TreeOptions & { readonly pinned: boolean },
  options: ResolveOptions,
): Promise<Views> {
  const [first, ...others] = platforms;
  let view = viewOf(first, await idealTree(folder, first, tree));
  // A lock that was given holds what its bundles bring as well, and nothing in it is chosen anew.
  const bundles = tree.pinned ? [] : view.taken.filter((node) => !node.inBundle && isBundle(node.package));
  if (bundles.length > 0) {
    await prepareBundles(bundles, tree.cacache, options);
    await rm(join(folder, 'package-lock.json'));
    view = viewOf(first, await idealTree(folder, first, { ...tree, bundles: true }));
  }
  const views: [View, ...View[]] = [view];
  for (const platform of others) views.push(viewOf(platform, await idealTree(folder, platform, tree)));
  return views;
}

function viewOf(platform: Platform, { root, lock }: Tree): View {
  refuseExotic(root.inventory.values());
  const taken = takenOf(root);
  requirePlatform(taken, platform);
  return { platform, root, taken, lock };
}

/**
 * Arborist unpacks tarballs with bundled dependencies to see what they bring, and without any limit. So each is read by our own reader
 * first, and put where Arborist looks before it would fetch: what it unpacks are the bytes that were checked.
 */
async function prepareBundles(nodes: readonly ArboristNode[], cacache: string, options: ResolveOptions): Promise<void> {
  const { default: npmCache } = await import('cacache');
  for (const node of nodes) {
    const wanted = wantedOf(node);
    options.progress?.(`reading what ${nameOf(node)} bundles`);
    const path = await stageTarball(wanted, options);
    await readPackage({ ...wanted, open: () => createReadStream(path) });
    await pipeline(
      createReadStream(path),
      npmCache.put.stream(cacache, `bundle:${nameOf(node)}`, { integrity: wanted.integrity }),
    );
  }
}

function wantedOf(node: ArboristNode): Pick<NpmArtifact, 'name' | 'version' | 'integrity' | 'file'> {
  const name = node.packageName ?? node.name;
  const { version } = node;
  if (!isPackageName(name) || !isVersion(version)) throw hostileName(`${name}@${version}`, node.location);
  return { name, version, integrity: strongest(node.integrity, nameOf(node)), file: tarballName(name, version) };
}
