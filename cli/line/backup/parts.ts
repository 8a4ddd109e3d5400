import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { McpBuildError } from '../../../errors/index.ts';
import type { Environment, Home } from '../home.ts';

/** Something that is kept together and restored together. */
export interface Part {
  /** `state`, `config`, `workspace`, or an absolute path that was named. */
  readonly name: string;
  /** The folder or file. */
  readonly path: string;
  /** Names at the top that are taken; all where undefined. */
  readonly only?: (name: string) => boolean;
}

export interface Entry {
  /** Below the part's path, with `/`; empty for the path itself. */
  readonly path: string;
  readonly file: string;
  readonly type: 'file' | 'folder' | 'link';
  readonly stat: BigIntStats;
  readonly target?: string;
}

/** More in one part, and it is a disk that somebody named by mistake. */
const ENTRIES = 1_000_000;

/** Made again from what is kept: images come with their own copy, downloads from registries, sockets from running servers. */
const NOT_STATE = new Set(['store', 'cache', 'run']);

/** What a folder of a team's servers keeps under version control, or should. */
const WORKSPACE = new Set(['mcp-build.yaml', 'lockfiles', 'policy.yaml', 'images']);

export function statePart(home: Home): Part {
  return { name: 'state', path: home.root, only: (name) => !NOT_STATE.has(name) && !isPassing(name) };
}

export function configPart(environment: Environment): Part {
  return { name: 'config', path: configFolder(environment), only: (name) => !isPassing(name) };
}

export function workspacePart(folder: string): Part {
  return { name: 'workspace', path: folder, only: (name) => WORKSPACE.has(name) };
}

export function configFolder(environment: Environment): string {
  const configured = environment.XDG_CONFIG_HOME;
  const parent =
    configured && isAbsolute(configured) ? configured : join(environment.HOME ?? '/nonexistent', '.config');
  return join(parent, 'mcp-build');
}

function isPassing(name: string): boolean {
  return name.endsWith('.tmp') || name.endsWith('.lock') || name === '.lock' || name.startsWith('before-restore-');
}

/** Everything of a part, folders before what is in them, by name. @throws McpBuildError `backup-unreadable` */
export async function entriesOf(part: Part): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  const visit = async (path: string, only?: Part['only']): Promise<void> => {
    const file = path === '' ? part.path : join(part.path, path);
    const stat = await lstat(file, { bigint: true });
    if (entries.length === ENTRIES) throw unreadable(part.path, `holds more than ${ENTRIES} files`);
    if (stat.isSymbolicLink()) {
      entries.push({ path, file, type: 'link', stat, target: await readlink(file) });
    } else if (stat.isDirectory()) {
      entries.push({ path, file, type: 'folder', stat });
      for (const name of (await readdir(file)).sort()) {
        if (only && !only(name)) continue;
        // Gone since it was listed: what is removed while a backup is made need not be in it.
        await visit(path === '' ? name : `${path}/${name}`).catch(ignoreGone);
      }
    } else if (stat.isFile()) {
      entries.push({ path, file, type: 'file', stat });
    }
    // Sockets, pipes and devices hold nothing that could be kept.
  };
  await visit('', part.only).catch((error: NodeJS.ErrnoException) => {
    if (error instanceof McpBuildError) throw error;
    throw unreadable(error.path ?? part.path, `can't be read: ${error.code ?? error.message}`);
  });
  return entries;
}

/**
 * Equal as long as nothing was written: `ctime` moves with every change of a file's bytes or rights, and no program can set it back. The
 * recipients count too, since an archive for others is another archive.
 */
export function fingerprint(part: Part, entries: readonly Entry[], recipients: readonly string[]): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([1, part.name, part.path, recipients]));
  for (const { path, type, target, stat } of entries) {
    const { mode, uid, gid, size, ino, mtimeNs, ctimeNs } = stat;
    // A folder's times move when something passing comes and goes in it; its entries are listed anyway.
    const times = type === 'folder' ? [] : [size, ino, mtimeNs, ctimeNs];
    hash.update(`\n${JSON.stringify([path, type, target, ...[mode, uid, gid, ...times].map(String)])}`);
  }
  return hash.digest('hex');
}

function ignoreGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

export function unreadable(path: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'backup-unreadable',
    message: `${path} ${reason}`,
    input: path,
    fix: 'Leave it out, or run the backup as a user who may read all of it. No backup was made.',
  });
}
