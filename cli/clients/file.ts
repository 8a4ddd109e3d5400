import { constants } from 'node:fs';
import { access, type FileHandle, link, open, realpath, rename, rm } from 'node:fs/promises';
import { McpBuildError } from '../../errors/index.ts';
import { temporaryBeside } from '../../files/index.ts';

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

/**
 * Puts another text in a file's place, keeping what was there beside it. The file is never absent and never half-written. Where
 * somebody else wrote it since it was read, nothing is done; a writer that hits the last instant finds its bytes in the backup.
 * @throws McpBuildError `client-file-changed`, `client-file-read-only`
 */
export async function exchange(before: ClientBytes, text: string, now: Date): Promise<Exchanged> {
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
    const backup = await linkAside(path, now);
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
    await rename(temporary, path);
    return { backup };
  } finally {
    await old.close();
    await rm(temporary, { force: true });
  }
}

/** A second name for the very file: whatever an unlucky writer still puts into it is in the backup. */
async function linkAside(path: string, now: Date): Promise<string> {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace(/\..*$/, 'Z');
  for (let number = 0; ; number += 1) {
    const backup = `${path}.before-mcp-build-${stamp}${number === 0 ? '' : `-${number}`}`;
    try {
      await link(path, backup);
      return backup;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || number > 99) throw error;
    }
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
