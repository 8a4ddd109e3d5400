import { realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isFault, McpBuildError } from '../../../errors/index.ts';
import { readBounded, withFileLock, writeAtomic } from '../../../files/index.ts';
import { parseReference, type RemoteReference } from '../../../registry/index.ts';
import type { Environment } from '../home.ts';
import { unknownServer } from './edit.ts';
import { MANIFEST_LIMIT, parseManifest } from './read.ts';
import type { Manifest, ServerEntry } from './types.ts';
import { expand } from './variables.ts';

export const MANIFEST = 'mcp-build.yaml';

/** The manifest of a folder; undefined where it has none. @throws McpBuildError what `parseManifest` throws */
export async function findManifest(folder: string): Promise<Manifest | undefined> {
  const text = await textOf(join(folder, MANIFEST));
  // As the user sees it from where they are; what it names lies relative to the folder all the same.
  return text === undefined ? undefined : { ...parseManifest(text, MANIFEST), folder };
}

/** @throws McpBuildError `manifest-missing`, and what `parseManifest` throws */
export async function readManifest(folder: string): Promise<Manifest> {
  const manifest = await findManifest(folder);
  if (manifest) return manifest;
  throw new McpBuildError({
    code: 'manifest-missing',
    message: `There is no ${MANIFEST} in ${folder}`,
    input: folder,
    fix: 'Make one with `mcp-build add <source>`, or from a client’s configuration with `mcp-build import`.',
    exit: 2,
  });
}

/**
 * Changes a folder's manifest, whole or not at all, with no other mcp-build in between. @param edit gets undefined where there is none yet
 * @throws what `edit` throws; nothing is written then
 */
export async function editManifest(folder: string, edit: (text: string | undefined) => string): Promise<void> {
  const named = join(folder, MANIFEST);
  // Through a link, which somebody has put there for a reason.
  const path = await realpath(named).catch(() => named);
  await withFileLock(join(dirname(path), `.${MANIFEST}.lock`), async () => {
    const before = await textOf(path);
    const after = edit(before);
    if (after === before) return;
    const mode = (await stat(path).catch(() => undefined))?.mode;
    await writeAtomic(path, after, mode === undefined ? 0o644 : mode & 0o777);
  });
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readBounded(path, MANIFEST_LIMIT)).toString('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (isFault(error)) throw error;
    throw new McpBuildError({
      code: 'file-unreadable',
      message: `${path} can't be read: ${(error as NodeJS.ErrnoException).code}`,
      input: path,
      fix: 'Check its owner and mode.',
      exit: 2,
    });
  }
}

/** @throws McpBuildError `server-unknown` */
export function serverEntry(manifest: Manifest, name: string): ServerEntry {
  const found = manifest.servers.find((entry) => entry.name === name);
  if (found) return found;
  throw unknownServer(
    manifest.file,
    name,
    manifest.servers.map((entry) => entry.name),
  );
}

/** The named servers, each once and in the manifest's order; all of them where none is named. @throws McpBuildError `server-unknown` */
export function selectServers(manifest: Manifest, names: readonly string[]): readonly ServerEntry[] {
  const wanted = new Set(names.map((name) => serverEntry(manifest, name)));
  return wanted.size === 0 ? manifest.servers : manifest.servers.filter((entry) => wanted.has(entry));
}

/**
 * Where a server is published: its repository below the manifest's registry. @param registry instead of the manifest's
 * @throws McpBuildError `registry-missing`, `variable-unset`, `reference-invalid`
 */
export function repositoryOf(
  { file, registry: written }: Pick<Manifest, 'file' | 'registry'>,
  name: string,
  environment: Environment,
  registry = written === undefined ? undefined : expand(written, environment, `registry in ${file}`),
): RemoteReference {
  if (registry === undefined) {
    throw new McpBuildError({
      code: 'registry-missing',
      message: `${file} does not say where to publish`,
      input: file,
      fix: 'Write registry: registry.example.com/mcp, or give --to.',
      exit: 2,
    });
  }
  const text = `${registry.replace(/\/+$/, '')}/${name}`;
  const reference = parseReference(text);
  if (reference.kind === 'remote' && reference.tag === undefined && reference.digest === undefined) return reference;
  throw new McpBuildError({
    code: 'reference-invalid',
    message: `"${registry}" is not a registry, or a folder of one`,
    input: registry,
    fix: 'Write registry.example.com/mcp.',
    exit: 2,
  });
}

/** What a server is started with when the user says nothing else. @throws McpBuildError `variable-unset` */
export function defaultsOf(
  entry: Pick<ServerEntry, 'name' | 'args' | 'env'>,
  environment: Environment,
): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  return {
    args: entry.args.map((arg) => expand(arg, environment, `args of ${entry.name}`)),
    env: Object.fromEntries(
      Object.entries(entry.env).map(([key, value]) => [key, expand(value, environment, `${key} of ${entry.name}`)]),
    ),
  };
}

/** What a server is started with for a test: its own defaults, and the dummies for what it requires. @throws McpBuildError `variable-unset` */
export function testValuesOf(
  entry: Pick<ServerEntry, 'name' | 'args' | 'env' | 'test'>,
  environment: Environment,
): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const { args, env } = entry.test.kind === 'run' ? { args: entry.args, ...entry.test } : { args: entry.args, env: {} };
  return defaultsOf({ name: entry.name, args, env: { ...entry.env, ...env } }, environment);
}
