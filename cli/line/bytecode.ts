import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  bakeBytecode,
  bytecodeUnavailable,
  type Compiler,
  compilerOf,
  interpreterLayer,
  interpreterVersion,
  libraryLayer,
  placeInterpreter,
  sourceLayer,
} from '../../builders/bytecode/index.ts';
import type { Entry, LayerLock, Lock, Open, Platform } from '../../builders/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { makeFolders } from '../../files/index.ts';
import type { Environment } from './home.ts';

/** Makes layers of Python byte-code, with the interpreter of the lock's own base. */
export interface PythonCompiler {
  /** @throws McpBuildError `bytecode-unavailable`, `bytecode-failed`, `lock-invalid` */
  bake(layer: LayerLock, platform: Platform, below: readonly LayerLock[]): AsyncGenerator<Entry>;
  /** Ends the interpreter, if one was started, and removes it. */
  close(): Promise<void>;
}

export interface PythonOptions {
  readonly open: Open;
  /** Where the interpreter is laid out while it is needed. */
  readonly cache: string;
  readonly environment: Environment;
}

/** More of them would fill memory rather than processors: the main thread feeds them all. */
const PROCESSES = 4;

/** The platform whose interpreter this machine can start without an emulator. */
export function compilingPlatform(
  system: string = process.platform,
  architecture: string = process.arch,
): Platform | undefined {
  if (system !== 'linux') return undefined;
  return ({ x64: 'linux/amd64', arm64: 'linux/arm64' } as const)[architecture];
}

/** Nothing is read or started before the first layer is asked for. */
export function pythonCompiler(lock: Lock, options: PythonOptions): PythonCompiler {
  let folder: string | undefined;
  const compilers = new Map<string, Promise<Compiler>>();

  async function start(version: string, host: Platform): Promise<Compiler> {
    const layer = interpreterLayer(await hostBase(lock, version, host, options.environment));
    await makeFolders(options.cache);
    folder ??= await mkdtemp(join(options.cache, `tmp-${process.pid}-`));
    const root = await mkdtemp(join(folder, 'python-'));
    const { bakeBase } = await import('../../builders/debian/index.ts');
    const interpreter = await placeInterpreter(bakeBase(layer, host, options.open), host, root);
    return compilerOf(interpreter, Math.min(PROCESSES, availableParallelism()));
  }

  return {
    async *bake(layer, platform, below) {
      const base = below.find(({ transform }) => transform === 'debian/1');
      const source = sourceLayer(layer, below);
      if (!base || !source) throw noSource(lock, layer);
      const host = compilingPlatform();
      if (!host) throw bytecodeUnavailable(`it has ${process.platform} on ${process.arch}`);
      const version = interpreterVersion(base);
      const running = compilers.get(version) ?? start(version, host);
      compilers.set(version, running);
      yield* bakeBytecode(await sourcesOf(source, platform, options.open), await running);
    },
    async close() {
      for (const compiler of await Promise.allSettled(compilers.values())) {
        if (compiler.status === 'fulfilled') await compiler.value.close();
      }
      if (folder) await rm(folder, { recursive: true, force: true });
    },
  };
}

async function sourcesOf(source: LayerLock, platform: Platform, open: Open): Promise<AsyncIterable<Entry>> {
  if (source.transform === 'debian/1') {
    const { bakeBase } = await import('../../builders/debian/index.ts');
    return bakeBase(libraryLayer(source), platform, open);
  }
  const { pypi } = await import('../../builders/pypi/index.ts');
  return pypi.bake(source, platform, open);
}

/** The base of this machine's platform with the very interpreter that is wanted: of the lock itself, else of its recipe. */
async function hostBase(lock: Lock, version: string, host: Platform, environment: Environment): Promise<LayerLock> {
  const own = lock.platforms[host]?.layers.find(({ transform }) => transform === 'debian/1');
  if (own && interpreterVersion(own) === version) return own;
  if (lock.base.kind === 'recipe') {
    const { imagesFolders, readBaseLock } = await import('../../builders/debian/index.ts');
    const { recipe } = lock.base;
    const { platforms } = await readBaseLock(recipe, await imagesFolders(environment)).catch((error: unknown) => {
      if (isFault(error)) return { platforms: {} as Lock['platforms'] };
      throw error;
    });
    const current = platforms[host]?.layers.find(({ transform }) => transform === 'debian/1');
    if (current && interpreterVersion(current) === version) return current;
  }
  throw bytecodeUnavailable(`it needs ${version} for ${host}, and the lock has that for other platforms only`);
}

function noSource(lock: Lock, layer: LayerLock): McpBuildError {
  return new McpBuildError({
    code: 'lock-invalid',
    message: `Lock ${lock.name} has a layer ${layer.name} without the layers it is compiled from`,
    input: lock.name,
    fix: 'Restore it from version control, or make it again with `mcp-build lock`.',
  });
}
