import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { formatSource } from '../../builders/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import {
  type ClientBytes,
  exchange,
  type Planned,
  type Program,
  plan,
  readClient,
  readClientFile,
  rewrite,
  type Server,
} from '../clients/index.ts';
import type { Environment, Home } from './home.ts';
import { addServer, editManifest, findManifest, MANIFEST, type NewServer } from './manifest/index.ts';
import { prepare } from './prepare.ts';
import { mainProgram } from './program.ts';

export interface ImportOptions {
  readonly home: Home;
  readonly environment: Environment;
  /** Sources named for entries that can't be understood, by the entry's name. */
  readonly sources: Readonly<Record<string, string>>;
  readonly network?: readonly string[] | 'all' | 'none';
  /** Only these entries; all by default. */
  readonly only: readonly string[];
  /** Names a manifest has already, with their sources. */
  readonly taken: ReadonlyMap<string, string>;
}

/** A client's file as it is now, and what would become of each of its servers. */
export interface Imported {
  readonly client: ClientBytes;
  readonly planned: readonly Planned[];
}

/** @throws McpBuildError `client-file-…`, `server-unknown` */
export async function importClient(file: string, options: ImportOptions): Promise<Imported> {
  const client = await readClient(file);
  const { places } = readClientFile(client.text, file);
  const names = places.map((place) => (place.kind === 'other' ? place.name : place.entry.name));
  for (const name of [...options.only, ...Object.keys(options.sources)]) {
    if (names.includes(name)) continue;
    throw new McpBuildError({
      code: 'server-unknown',
      message: `${file} has no server "${name}"`,
      input: name,
      fix: `Use one of ${names.slice(0, 20).join(', ')}.`,
      exit: 2,
    });
  }
  const planned = plan(places, {
    sources: options.sources,
    ...(options.network === undefined ? {} : { network: options.network }),
    taken: options.taken,
    home: homedir(),
    exists: existsSync,
  });
  return { client, planned: planned.filter(({ name }) => options.only.length === 0 || options.only.includes(name)) };
}

export interface Ahead {
  /** Names of entries whose server is ready, and why the others are not. */
  readonly ready: ReadonlySet<string>;
  readonly failed: ReadonlyMap<string, McpBuildError>;
}

/** Builds every server now, one after the other: a client waits only seconds for each when it starts. */
export async function buildAhead(
  planned: readonly Planned[],
  options: Pick<ImportOptions, 'home' | 'environment'> & {
    readonly progress: (line: string) => void;
    readonly say: (line: string) => void;
  },
): Promise<Ahead> {
  const ready = new Set<string>();
  const failed = new Map<string, McpBuildError>();
  for (const one of planned) {
    if (one.kind !== 'server') continue;
    try {
      await prepare(one.start.source, { ...options, bin: one.start.bin });
      ready.add(one.name);
    } catch (error) {
      if (!isFault(error)) throw error;
      failed.set(one.name, error);
    }
  }
  return { ready, failed };
}

/** How a client is to start this mcp-build: with the state that it has here. */
export function programFor(environment: Environment): Program {
  const kept = ['MCP_BUILD_HOME', 'XDG_DATA_HOME', 'DOCKER_HOST'].flatMap((name) => {
    const value = environment[name];
    return value ? [[name, value] as const] : [];
  });
  return { ...mainProgram(), env: Object.fromEntries(kept) };
}

/** How often a file that others write meanwhile is read again before giving up. */
const TRIES = 3;

/**
 * Lets a client start its servers through this mcp-build. What the file holds *now* is changed, as building took a while; an entry that
 * somebody edited meanwhile is left alone.
 * @returns undefined where there was nothing to change @throws McpBuildError as `exchange` and `rewrite`
 */
export async function rewriteClient(
  { client, planned }: Imported,
  ready: ReadonlySet<string>,
  options: ImportOptions,
): Promise<{ readonly backup: string; readonly names: readonly string[] } | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const now = await importClient(client.file, options);
    const rewrites = now.planned.flatMap((one) => {
      const before = planned.find(({ name }) => name === one.name);
      const same = before?.kind === 'server' && one.kind === 'server' && isDeepStrictEqual(before.entry, one.entry);
      return same && one.entry && ready.has(one.name) ? [{ entry: one.entry, start: one.start }] : [];
    });
    if (rewrites.length === 0) return undefined;
    const { syntax } = readClientFile(now.client.text, client.file);
    const text = rewrite(now.client.text, client.file, syntax, rewrites, programFor(options.environment));
    try {
      const { backup } = await exchange(now.client, text, new Date());
      return { backup, names: rewrites.map(({ entry }) => entry.name) };
    } catch (error) {
      if (!isFault(error, 'client-file-changed') || attempt >= TRIES) throw error;
    }
  }
}

/** Names of a folder's manifest, with their sources. @throws McpBuildError as `parseManifest` */
export async function manifestNames(folder: string): Promise<ReadonlyMap<string, string>> {
  const manifest = await findManifest(folder);
  return new Map(manifest?.servers.map(({ name, source }) => [name, formatSource(source)]));
}

/**
 * Adds servers to a folder's manifest, each or none of it. @returns the names added, and what the manifest refuses of the others
 * @throws McpBuildError what reading the manifest throws
 */
export async function addToManifest(
  folder: string,
  servers: readonly Server[],
): Promise<{ readonly added: readonly string[]; readonly failed: ReadonlyMap<string, McpBuildError> }> {
  const added: string[] = [];
  const failed = new Map<string, McpBuildError>();
  const known = await manifestNames(folder);
  for (const server of servers) {
    if (known.has(server.name) || added.includes(server.name)) continue;
    try {
      await editManifest(folder, (text) => addServer(text, MANIFEST, server.name, manifestEntry(server)));
      added.push(server.name);
    } catch (error) {
      if (!isFault(error)) throw error;
      failed.set(server.name, error);
    }
  }
  return { added, failed };
}

function manifestEntry({ source, bin, args, env, secrets, volumes, network }: Server): NewServer {
  const mounts = volumes.map((volume) => ({
    path: volume.replace(/:rw$/, ''),
    ...(volume.endsWith(':rw') ? { mode: 'rw' as const } : {}),
  }));
  const permissions = {
    ...(network === 'none' ? {} : { network: network === 'all' ? network : [...network] }),
    ...(mounts.length > 0 ? { volumes: mounts } : {}),
  };
  // In a manifest a dollar sign begins a variable.
  const literal = (word: string) => word.replaceAll('$', '$$$$');
  return {
    source,
    ...(bin === undefined ? {} : { bin }),
    ...(args.length > 0 ? { args: args.map(literal) } : {}),
    ...(Object.keys(env).length > 0
      ? { env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, literal(value)])) }
      : {}),
    ...(secrets.length > 0 ? { secrets: [...secrets] } : {}),
    ...(Object.keys(permissions).length > 0 ? { permissions } : {}),
  };
}
