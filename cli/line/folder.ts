import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  formatLock,
  type Lock,
  lockDigest,
  type Platform,
  type PlatformLock,
  parseLock,
} from '../../builders/index.ts';
import { sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded, withFileLock, writeAtomic } from '../../files/index.ts';

const IMAGE_LOCK = 'image.lock.json';
const TOOLS = 'tools.json';
const NATIVE: ReadonlySet<string> = new Set([
  'package.json',
  'package-lock.json',
  'requirements.in',
  'requirements.txt',
]);
/** In bytes. The largest known package-lock.json, of a thousand packages, has under one MB. */
const LIMIT = 32 * 1024 * 1024;

/** Every file that this program writes into a lock's folder. */
export const LOCK_FILES: readonly string[] = [...NATIVE, IMAGE_LOCK, TOOLS, '.lock'];

/** What `lockfiles/<name>/` holds. */
export interface LockFolder {
  readonly lock: Lock;
  /** Native lock files by name, as text. */
  readonly files: Readonly<Record<string, string>>;
}

/** The folder of a server among those that are committed. */
export function lockFolderOf(workingDirectory: string, name: string): string {
  return join(workingDirectory, 'lockfiles', name);
}

export async function hasLock(folder: string): Promise<boolean> {
  return (await readBounded(join(folder, IMAGE_LOCK), LIMIT).catch(() => undefined)) !== undefined;
}

/**
 * Reads a lock and checks that the native files beside it are the ones it was made with.
 * @throws McpBuildError `lock-missing`, `lock-invalid`, `lock-mismatch`
 */
export async function readLockFolder(folder: string): Promise<LockFolder> {
  const path = join(folder, IMAGE_LOCK);
  const text = await readBounded(path, LIMIT).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    throw new McpBuildError({
      code: 'lock-missing',
      message: `There is no lock at ${folder}`,
      input: folder,
      fix: 'Make one with `mcp-build lock npm:<package>` or `mcp-build lock pypi:<project>`.',
      exit: 2,
    });
  });
  const lock = parsedOnce(text, path);
  const files: Record<string, string> = {};
  for (const [name, digest] of Object.entries(lock.native)) {
    if (!NATIVE.has(name)) throw mismatch(path, `names the file "${name}"`);
    const bytes = await readBounded(join(folder, name), LIMIT).catch(() => undefined);
    if (!bytes) throw mismatch(join(folder, name), 'is missing');
    if (sha256(bytes) !== digest)
      throw mismatch(join(folder, name), 'is not the one that image.lock.json was made with');
    files[name] = bytes.toString('utf8');
  }
  return { lock, files };
}

let last: { readonly text: Buffer; readonly lock: Lock } | undefined;

/** A start reads the same lock at three places; to check it against its schema takes longer than to read it. */
function parsedOnce(text: Buffer, path: string): Lock {
  if (!last?.text.equals(text)) last = { text, lock: parseLock(text.toString('utf8'), path) };
  return last.lock;
}

/** A lock whose native files somebody else has brought up to date: as they are now, whatever the lock was made with. @throws McpBuildError as `readLockFolder` */
export async function readEditedFolder(folder: string): Promise<LockFolder> {
  const path = join(folder, IMAGE_LOCK);
  if (!(await hasLock(folder))) return readLockFolder(folder);
  const lock = parseLock((await readBounded(path, LIMIT)).toString('utf8'), path);
  const files: Record<string, string> = {};
  for (const name of Object.keys(lock.native)) {
    if (!NATIVE.has(name)) throw mismatch(path, `names the file "${name}"`);
    files[name] = (await readBounded(join(folder, name), LIMIT)).toString('utf8');
  }
  return { lock, files };
}

/**
 * Native files first and `image.lock.json` last, each whole: until the last rename the old lock reads as changed, never as another one.
 * A lock that came out as it was keeps its outputs, and the time at which it was first resolved.
 */
export async function writeLockFolder(folder: string, { lock, files }: LockFolder): Promise<void> {
  await withFileLock(join(folder, '.lock'), async () => {
    const kept = await readLockFolder(folder).catch(() => undefined);
    if (kept && lockDigest(kept.lock) === lockDigest(lock)) {
      // The same image, of which more may be known by now.
      const known = formatLock(withOriginsOf(kept.lock, lock));
      if (known !== formatLock(kept.lock)) await writeAtomic(join(folder, IMAGE_LOCK), known);
      return;
    }
    for (const [name, text] of Object.entries(files)) await writeAtomic(join(folder, name), text);
    await writeAtomic(join(folder, IMAGE_LOCK), formatLock(lock));
    await removeStale(folder, new Set([...Object.keys(files), IMAGE_LOCK, TOOLS, '.lock']));
  });
}

/** The first lock, with where the second says its packages were built; both have the same files. */
function withOriginsOf(lock: Lock, other: Lock): Lock {
  const platforms: Lock['platforms'] = {};
  for (const [name, one] of Object.entries(lock.platforms) as [Platform, PlatformLock][]) {
    const layers = one.layers.map((layer, at) => ({
      ...layer,
      files: other.platforms[name]?.layers[at]?.files ?? layer.files,
    }));
    platforms[name] = { ...one, layers };
  }
  return { ...lock, platforms };
}

/** Adds outputs to a lock whose inputs are unchanged. */
export async function writeOutputs(folder: string, lock: Lock): Promise<void> {
  const text = formatLock(lock);
  const path = join(folder, IMAGE_LOCK);
  if ((await readBounded(path, LIMIT)).toString('utf8') === text) return;
  await withFileLock(join(folder, '.lock'), () => writeAtomic(path, text));
}

/** A folder that changed ecosystem would otherwise keep the other one's native lock, and bots would go on reading it. */
async function removeStale(folder: string, keep: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    if (NATIVE.has(name) && !keep.has(name)) await rm(join(folder, name), { force: true });
  }
}

function mismatch(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'lock-mismatch',
    message: `${input} ${reason}`,
    input,
    fix: 'Restore it from version control, or bring the lock up to date with `mcp-build lock --refresh`.',
    exit: 4,
  });
}
