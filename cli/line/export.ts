import { writeFile } from 'node:fs/promises';
import { formatSource } from '../../builders/index.ts';
import { isFault } from '../../errors/index.ts';
import { formatReference } from '../../registry/index.ts';
import { type Client, exchange, exportInto, fileFor, readClient, runWords, type Started } from '../clients/index.ts';
import { versionTag } from './build.ts';
import { lockFolderOf, readLockFolder } from './folder.ts';
import type { Environment } from './home.ts';
import { defaultsOf, type Manifest, repositoryOf, type ServerEntry } from './manifest/index.ts';

export interface ExportOptions {
  readonly environment: Environment;
  /** What the client starts, before `run`. */
  readonly program: {
    readonly command: string;
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
  };
}

/**
 * How a client starts one server of a manifest: the published image of the locked version where the manifest names a registry, else its
 * source. @throws McpBuildError `variable-unset`, `lock-missing`, and what reading a lock throws
 */
export async function startedFrom(manifest: Manifest, entry: ServerEntry, options: ExportOptions): Promise<Started> {
  const { environment, program } = options;
  const { args, env } = defaultsOf(entry, environment);
  const { network, volumes } = entry.permissions;
  const source = await targetOf(manifest, entry, environment);
  const words = runWords({
    source,
    ...(entry.bin === undefined || manifest.registry !== undefined ? {} : { bin: entry.bin }),
    args,
    volumes: volumes.map(({ path, mode }) => (mode === 'rw' ? `${path}:rw` : path)),
    network,
    variables: [...Object.keys(env), ...entry.secrets.map(({ name }) => name)],
    moved: {},
  });
  return {
    name: entry.name,
    command: program.command,
    args: [...program.args, ...words],
    env: { ...env, ...program.env },
    secrets: entry.secrets.map(({ name }) => name),
  };
}

async function targetOf(manifest: Manifest, entry: ServerEntry, environment: Environment): Promise<string> {
  if (manifest.registry === undefined) return entry.file ?? formatSource(entry.source);
  const { lock } = await readLockFolder(lockFolderOf(manifest.folder, entry.name));
  return formatReference({ ...repositoryOf(manifest, entry.name, environment), tag: versionTag(lock) });
}

/** Puts servers into a client's file, which is made where there is none. @returns the backup of what was there before */
export async function writeExport(
  file: string,
  client: Client,
  servers: readonly Started[],
): Promise<string | undefined> {
  const before = await readClient(file).catch((error: unknown) => {
    if (isFault(error, 'client-file-missing')) return undefined;
    throw error;
  });
  if (before) return (await exchange(before, exportInto(before.text, file, client, servers), new Date())).backup;
  // Nothing of anybody's is overwritten: the client may have made it meanwhile.
  await writeFile(file, fileFor(client, servers), { flag: 'wx' });
  return undefined;
}
