import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';

/** Bytes that can be read at any place: what a zip needs, whose table of contents is at its end. */
export interface RandomAccess {
  /** In bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`; without waiting where they are in memory. Throws a RangeError outside of them. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>;
}

export interface SpoolOptions {
  /** Up to so many bytes stay in memory. 8 MiB by default. */
  readonly threshold?: number;
  /** Where what is larger goes, in a file without a name, which is gone with the process at the latest. */
  readonly folder: string;
  /** Ceiling in bytes; the default is 4 GiB. */
  readonly limit?: number;
  /** What the bytes are called in an error. */
  readonly name: string;
}

export function inMemory(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.length) throw new RangeError('read outside of the bytes');
      return bytes.subarray(offset, offset + length);
    },
  };
}

/**
 * Takes in a whole stream, so that it can be read at any place. Dispose of the result to free its file.
 * @throws McpBuildError `too-large`; whatever the stream throws, with nothing left behind
 */
export async function spool(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: SpoolOptions,
): Promise<RandomAccess & AsyncDisposable> {
  const { threshold = 8 * 1024 ** 2, limit = 4 * 1024 ** 3 } = options;
  let held: Uint8Array[] = [];
  let size = 0;
  let file: FileHandle | undefined;
  try {
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > limit) throw tooLarge(options.name, limit);
      if (file) {
        await writeWhole(file, [chunk]);
        continue;
      }
      held.push(chunk);
      if (size > threshold) {
        file = await nameless(options.folder);
        await writeWhole(file, held);
        held = [];
      }
    }
  } catch (error) {
    await file?.close();
    throw error;
  }
  if (!file) {
    const bytes = held.length === 1 ? (held[0] as Uint8Array) : Buffer.concat(held, size);
    return { ...inMemory(bytes), [Symbol.asyncDispose]: async () => undefined };
  }
  const spooled = file;
  return {
    size,
    read: (offset, length) => readWhole(spooled, offset, length, size),
    [Symbol.asyncDispose]: () => spooled.close(),
  };
}

/** Unlinked while it is open: no crash leaves it behind, and nobody else can open it. */
async function nameless(folder: string): Promise<FileHandle> {
  const path = join(folder, `spool-${process.pid}-${randomBytes(6).toString('hex')}.tmp`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path, { force: true });
  return file;
}

async function writeWhole(file: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  for (const part of parts) {
    for (let at = 0; at < part.length; ) at += (await file.write(part, at)).bytesWritten;
  }
}

async function readWhole(file: FileHandle, offset: number, length: number, size: number): Promise<Uint8Array> {
  if (offset < 0 || length < 0 || offset + length > size) throw new RangeError('read outside of the bytes');
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
    if (bytesRead === 0) throw new RangeError('the spooled file became shorter');
    at += bytesRead;
  }
  return bytes;
}

function tooLarge(name: string, limit: number): McpBuildError {
  return new McpBuildError({
    code: 'too-large',
    message: `${name} has more than the ${limit} bytes that are taken`,
    input: name,
    fix: 'Check that this is the file you mean.',
  });
}
