import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, link, open, rename, rm, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checked, type Digest, hexOf } from '../digest/index.ts';
import { makeFolders } from '../files/index.ts';
import type { Descriptor, Lending } from './store.ts';

/** In bytes: what one read of a file may bring. */
const CHUNK = 512 * 1024;
/** In bytes: what is read beyond a file's size, to see that it ends there. Taken from Node's pool. */
const BEYOND = 512;

/** A name nobody else uses, in the folder for what isn't a blob (yet, or any more); it tells whose it is when that one was killed. */
export function ingestName(ingest: string): string {
  return join(ingest, `${process.pid}-${randomBytes(12).toString('hex')}`);
}

/** For `.catch`: a missing file is undefined, every other failure stays one. */
export function absent(error: unknown): undefined {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
  throw error;
}

/** The bytes of a file, unchecked; undefined where it isn't there. */
export async function openFile(
  path: string,
  { lent = false }: Lending = {},
): Promise<AsyncGenerator<Uint8Array> | undefined> {
  const file = await open(path, 'r').catch(absent);
  if (!file) return undefined;
  return lent ? lend(file) : give(file);
}

async function* give(file: FileHandle): AsyncGenerator<Uint8Array> {
  try {
    let { size: left } = await file.stat();
    for (;;) {
      // A fresh buffer each time, since whoever got the last one may still hold it, and none larger than the file: most files are
      // documents, and the collector runs for half a megabyte each.
      const memory = left > BEYOND ? Buffer.allocUnsafeSlow(Math.min(left, CHUNK)) : Buffer.allocUnsafe(BEYOND);
      const { bytesRead } = await file.read(memory, 0, memory.length);
      if (bytesRead === 0) return;
      left -= bytesRead;
      yield memory.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Two buffers in turn: the next chunk is read while the last is lent. */
async function* lend(file: FileHandle): AsyncGenerator<Uint8Array> {
  const memory: Buffer[] = [];
  let length = 0;
  const read = (turn: number) => {
    memory[turn] ??= Buffer.allocUnsafeSlow(length);
    const reading = file.read(memory[turn], 0, length);
    // Told where it is awaited, unless nobody asks any more.
    reading.catch(() => undefined);
    return reading;
  };
  try {
    length = Math.min(Math.max((await file.stat()).size, BEYOND), CHUNK);
    let reading = read(0);
    for (let turn = 1; ; turn = 1 - turn) {
      const { bytesRead, buffer } = await reading;
      if (bytesRead === 0) return;
      reading = read(turn);
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/**
 * Writes a blob under its digest: hashed on the way, renamed into place over whatever was there, rotten or not.
 * `ingest` is a folder of the same file system that readers of the layout don't look into.
 * @throws McpBuildError `integrity` when the bytes aren't those of `expected`
 */
export async function writeBlob(
  ingest: string,
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  to: {
    readonly pathOf: (digest: Digest) => string;
    readonly expected?: Descriptor;
    readonly name: string;
    /** A chunk is good until the next one is asked for. */
    readonly lent?: boolean;
  },
): Promise<{ readonly digest: Digest; readonly size: number }> {
  await makeFolders(ingest);
  const temporary = ingestName(ingest);
  try {
    const written = to.expected
      ? await (to.lent ? fillBorrowed : fill)(temporary, checkedAgainst(to.expected, bytes, to.name)).then(
          () => to.expected as Descriptor,
        )
      : await hashing(temporary, bytes);
    const path = to.pathOf(written.digest);
    await makeFolders(dirname(path));
    await rename(temporary, path);
    return { digest: written.digest, size: written.size };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function checkedAgainst(
  expected: Descriptor,
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  name: string,
): AsyncIterable<Uint8Array> {
  return checked(bytes, {
    name: `${expected.digest} for ${name}`,
    integrity: expected.digest,
    size: expected.size,
    fix: 'Nothing was stored. Check where the bytes come from, then try again.',
  });
}

async function hashing(
  path: string,
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  await fill(
    path,
    (async function* () {
      for await (const chunk of bytes) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    })(),
  );
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

/** In bytes: what is gathered before it is written. A network gives 64 KiB at a time, and a call for each costs more than the copy. */
const GATHERED = 1024 * 1024;
/**
 * In bytes: files up to this size are synced before they get their name. Documents are, signatures among them, that nobody may be able to
 * make again. A layer isn't: one that a power cut has damaged is found when it is next read, and comes again from its registry or lock.
 */
const SYNCED = 1024 * 1024;

/** The next bytes are asked for while the last are being written. They are kept until then: who gives them must not reuse them. */
async function fill(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  let writing: Promise<unknown> = Promise.resolve();
  try {
    let gathered: Uint8Array[] = [];
    let size = 0;
    let total = 0;
    const write = async () => {
      await writing;
      writing = writeAll(file, gathered, size);
      // Told where it is awaited.
      writing.catch(() => undefined);
      gathered = [];
      size = 0;
    };
    for await (const chunk of bytes) {
      gathered.push(chunk);
      size += chunk.length;
      total += chunk.length;
      if (size >= GATHERED) await write();
    }
    await write();
    await writing;
    if (total <= SYNCED) await file.sync();
  } finally {
    await writing.catch(() => undefined);
    await file.close();
  }
}

/** Each chunk is written before the next is asked for: whoever lends memory reads on into other memory meanwhile. */
async function fillBorrowed(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  try {
    let total = 0;
    for await (const chunk of bytes) {
      await writeAll(file, [chunk], chunk.length);
      total += chunk.length;
    }
    if (total <= SYNCED) await file.sync();
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, chunks: readonly Uint8Array[], size: number): Promise<void> {
  const { bytesWritten } = await file.writev(chunks as Uint8Array[]);
  if (bytesWritten === size) return;
  const rest = Buffer.concat(chunks).subarray(bytesWritten);
  for (let done = 0; done < rest.length; ) done += (await file.write(rest, done)).bytesWritten;
}

/** Makes a blob young again; on a file system that can't be written nothing prunes either. */
export async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}

/**
 * Moves a blob whose bytes aren't its digest's out of the way, so that the next `has` says no and a pull repairs it. Its bytes are
 * hashed here again: a descriptor that lied about the size must not cost a good blob.
 */
export async function setAside(path: string, digest: Digest, ingest: string): Promise<void> {
  if (await isWhole(path, digest)) return;
  await makeFolders(ingest);
  const grave = ingestName(ingest);
  await rename(path, grave);
  // Somebody may have repaired it since it was read.
  if (await isWhole(grave, digest)) await putBack(grave, path);
}

/** Back under its name, unless another one stands there by now. */
export async function putBack(grave: string, path: string): Promise<void> {
  await link(grave, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(grave, { force: true });
}

async function isWhole(path: string, digest: Digest): Promise<boolean> {
  const bytes = await openFile(path);
  if (!bytes) return true;
  const hash = createHash('sha256');
  for await (const chunk of bytes) hash.update(chunk);
  return hash.digest('hex') === hexOf(digest);
}
