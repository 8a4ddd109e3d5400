import { createHash } from 'node:crypto';
import { isMarkedAsUntransferable } from 'node:worker_threads';
import { constants, crc32, deflateRaw, deflateRawSync } from 'node:zlib';

/** Bytes of input that are deflated by themselves. Part of the format: another size gives other bytes. */
export const CHUNK = 1024 * 1024;
const LEVEL = 6;
const MEMORY = 8;
/** Chunks being deflated at a time: as many as the pool has threads. Fewer leave them idle while this thread reads and hashes. */
const IN_FLIGHT = 4;

/** ID1 ID2, deflate, no flags, no time, no extra flags, no operating system (RFC 1952, 2.3.1). */
const HEADER = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);

/**
 * What decides the compressed bytes: the method, and the first digits of the SHA-256 of what this process's deflate makes of a
 * fixed text. Node's own builds give the same on every version and processor; one linked to the system's zlib gives another,
 * and then the digests of its layers may differ from those in a lock while their diffIDs don't.
 */
export const COMPRESSOR = `gzip-${LEVEL}-1MiB-${fingerprint()}`;

/** One step of the input: CHUNK bytes, or at most so many in the last. */
export interface Chunk {
  readonly bytes: Buffer;
  readonly last: boolean;
}

/**
 * Deflates chunks side by side in the thread pool and joins them in one gzip member.
 * @param chunks are no longer touched by their producer until `release` gives them back
 * @param look is told each chunk, in order, while the pool works on it
 */
export async function* gzip(
  chunks: AsyncIterable<Chunk>,
  look: (bytes: Uint8Array) => void,
  release: (bytes: Buffer) => void,
): AsyncGenerator<Uint8Array> {
  yield HEADER;
  const pending: Promise<Buffer>[] = [];
  let crc = 0;
  let size = 0;
  for await (const chunk of chunks) {
    const deflated = deflate(chunk).finally(() => release(chunk.bytes));
    // Looked at in order below; until then a failure is not unhandled.
    deflated.catch(() => undefined);
    pending.push(deflated);
    crc = crc32(chunk.bytes, crc);
    size += chunk.bytes.length;
    look(chunk.bytes);
    if (pending.length >= IN_FLIGHT) yield (await pending.shift()) as Buffer;
  }
  for (const deflated of pending) yield await deflated;
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield trailer;
}

function deflate({ bytes, last }: Chunk): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  deflateRaw(bytes, options(last), (error, output) => (error ? reject(error) : resolve(cut(output))));
  return promise;
}

/** Gives back the room that wasn't needed at once: left to the garbage collector, it would have to run for each few chunks. */
function cut(output: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(output.length);
  output.copy(own);
  // A small output that zlib gave in two pieces was joined in a slab of Node's pool, which others use and nobody can give back.
  if (!isMarkedAsUntransferable(output.buffer)) (output.buffer as ArrayBuffer).transfer(0);
  return own;
}

function options(last: boolean) {
  return {
    level: LEVEL,
    memLevel: MEMORY,
    windowBits: 15,
    strategy: constants.Z_DEFAULT_STRATEGY,
    // A chunk ends on a byte, so that the next can follow; the last one ends the stream.
    finishFlush: last ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
    // Room for all of it, even where nothing compresses: an output buffer that fills up to its last byte makes zlib flush again,
    // with bytes that a larger one would not have.
    chunkSize: CHUNK + 64 * 1024,
  };
}

/** Words of a fixed sequence, with repetitions near and far, so that the ways in which implementations search for matches show. */
function fingerprint(): string {
  const words = [
    'exports',
    'function',
    'return ',
    'const',
    ' = ',
    '();\n',
    'require',
    '"use strict"',
    'a',
    '{ ',
    ' }',
    'module.',
  ];
  let state = 1;
  let text = '';
  while (text.length < 16 * 1024) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    text += state >>> 28 === 0 ? String(state) : words[(state >>> 16) % words.length];
  }
  return createHash('sha256')
    .update(deflateRawSync(text, options(true)))
    .digest('hex')
    .slice(0, 8);
}
