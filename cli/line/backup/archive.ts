import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { createZstdCompress, type ZstdCompress } from 'node:zlib';
import { Header, Pax } from 'tar';
import { temporaryBeside } from '../../../files/index.ts';
import { type Entry, unreadable } from './parts.ts';
import type { Seal } from './seal.ts';

const BLOCK = 512;
/** In bytes: what is read, hashed and compressed at a time. Between two of them the compressor waits for a busy event loop. */
const CHUNK = 2 * 1024 * 1024;
/** One is read into, one compressed, one waits. */
const CHUNKS = 3;
/** In bytes: what the compressor gives at a time. Node's own 16 KiB are a trip to its threads each. */
const OUTPUT = 1024 * 1024;

/** What an archive says of itself, in its last entry: the reader compares all it has read with this. */
export const CONTENTS = '.mcp-build-contents.json';

export interface ContentsEntry {
  readonly path: string;
  readonly type: Entry['type'];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In milliseconds since 1970. */
  readonly mtime: number;
  readonly size?: number;
  /** Lower-case hex of a file's SHA-256. */
  readonly sha256?: string;
  readonly target?: string;
}

export interface Contents {
  readonly format: 1;
  readonly part: string;
  readonly path: string;
  readonly entries: readonly ContentsEntry[];
}

/**
 * Writes one part as tar, zstd, age: whole or not at all.
 * @throws McpBuildError `backup-unreadable`
 */
export async function writeArchive(
  path: string,
  part: { readonly name: string; readonly path: string },
  entries: readonly Entry[],
  seal: Seal,
): Promise<{ readonly digest: `sha256:${string}`; readonly size: number }> {
  const temporary = temporaryBeside(path);
  const file = await open(temporary, 'wx', 0o600);
  const hash = createHash('sha256');
  let size = 0;
  try {
    const compressed = createZstdCompress({ chunkSize: OUTPUT });
    const fed = feed(compressed, tarOf(part, entries));
    // What goes wrong in it ends the stream that is read below with the same error.
    fed.catch(() => undefined);
    for await (const chunk of seal(compressed)) {
      hash.update(chunk);
      size += chunk.length;
      await writeAll(file, chunk);
    }
    await fed;
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(temporary, { force: true });
    throw error;
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

/** Each chunk is compressed while the next one waits and the one after that is read. */
async function feed(into: ZstdCompress, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const taken: Promise<void>[] = [];
  try {
    for await (const chunk of chunks) {
      if (taken.length === CHUNKS - 1) await taken.shift();
      const written = new Promise<void>((resolve, reject) => {
        into.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
      // Told where it is awaited.
      written.catch(() => undefined);
      taken.push(written);
    }
    await Promise.all(taken);
    into.end();
  } catch (error) {
    into.destroy(error as Error);
    throw error;
  }
}

/** What it yields is good until `CHUNKS` further ones are asked for. */
async function* tarOf(
  part: { readonly name: string; readonly path: string },
  entries: readonly Entry[],
): AsyncGenerator<Uint8Array> {
  const listed: ContentsEntry[] = [];
  const memory: Buffer[] = [];
  let turn = 0;
  for (const entry of entries) {
    const { stat, type, path, target } = entry;
    const common = {
      path,
      type,
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtime: Number(stat.mtimeMs),
    };
    if (type !== 'file') {
      yield* header(entry, 0);
      listed.push({ ...common, ...(target === undefined ? {} : { target }) });
      continue;
    }
    const file = await open(entry.file, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw unreadable(entry.file, `can't be read: ${error.code}`);
    });
    if (!file) continue;
    try {
      // Of the file that was opened: one renamed into its place since is another file. What a log gains while it is read stays out.
      const size = (await file.stat()).size;
      yield* header(entry, size);
      const hash = createHash('sha256');
      for (let done = 0; done < size; ) {
        const length = Math.min(CHUNK, size - done);
        turn = (turn + 1) % CHUNKS;
        const block = memory[turn] ?? Buffer.allocUnsafeSlow(CHUNK);
        memory[turn] = block;
        const { bytesRead } = await file.read(block, 0, length, done);
        if (bytesRead === 0) throw unreadable(entry.file, 'became shorter while it was read');
        const chunk = block.subarray(0, bytesRead);
        hash.update(chunk);
        done += bytesRead;
        yield chunk;
      }
      yield padding(size);
      listed.push({ ...common, size, sha256: hash.digest('hex') });
    } finally {
      await file.close();
    }
  }
  const contents: Contents = { format: 1, part: part.name, path: part.path, entries: listed };
  const bytes = Buffer.from(JSON.stringify(contents));
  yield* raw({ path: CONTENTS, type: 'File', mode: 0o600, size: bytes.length, mtime: new Date(0) });
  yield bytes;
  yield padding(bytes.length);
  yield Buffer.alloc(2 * BLOCK);
}

function header({ path, type, stat, target }: Entry, size: number): Generator<Uint8Array> {
  return raw({
    // The part itself has no name of its own.
    path: path === '' ? '.' : path,
    type: type === 'file' ? 'File' : type === 'folder' ? 'Directory' : 'SymbolicLink',
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size,
    mtime: new Date(Math.floor(Number(stat.mtimeMs) / 1000) * 1000),
    ...(target === undefined ? {} : { linkpath: target }),
  });
}

function* raw(data: ConstructorParameters<typeof Pax>[0]): Generator<Uint8Array> {
  const block = Buffer.alloc(BLOCK);
  const head = new Header(data);
  if (head.encode(block)) yield new Pax(data).encode();
  yield block;
}

function padding(size: number): Uint8Array {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
}

export function archiveName(fingerprint: string): string {
  return `${fingerprint}.tar.zst.age`;
}
