import { chmod, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolders } from '../../files/index.ts';
import type { Entry, FileEntry } from '../entry.ts';
import type { LayerLock } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { unavailable } from './faults.ts';

/** The version whose byte-code is made: that of the Python base. */
export const TAG = 'cpython-313';
const PYTHON = 'python3.13';

/** What it takes to start the interpreter, and nothing more of the base. */
const PACKAGES: ReadonlySet<string> = new Set([
  'libc6',
  'libexpat1',
  'zlib1g',
  `lib${PYTHON}-minimal`,
  `lib${PYTHON}-stdlib`,
  `${PYTHON}-minimal`,
]);

/** The packages whose version decides what byte-code looks like. */
const DECIDING: ReadonlySet<string> = new Set([`lib${PYTHON}-minimal`, `${PYTHON}-minimal`]);

const LOADERS: Readonly<Record<Platform, { readonly folder: string; readonly file: string }>> = {
  'linux/amd64': { folder: 'usr/lib/x86_64-linux-gnu', file: 'ld-linux-x86-64.so.2' },
  'linux/arm64': { folder: 'usr/lib/aarch64-linux-gnu', file: 'ld-linux-aarch64.so.1' },
};

/** How the interpreter under a folder is started. */
export interface Interpreter {
  readonly program: string;
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
}

/** A base with only the packages that its interpreter needs to start. @throws McpBuildError `bytecode-unavailable` without one */
export function interpreterLayer(base: LayerLock): LayerLock {
  const files = base.files.filter(({ name }) => PACKAGES.has(name));
  if (files.length === PACKAGES.size) return { ...base, files };
  throw unavailable(`the base has no ${PYTHON}`);
}

/** The part of a base that holds the standard library. */
export function libraryLayer(base: LayerLock): LayerLock {
  return { ...base, files: base.files.filter(({ name }) => name.startsWith(`lib${PYTHON}-`)) };
}

/**
 * What decides the byte-code of equal sources: the Debian versions of the interpreter, the same for each processor. A rebuild for one of them
 * alone (`+b1`) has the same sources.
 */
export function interpreterVersion(base: LayerLock): string {
  return base.files
    .filter(({ name }) => DECIDING.has(name))
    .map(({ name, version }) => `${name} ${version.replace(/\+b[0-9]+$/, '')}`)
    .sort()
    .join(', ');
}

/** Lays out the entries of `interpreterLayer` under a folder, as far as the interpreter needs them. Nothing is started. */
export async function placeInterpreter(
  entries: AsyncIterable<Entry>,
  platform: Platform,
  folder: string,
): Promise<Interpreter> {
  const { folder: libraries, file: loader } = LOADERS[platform];
  const links = new Map<string, string>();
  for await (const entry of entries) {
    if (entry.type === 'symlink') {
      // Only between libraries of one folder, which is what sonames are.
      if (dirname(entry.path) === libraries && !entry.target.includes('/')) links.set(entry.path, entry.target);
    } else if (entry.type === 'file') {
      if (isNeeded(entry.path, libraries)) await place(entry, folder);
      else await drain(entry);
    }
  }
  const { symlink } = await import('node:fs/promises');
  for (const [path, target] of links) await symlink(target, join(folder, path)).catch(() => undefined);
  const program = join(folder, libraries, loader);
  await chmod(program, 0o700).catch((cause: unknown) => {
    throw unavailable(`its base has no ${loader}`, cause);
  });
  return {
    program,
    // Neither the user's nor this machine's modules, paths or variables: its own standard library and what is written below.
    words: [
      ...['--library-path', join(folder, libraries), join(folder, 'usr/bin', PYTHON)],
      ...['-s', '-S', '-P', '-B', '-W', 'ignore', '-X', 'no_debug_ranges', '-X', 'utf8'],
    ],
    environment: { PYTHONHOME: join(folder, 'usr'), PYTHONHASHSEED: '0', LC_ALL: 'C.UTF-8' },
    folder,
  };
}

function isNeeded(path: string, libraries: string): boolean {
  if (path === `usr/bin/${PYTHON}`) return true;
  if (path.startsWith(`usr/lib/${PYTHON}/`))
    return path.endsWith('.py') || /\/lib-dynload\/resource\.[^/]+$/.test(path);
  return dirname(path) === libraries;
}

async function place(entry: FileEntry, folder: string): Promise<void> {
  const path = join(folder, entry.path);
  await makeFolders(dirname(path), 0o700);
  const file = await open(path, 'wx', 0o600);
  try {
    if (entry.content instanceof Uint8Array) await file.writeFile(entry.content);
    else for await (const part of entry.content) await file.writeFile(part);
  } finally {
    await file.close();
  }
}

/** Who makes entries checks them while they are read: one that isn't wanted is read all the same. */
export async function drain({ content }: FileEntry): Promise<void> {
  if (content instanceof Uint8Array) return;
  for await (const _ of content);
}
