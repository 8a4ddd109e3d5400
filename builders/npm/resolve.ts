import { createReadStream } from 'node:fs';
import { mkdir, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ArboristNode } from '@npmcli/arborist';
import { McpBuildError } from '../../errors/index.ts';
import { withTemporaryFolder } from '../../files/index.ts';
import type { Resolution, ResolveOptions } from '../adapter.ts';
import type { LayerLock, NpmArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { formatSource, type Source } from '../source.ts';
import { artifactsOf, instant, nameOf, refuseExotic, requirePlatform, strongest, takenOf } from './artifacts.ts';
import { TRANSFORM } from './bake.ts';
import { chooseVersion, tooNewOf } from './choose.ts';
import { type FlatOptions, npmConfiguration } from './configuration.ts';
import { entrypointOf } from './entrypoint.ts';
import { treeFault } from './faults.ts';
import { stageTarball } from './fetch.ts';
import { neutralLock, rootManifest } from './lock-files.ts';
import { isBundle } from './manifest.ts';
import { byBytes, hostileName, isPackageName, isVersion, oneLine, tarballName } from './names.ts';
import { packuments as openPackuments, type Packuments } from './packuments.ts';
import { readPackage } from './tarball.ts';
import { idealTree, type Tree, type TreeOptions } from './tree.ts';

/** See `Adapter.resolve`. docs/npm.md lists the codes. */
export async function resolve(
  source: Source,
  platforms: readonly Platform[],
  options: ResolveOptions,
): Promise<Resolution> {
  const configuration = await npmConfiguration(options);
  const packuments = openPackuments(configuration, join(options.cache, 'packuments'), options.signal);
  const choosing = { configuration, packuments, before: options.before };
  const version = await chooseVersion(source.name, source.range, choosing);
  options.progress?.(`resolving ${source.name}@${version}`);
  await mkdir(options.cache, { recursive: true });
  return withTemporaryFolder(await realpath(options.cache), async (folder) => {
    const manifest = rootManifest(source.name, version);
    await writeFile(join(folder, 'package.json'), manifest);
    const tree: TreeOptions = {
      configuration,
      npmCache: packuments.npmCache,
      cacache: join(options.cache, '_cacache'),
      before: options.before,
    };
    const [first, ...others] = platforms;
    if (!first) throw new Error('no platform to resolve for');
    const views = await viewsOf(folder, [first, ...others], tree, options).catch(async (error: unknown) => {
      options.signal?.throwIfAborted();
      throw await treeFault(packuments.failures[0] ?? error, formatSource(source), (name, wanted) =>
        tooNewOf(name, wanted, choosing),
      );
    });
    // An optional dependency that couldn't be asked for is not one that isn't there.
    const [failure] = packuments.failures;
    if (failure) throw failure;
    return await resolutionOf({ source, version, manifest, views, options, packuments, flat: configuration.flat });
  });
}

interface View {
  readonly platform: Platform;
  readonly root: ArboristNode;
  readonly taken: readonly ArboristNode[];
  readonly lock: string;
}

type Views = readonly [View, ...View[]];

/** The same tree as each platform sees it; all but the first are read from its lock. */
async function viewsOf(
  folder: string,
  platforms: readonly [Platform, ...Platform[]],
  tree: TreeOptions,
  options: ResolveOptions,
): Promise<Views> {
  const [first, ...others] = platforms;
  let view = viewOf(first, await idealTree(folder, first, tree));
  const bundles = view.taken.filter((node) => !node.inBundle && isBundle(node.package));
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

interface Resolved {
  readonly source: Source;
  readonly version: string;
  readonly manifest: string;
  readonly views: Views;
  readonly options: ResolveOptions;
  readonly packuments: Packuments;
  readonly flat: FlatOptions;
}

async function resolutionOf({
  source,
  version,
  manifest,
  views,
  options,
  packuments,
  flat,
}: Resolved): Promise<Resolution> {
  const [first] = views;
  const times = await timesOf(views, packuments);
  const layers: Partial<Record<Platform, readonly LayerLock[]>> = {};
  let server: NpmArtifact | undefined;
  for (const { platform, taken } of views) {
    const artifacts = artifactsOf(taken, {
      flat,
      requireAge: options.before !== undefined,
      uploaded: (name, version) => times.get(`${name}@${version}`),
    });
    const isServer = (artifact: NpmArtifact) => artifact.locations.includes(`node_modules/${source.name}`);
    server ??= artifacts.find(isServer);
    layers[platform] = layersOf(artifacts, isServer);
  }
  if (!server) throw new Error(`${source.name} is not in its own tree`);
  warnOfDeprecated(views, options);
  const contents = await stageTarball(server, options).then((path) =>
    readPackage({ name: source.name, version, open: () => createReadStream(path) }),
  );
  refuseShadowing(contents.paths, server, first.taken);
  const { argv } = await entrypointOf(contents, options.bin);
  const scripted = views.flatMap(({ taken }) => taken.filter((node) => node.hasInstallScript).map(nameOf));
  return {
    version,
    entrypoint: argv,
    files: { 'package.json': manifest, 'package-lock.json': neutralLock(first.lock) },
    layers,
    installScripts: [...new Set(scripted)].sort(byBytes),
  };
}

/** The server changes most often, so it is a layer of its own, over one with everything else. */
function layersOf(
  artifacts: readonly NpmArtifact[],
  isServer: (artifact: NpmArtifact) => boolean,
): readonly LayerLock[] {
  const dependencies = artifacts.filter((artifact) => !isServer(artifact));
  return [
    ...(dependencies.length > 0 ? [{ name: 'dependencies' as const, transform: TRANSFORM, files: dependencies }] : []),
    { name: 'server' as const, transform: TRANSFORM, files: artifacts.filter(isServer) },
  ];
}

/** Upload times by `name@version`: Arborist has them on what it just resolved, the registry's documents for what it read from a lock. */
async function timesOf(views: Views, packuments: Packuments): Promise<ReadonlyMap<string, string>> {
  const times = new Map<string, string>();
  for (const node of views[0].root.inventory.values()) {
    const time = instant(node.package._time);
    if (time !== undefined) times.set(nameOf(node), time);
  }
  for (const node of views.flatMap(({ taken }) => taken)) {
    if (node.inBundle || times.has(nameOf(node))) continue;
    const time = instant((await packuments.of(node.packageName ?? node.name)).time[node.version]);
    if (time !== undefined) times.set(nameOf(node), time);
  }
  return times;
}

function warnOfDeprecated(views: Views, { progress }: ResolveOptions): void {
  const lines = views.flatMap(({ taken }) =>
    taken.flatMap((node) =>
      typeof node.package.deprecated === 'string' && node.package.deprecated !== ''
        ? [`warning: ${nameOf(node)} is deprecated: ${oneLine(node.package.deprecated)}`]
        : [],
    ),
  );
  for (const line of new Set(lines)) progress?.(line);
}

/** The server's layer lies over its dependencies': files it brings at the place of a locked package would replace them unseen. */
function refuseShadowing(paths: ReadonlySet<string>, server: NpmArtifact, taken: readonly ArboristNode[]): void {
  const prefix = `node_modules/${server.name}/`;
  const places = taken
    .filter((node) => !node.inBundle && node.location.startsWith(prefix))
    .map((node) => node.location.slice(prefix.length));
  const path = [...paths].find(
    (path) => path.startsWith('node_modules/') && places.some((place) => path.startsWith(`${place}/`)),
  );
  if (path === undefined) return;
  throw new McpBuildError({
    code: 'bundle-conflict',
    message: `${server.name}@${server.version} carries ${oneLine(path)}, where its dependency of that name belongs`,
    input: `${server.name}@${server.version}`,
    fix: 'Take another version of it.',
    exit: 4,
  });
}

function wantedOf(node: ArboristNode): Pick<NpmArtifact, 'name' | 'version' | 'integrity' | 'file'> {
  const name = node.packageName ?? node.name;
  const { version } = node;
  if (!isPackageName(name) || !isVersion(version)) throw hostileName(`${name}@${version}`, node.location);
  return { name, version, integrity: strongest(node.integrity, nameOf(node)), file: tarballName(name, version) };
}
