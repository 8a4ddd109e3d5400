import { createReadStream } from 'node:fs';
import { realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArboristNode } from '@npmcli/arborist';
import { McpBuildError } from '../../errors/index.ts';
import { makeFolders, withTemporaryFolder } from '../../files/index.ts';
import type { Resolution, ResolveOptions } from '../adapter.ts';
import type { LayerLock, NpmArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { formatSource, type Source } from '../source.ts';
import { artifactsOf, instant, nameOf } from './artifacts.ts';
import { TRANSFORM } from './bake.ts';
import { chooseVersion, tooNewOf } from './choose.ts';
import { type NpmConfiguration, npmConfiguration } from './configuration.ts';
import { entrypointOf } from './entrypoint.ts';
import { treeFault } from './faults.ts';
import { stagedPath, stageTarball } from './fetch.ts';
import { localPackument, placeTarball } from './local.ts';
import { lockedVersion, neutralLock, rootManifest } from './lock-files.ts';
import { byBytes, oneLine } from './names.ts';
import { packuments as openPackuments, type Packuments } from './packuments.ts';
import { readPackage } from './tarball.ts';
import { type Views, viewsOf } from './views.ts';

/** See `Adapter.resolve`. docs/npm.md lists the codes. */
export async function resolve(
  source: Source,
  platforms: readonly Platform[],
  options: ResolveOptions,
): Promise<Resolution> {
  const npm = await open(options);
  const version = await chooseVersion(source.name, source.range, npm);
  return make(
    { source, version, platforms, files: { 'package.json': rootManifest(source.name, version, options.overrides) } },
    npm,
    options,
  );
}

/**
 * The resolution of native lock files that something else brought up to date: what they pin stays as it is, and is held to the same
 * rules. @param files `package.json` and `package-lock.json`. @throws McpBuildError `lock-invalid`; what `resolve` throws
 */
export async function refresh(
  source: Source,
  platforms: readonly Platform[],
  files: Readonly<Record<string, string>>,
  options: ResolveOptions,
): Promise<Resolution> {
  const lock = files['package-lock.json'] ?? '';
  const version = lockedVersion(lock, source.name);
  const native = {
    'package.json': rootManifest(source.name, version, options.overrides),
    'package-lock.json': neutralLock(lock),
  };
  return make({ source, version, platforms, files: native }, await open(options), options);
}

interface Npm {
  readonly configuration: NpmConfiguration;
  readonly packuments: Packuments;
  readonly before: Date | undefined;
  readonly young: NonNullable<ResolveOptions['young']>;
}

async function open(options: ResolveOptions): Promise<Npm> {
  const configuration = await npmConfiguration(options);
  const own = options.local && (await localPackument(options.local));
  const packuments = openPackuments(configuration, join(options.cache, 'packuments'), options.signal, own);
  await makeFolders(options.cache);
  if (options.local) await placeTarball(options.local, stagedPath(options.local, options.cache));
  return { configuration, packuments, before: options.before, young: options.young ?? [] };
}

interface Start {
  readonly source: Source;
  readonly version: string;
  readonly platforms: readonly Platform[];
  readonly files: Readonly<Record<'package.json', string>> & Readonly<Record<string, string>>;
}

async function make(
  { source, version, platforms, files }: Start,
  npm: Npm,
  options: ResolveOptions,
): Promise<Resolution> {
  const { configuration, packuments } = npm;
  const [first, ...others] = platforms;
  if (!first) throw new Error('no platform to resolve for');
  options.progress?.(`resolving ${source.name}@${version}`);
  return withTemporaryFolder(await realpath(options.cache), async (folder) => {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    const tree = {
      pinned: files['package-lock.json'] !== undefined,
      configuration,
      npmCache: packuments.npmCache,
      cacache: join(options.cache, '_cacache'),
      before: npm.before,
      young: npm.young,
    };
    const views = await viewsOf(folder, [first, ...others], tree, options).catch(async (error: unknown) => {
      options.signal?.throwIfAborted();
      throw await treeFault(packuments.failures[0] ?? error, formatSource(source), (name, wanted) =>
        tooNewOf(name, wanted, npm),
      );
    });
    // An optional dependency that couldn't be asked for is not one that isn't there.
    const [failure] = packuments.failures;
    if (failure) throw failure;
    return await resolutionOf({ source, version, manifest: files['package.json'], views, options, npm });
  });
}

interface Resolved {
  readonly source: Source;
  readonly version: string;
  readonly manifest: string;
  readonly views: Views;
  readonly options: ResolveOptions;
  readonly npm: Npm;
}

async function resolutionOf({ source, version, manifest, views, options, npm }: Resolved): Promise<Resolution> {
  const [first] = views;
  const times = await timesOf(views, npm.packuments);
  const layers: Partial<Record<Platform, readonly LayerLock[]>> = {};
  let server: NpmArtifact | undefined;
  for (const { platform, taken } of views) {
    const artifacts = artifactsOf(taken, {
      flat: npm.configuration.flat,
      before: options.before,
      young: options.young,
      ...(options.local ? { local: { key: `${source.name}@${version}`, file: options.local.file } } : {}),
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
