import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { McpBuildError } from '../errors/index.ts';

/** A name beside `path` that no other process uses, for rename into place. */
export function temporaryBeside(path: string): string {
  return `${path}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`;
}

/**
 * Makes a folder and those above it that aren't there yet, all with this mode. Node's own way never ends where the system says of a folder whose parent is
 * there that it isn't, as below /proc. @throws what the system says, EPERM for such a place
 */
export async function makeFolders(path: string, mode = 0o777): Promise<void> {
  const make = async (): Promise<boolean> => {
    try {
      await mkdir(path, mode);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      if (!(await stat(path).catch(() => undefined))?.isDirectory()) throw error;
    }
    return true;
  };
  if (await make()) return;
  const parent = dirname(path);
  if (parent !== path) await makeFolders(parent, mode);
  // Its parent is there: this is a place where nobody makes folders.
  if (!(await make())) throw Object.assign(new Error(`EPERM: can't make ${path}`), { code: 'EPERM', path });
}

/** Writes a whole file or nothing: temporary name, fsync, rename. Parents are made. `mode` defaults to 0644. */
export async function writeAtomic(path: string, data: string | Uint8Array, mode = 0o644): Promise<void> {
  await makeFolders(dirname(path));
  const temporary = temporaryBeside(path);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.chmod(mode);
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Reads at most `limit` bytes. @throws McpBuildError `too-large`; the system's error where the file can't be read. */
export async function readBounded(path: string, limit: number): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > limit) {
    throw new McpBuildError({
      code: 'too-large',
      message: `${path} has ${size} bytes, more than the ${limit} that are read`,
      input: path,
      fix: 'Check that this is the file you mean.',
    });
  }
  return readFile(path);
}

interface Holder {
  readonly pid: number;
  readonly started: string;
}

/**
 * Runs `work` while no other process of this machine holds the same lock file. A holder that died, `kill -9` included,
 * is recognised by its pid and start time, and its lock is taken over.
 * @param timeout in milliseconds, 120,000 by default. @throws McpBuildError `busy`
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>, timeout = 120_000): Promise<T> {
  await makeFolders(dirname(path));
  const deadline = Date.now() + timeout;
  const mine: Holder = { pid: process.pid, started: (await startOf(process.pid)) ?? '' };
  const token = `${JSON.stringify({ ...mine, nonce: randomBytes(8).toString('hex') })}\n`;
  for (let wait = 5; ; wait = Math.min(wait * 1.5, 200)) {
    if (await take(path, token)) break;
    if (Date.now() > deadline) {
      throw new McpBuildError({
        code: 'busy',
        message: `Another mcp-build holds ${path}`,
        input: path,
        fix: 'Wait for it to end, then try again.',
      });
    }
    await breakIfDead(path);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
  try {
    return await work();
  } finally {
    // Only our own: a lock that was (wrongly) broken and taken by another is not ours to remove.
    if ((await readFile(path, 'utf8').catch(() => '')) === token) await rm(path, { force: true });
  }
}

async function take(path: string, token: string): Promise<boolean> {
  // Written whole under another name and linked into place, so that nobody ever reads half a holder.
  const { link, writeFile } = await import('node:fs/promises');
  const temporary = temporaryBeside(path);
  try {
    await writeFile(temporary, token, { flag: 'wx' });
    await link(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function breakIfDead(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  let holder: Holder;
  try {
    holder = JSON.parse(text) as Holder;
  } catch {
    holder = { pid: -1, started: '' };
  }
  if (holder.pid > 0 && (await startOf(holder.pid)) === holder.started && holder.started !== '') return;
  // Renamed away first: of several that see a dead holder only one gets the file, and it checks what it got.
  const grave = temporaryBeside(path);
  try {
    await rename(path, grave);
  } catch {
    return;
  }
  if ((await readFile(grave, 'utf8').catch(() => '')) !== text) {
    const { link } = await import('node:fs/promises');
    await link(grave, path).catch(() => undefined);
  }
  await rm(grave, { force: true });
}

/** Something that differs between two processes that had the same pid; undefined when the process is gone. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 22, counted after the command name, which may itself hold spaces and parentheses.
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    if (process.platform === 'linux') return undefined;
    try {
      process.kill(pid, 0);
      return 'alive';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM' ? 'alive' : undefined;
    }
  }
}

/** A fresh folder under `parent`, removed with everything in it when `work` ends, however it ends. */
export async function withTemporaryFolder<T>(parent: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(parent, `tmp-${process.pid}-${randomBytes(6).toString('hex')}`);
  await makeFolders(folder, 0o700);
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
