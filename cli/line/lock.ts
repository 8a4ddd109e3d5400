import { bridgeArtifact, bridgeLayer } from '../../builders/bridge/index.ts';
import { BYTECODE_TRANSFORM, bytecodeLayer } from '../../builders/bytecode/index.ts';
import { imagesFolder, imagesFolders, lockSystem, readBaseLock } from '../../builders/debian/index.ts';
import {
  type Base,
  defaultName,
  formatSource,
  type Launch,
  type LayerLock,
  LOCAL_INDEX,
  type LocalFile,
  type Lock,
  type Platform,
  type Raised,
  type Resolution,
  type Source,
  withLimits,
} from '../../builders/index.ts';
import { refreshNpm } from '../../builders/npm/index.ts';
import { refreshPypi } from '../../builders/pypi/index.ts';
import { sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { openLayout } from '../../registry/index.ts';
import { adapterOf } from './adapters.ts';
import { checkBase } from './base.ts';
import { compilingPlatform } from './bytecode.ts';
import type { LockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';

/** Releases younger than this are not taken: most hijacked ones are found within hours. In days. */
export const RELEASE_AGE_DAYS = 3;

export interface LockOptions {
  readonly name?: string;
  readonly platforms: readonly Platform[];
  /** In days; 0 switches the check off. */
  readonly releaseAge: number;
  readonly bin?: string;
  /** Native lock files to follow instead of choosing anew: a bot has bumped them. */
  readonly native?: Readonly<Record<string, string>>;
  /** A foreign base; the default is the ecosystem's own recipe. */
  readonly base?: Base;
  /** Debian packages to add to the base. */
  readonly system?: readonly string[];
  /** What archives may hold beyond the defaults; by default what the lock that is made anew allows. */
  readonly limits?: Raised | undefined;
  /** The server's own file, where the source is one. */
  readonly local?: LocalFile | undefined;
  /** How the source's `server.json` says it is started. */
  readonly launch?: Launch | undefined;
  /** See `ResolveOptions`. */
  readonly overrides?: Readonly<Record<string, string>> | undefined;
  readonly young?: readonly { readonly name: string; readonly version: string }[];
  /** Python byte-code; by default where this machine can compile it. */
  readonly bytecode?: boolean;
  /** `http`: with a bridge in front of it. */
  readonly transport?: 'http' | undefined;
  /** The lock that is made anew: what stays the same in it keeps its dates. */
  readonly previous?: Lock | undefined;
  readonly home: Home;
  readonly environment: Environment;
  /** See `ResolveOptions.workspace`. */
  readonly workspace: string | undefined;
  readonly now: Date;
  readonly progress?: (line: string) => void;
}

export interface Locked extends LockFolder {
  readonly installScripts: readonly string[];
}

/** Resolves a source on top of its base: the one step of the line that chooses. */
export function lockSource(source: Source, options: LockOptions): Promise<Locked> {
  const limits = options.limits ?? options.previous?.limits;
  return withLimits(limits, () => lockWithin(source, { ...options, ...(limits ? { limits } : {}) }));
}

async function lockWithin(source: Source, options: LockOptions): Promise<Locked> {
  if (options.native && options.previous && isLocal(options.previous)) throw lockedFromFile(options.previous);
  const adapter = await adapterOf(source.ecosystem);
  const base: Base = options.base ?? { kind: 'recipe', recipe: adapter.base };
  const bytecode = wantsBytecode(source, base, options);
  // Before the base is read: what can't be locked is refused without asking anyone.
  const system = await systemLayers(base, options);
  if (base.kind === 'image') {
    options.progress?.(`reading base ${base.reference}`);
    await checkBase(
      base,
      source.ecosystem,
      options.platforms,
      await openLayout(options.home.store),
      options.environment,
    );
  }
  const epoch = sourceDateEpoch(options.environment);
  const clock = epoch ?? options.now;
  const before = options.releaseAge > 0 ? new Date(clock.getTime() - options.releaseAge * 86_400_000) : undefined;
  options.progress?.(`resolving ${formatSource(source)}`);
  const settings = {
    cache: options.home.cache,
    before,
    workspace: options.workspace,
    environment: options.environment,
    ...(options.local ? { local: options.local } : {}),
    ...(options.bin === undefined ? {} : { bin: options.bin }),
    overrides: options.overrides,
    young: options.young,
    ...(options.progress ? { progress: options.progress } : {}),
  };
  const resolution = options.native
    ? await refreshOf(source.ecosystem)(source, options.platforms, options.native, settings)
    : await adapter.resolve(source, options.platforms, settings);
  const platforms: Lock['platforms'] = {};
  for (const platform of options.platforms) {
    const own = [system[platform], ...(resolution.layers[platform] ?? [])].filter((layer) => layer !== undefined);
    const layers = [
      ...(await baseLayers(base, base.kind === 'recipe' ? base.recipe : adapter.base, platform, options.environment)),
      ...own,
    ];
    const whole = bytecode ? withBytecode(layers) : layers;
    platforms[platform] = {
      layers: options.transport === 'http' ? await withBridge(whole, platform, options.environment) : whole,
    };
  }
  const lock: Lock = {
    lockVersion: 1,
    name: options.name ?? defaultName(source),
    source: { ecosystem: source.ecosystem, name: source.name, range: source.range, version: resolution.version },
    ...(resolution.serverName === undefined ? {} : { serverName: resolution.serverName }),
    before: before?.toISOString() ?? null,
    created: (epoch ?? releasedAt(resolution)).toISOString(),
    native: Object.fromEntries(Object.entries(resolution.files).map(([name, text]) => [name, sha256(text)])),
    base,
    ...(options.system && options.system.length > 0 ? { system: [...new Set(options.system)] } : {}),
    ...(options.overrides && Object.keys(options.overrides).length > 0 ? { overrides: options.overrides } : {}),
    ...(options.bin === undefined ? {} : { bin: options.bin }),
    entrypoint: resolution.entrypoint,
    ...(options.transport === undefined ? {} : { transport: options.transport }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.launch === undefined ? {} : { launch: options.launch }),
    platforms,
  };
  return { lock, files: resolution.files, installScripts: resolution.installScripts };
}

/** @throws McpBuildError `bytecode-without-base` where it was asked for and can't be had */
function wantsBytecode({ ecosystem }: Source, base: Base, { bytecode, progress }: LockOptions): boolean {
  if (ecosystem === 'pypi' && base.kind === 'recipe') {
    const wanted = bytecode ?? compilingPlatform() !== undefined;
    if (!wanted) progress?.('no Python byte-code: servers will start slower');
    return wanted;
  }
  if (bytecode !== true) return false;
  throw new McpBuildError({
    code: 'bytecode-without-base',
    message:
      ecosystem === 'pypi'
        ? 'Byte-code is made with the interpreter of the built-in base, which --base replaces'
        : 'Only servers from PyPI have byte-code',
    input: ecosystem,
    fix: 'Leave out --bytecode.',
    exit: 2,
  });
}

/** Each layer of sources with its byte-code right above it, so that an upgrade moves both or neither. */
function withBytecode(layers: readonly LayerLock[]): readonly LayerLock[] {
  return layers.flatMap((layer) => {
    const { name } = layer;
    return name === 'base' || name === 'dependencies' || name === 'server' ? [layer, bytecodeLayer(name)] : [layer];
  });
}

/** On top, so that no file of the server replaces it; below everything the Node that starts it, where the server brings none. */
async function withBridge(
  layers: readonly LayerLock[],
  platform: Platform,
  environment: Environment,
): Promise<readonly LayerLock[]> {
  const bridge = bridgeLayer(await bridgeArtifact(await imagesFolder()));
  if (layers.some(({ name }) => name === 'runtime')) return [...layers, bridge];
  // The very layer of servers from npm: where both are, it is there once.
  const node = await baseLayers({ kind: 'recipe', recipe: 'node24' }, 'node24', platform, environment);
  const bases = layers.filter(({ name }) => name === 'base' || name === 'base-bytecode');
  const own = layers.filter((layer) => !bases.includes(layer));
  return [...bases, ...node.filter(({ name }) => name === 'runtime'), ...own, bridge];
}

/** Whether any of a lock's layers is byte-code. */
export function hasBytecode({ platforms }: Lock): boolean {
  return Object.values(platforms).some(({ layers }) =>
    layers.some(({ transform }) => transform === BYTECODE_TRANSFORM),
  );
}

function isLocal({ platforms }: Lock): boolean {
  return Object.values(platforms).some(({ layers }) =>
    layers.some(({ files }) => files.some(({ index }) => index === LOCAL_INDEX)),
  );
}

/** An index may have another package of that name: what nobody published must not be looked for there. */
function lockedFromFile({ name, source }: Lock): McpBuildError {
  return new McpBuildError({
    code: 'locked-from-file',
    message: `${name} was locked from a file, which no index has: there is nothing to follow`,
    input: `${source.name} ${source.version}`,
    fix: `Lock the file again: mcp-build lock PATH --name ${name}.`,
    exit: 2,
  });
}

function refreshOf(ecosystem: Source['ecosystem']): typeof refreshNpm {
  return ecosystem === 'npm' ? refreshNpm : refreshPypi;
}

async function systemLayers(
  base: Base,
  { system, platforms, previous, environment, now, progress }: LockOptions,
): Promise<Readonly<Partial<Record<Platform, LayerLock>>>> {
  if (!system || system.length === 0) return {};
  if (base.kind === 'image') {
    throw new McpBuildError({
      code: 'system-without-base',
      message: `Debian packages can't be added to ${base.reference}: what it has already is not known`,
      input: system.join(', '),
      fix: 'Put them into that image, or leave out --base.',
      exit: 2,
    });
  }
  const before = Object.entries(previous?.platforms ?? {}).map(
    ([platform, { layers }]) => [platform, layers.find(({ name }) => name === 'system')?.files ?? []] as const,
  );
  return lockSystem(system, platforms, {
    base: base.recipe,
    previous: Object.fromEntries(before),
    images: await imagesFolders(environment),
    now,
    environment,
    ...(progress ? { progress } : {}),
  });
}

/** What stands under the server: our own base, or on a foreign one only the runtime, which no base has in the version wanted. */
async function baseLayers(
  base: Base,
  recipe: string,
  platform: Platform,
  environment: Environment,
): Promise<readonly LayerLock[]> {
  const { platforms } = await readBaseLock(recipe, await imagesFolders(environment));
  const layers = platforms[platform]?.layers;
  if (layers) return base.kind === 'recipe' ? layers : layers.filter(({ name }) => name === 'runtime');
  throw new McpBuildError({
    code: 'platform-not-locked',
    message: `Base ${recipe} is not locked for ${platform}`,
    input: platform,
    fix: `Run \`mcp-build base update ${recipe} --platform ${platform}\`.`,
  });
}

/** When the server's own files were uploaded: a date that every resolution of the same version agrees on. */
function releasedAt(resolution: Resolution): Date {
  let newest = 0;
  for (const layers of Object.values(resolution.layers)) {
    for (const layer of layers ?? []) {
      if (layer.name !== 'server') continue;
      for (const { uploaded } of layer.files) newest = Math.max(newest, uploaded ? Date.parse(uploaded) : 0);
    }
  }
  return new Date(newest);
}

/** https://reproducible-builds.org/specs/source-date-epoch/ @throws McpBuildError `source-date-epoch-invalid` */
function sourceDateEpoch(environment: Environment): Date | undefined {
  const text = environment.SOURCE_DATE_EPOCH;
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,11}$/.test(text)) return new Date(Number(text) * 1000);
  throw new McpBuildError({
    code: 'source-date-epoch-invalid',
    message: `SOURCE_DATE_EPOCH "${text}" is not a number of seconds`,
    input: text,
    fix: 'Set it to whole seconds since 1970, or unset it.',
    exit: 2,
  });
}

/** How many packages a lock holds of its own, over all platforms: without the base. */
export function packageCount(lock: Lock): number {
  const names = new Set<string>();
  for (const { layers } of Object.values(lock.platforms)) {
    for (const layer of layers) {
      if (layer.name === 'base' || layer.name === 'runtime' || layer.name === 'bridge') continue;
      for (const file of layer.files) names.add(`${file.name}@${file.version}`);
    }
  }
  return names.size;
}
