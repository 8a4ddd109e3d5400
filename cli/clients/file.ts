import { constants } from 'node:fs';
import { access, type FileHandle, link, open, realpath, rename, rm } from 'node:fs/promises';
import { McpBuildError } from '../../errors/index.ts';
import { temporaryBeside, writeAtomic } from '../../files/index.ts';

/** In bytes. Claude Code keeps its history beside its servers. */
const LIMIT = 64 * 1024 * 1024;

/** A client's file as it was read, for an exchange that notices every other writer. */
export interface ClientBytes {
  /** As the user named it. */
  readonly file: string;
  /** Where it really is: a link to it stays a link. */
  readonly path: string;
  readonly bytes: Buffer;
  readonly text: string;
}

/** @throws McpBuildError `client-file-missing`, `client-file-unreadable`, `too-large` */
export async function readClient(file: string): Promise<ClientBytes> {
  const path = await realpath(file).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'ENOENT'
      ? new McpBuildError({
          code: 'client-file-missing',
          message: `${file} is not there`,
          input: file,
          fix: 'Check the path.',
          exit: 2,
        })
      : unreadable(file, cause.code ?? 'unreadable');
  });
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(file, cause.code ?? 'unreadable');
  });
  try {
    const bytes = await contentOf(handle, file);
    try {
      return { file, path, bytes, text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
    } catch {
      throw unreadable(file, 'not UTF-8');
    }
  } finally {
    await handle.close();
  }
}

export interface Exchanged {
  /** Beside the file, with what it held before. */
  readonly backup: string;
}

/** Gives a file a second name, as `link` of Node does. */
export type Link = (path: string, name: string) => Promise<void>;

/**
 * Puts another text in a file's place, keeping what was there beside it. The file is never absent and never half-written. Where
 * somebody else wrote it since it was read, nothing is done; a writer that hits the last instant finds its bytes in the backup.
 * @param second Node's own; where it says that the file system has no second names, the backup is a copy
 * @throws McpBuildError `client-file-changed`, `client-file-read-only`
 */
export async function exchange(before: ClientBytes, text: string, now: Date, second: Link = link): Promise<Exchanged> {
  const { file, path, bytes } = before;
  const old = await open(path, 'r');
  const temporary = temporaryBeside(path);
  try {
    const stat = await old.stat();
    await access(path, constants.W_OK).catch(() => {
      throw readOnly(file);
    });
    // Root may write anything; whoever took the permission away meant it.
    if ((stat.mode & 0o222) === 0) throw readOnly(file);
    if (!(await contentOf(old, file)).equals(bytes)) throw changed(file);
    const fresh = await open(temporary, 'wx', stat.mode & 0o777).catch((cause: NodeJS.ErrnoException) => {
      throw ['EACCES', 'EPERM', 'EROFS'].includes(cause.code ?? '') ? readOnly(file) : cause;
    });
    try {
      await fresh.chmod(stat.mode & 0o7777);
      const mine = await fresh.stat();
      if (mine.uid !== stat.uid || mine.gid !== stat.gid) await fresh.chown(stat.uid, stat.gid);
      await fresh.writeFile(text);
      await fresh.sync();
    } finally {
      await fresh.close();
    }
    const { backup, copied } = await keepAside(before, stat.mode, now, second);
    // The name must still mean what was read: editors put a new file in its place.
    const current = await open(path, 'r');
    const same = await current
      .stat()
      .then(async ({ ino }) => ino === stat.ino && (await contentOf(current, file)).equals(bytes));
    await current.close();
    if (!same) {
      await rm(backup, { force: true });
      throw changed(file);
    }
    await rename(temporary, path).catch(async (cause: NodeJS.ErrnoException) => {
      await rm(backup, { force: true });
      // A file that is mounted by itself, as containers have them, can't be replaced.
      throw ['EBUSY', 'EXDEV', 'EACCES', 'EPERM', 'EROFS'].includes(cause.code ?? '') ? readOnly(file) : cause;
    });
    if (copied) {
      // The old file has no name any more, but is still open here: what was put into it since it was copied goes into the backup.
      const last = await contentOf(old, file);
      if (!last.equals(bytes)) await writeAtomic(backup, last, stat.mode & 0o777);
    }
    return { backup };
  } finally {
    await old.close();
    await rm(temporary, { force: true });
  }
}

/** By which the file system says that it has no second names: FAT, many network and FUSE file systems, a file mounted by itself. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EXDEV',
  'EMLINK',
  'EINVAL',
]);

/** A second name for the very file: whatever an unlucky writer still puts into it is in the backup. A copy of it where there are none. */
async function keepAside(
  { path, bytes }: ClientBytes,
  mode: number,
  now: Date,
  second: Link,
): Promise<{ readonly backup: string; readonly copied: boolean }> {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace(/\..*$/, 'Z');
  let copied = false;
  for (let number = 0; ; number += 1) {
    const backup = `${path}.before-mcp-build-${stamp}${number === 0 ? '' : `-${number}`}`;
    try {
      await (copied ? copyTo(backup, bytes, mode) : second(path, backup));
      return { backup, copied };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!copied && NO_LINKS.has(code)) {
        copied = true;
        number -= 1;
      } else if (code !== 'EEXIST' || number > 99) throw error;
    }
  }
}

/** On the disk before the file is exchanged, and never over anything that is there. */
async function copyTo(backup: string, bytes: Buffer, mode: number): Promise<void> {
  const copy = await open(backup, 'wx', mode & 0o777);
  try {
    await copy.writeFile(bytes);
    await copy.sync();
  } catch (error) {
    await rm(backup, { force: true });
    throw error;
  } finally {
    await copy.close();
  }
}

async function contentOf(handle: FileHandle, file: string): Promise<Buffer> {
  const stat = await handle.stat();
  if (!stat.isFile()) throw unreadable(file, 'not a file');
  if (stat.size > LIMIT) {
    throw new McpBuildError({
      code: 'too-large',
      message: `${file} has ${stat.size} bytes, more than the ${LIMIT} that are read`,
      input: file,
      fix: 'Check that this is the file you mean.',
    });
  }
  const bytes = Buffer.alloc(stat.size);
  let at = 0;
  while (at < bytes.length) {
    const { bytesRead } = await handle.read(bytes, at, bytes.length - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}

function unreadable(file: string, why: string): McpBuildError {
  return new McpBuildError({
    code: 'client-file-unreadable',
    message: `${file} can't be read: ${why}`,
    input: file,
    fix: 'Give a text file in UTF-8 that you may read.',
    exit: 2,
  });
}

function readOnly(file: string): McpBuildError {
  return new McpBuildError({
    code: 'client-file-read-only',
    message: `${file} may not be written`,
    input: file,
    fix: 'Somebody manages it for you: change it where it comes from, with what `mcp-build export` prints.',
  });
}

function changed(file: string): McpBuildError {
  return new McpBuildError({
    code: 'client-file-changed',
    message: `${file} was changed by another program meanwhile; it was left as that program wrote it`,
    input: file,
    fix: 'Close the client that uses it, then try again.',
  });
}
