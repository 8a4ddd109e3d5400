import { constants, createInflateRaw, createZstdDecompress, inflateRawSync } from 'node:zlib';
import type { Feed } from './feed.ts';

/** What Node types as any: the buffer and the engine that made it. */
interface WithEngine {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

/** Output of one step of a streamed inflate, in bytes: large enough that a step costs more than its switch of threads. */
const STEP = 256 * 1024;
/** Input handed over at once. In bytes; the output it can give is taken in steps, so this doesn't multiply memory. */
const SLICE = 64 * 1024;

/**
 * Inflates one raw deflate stream at the start of `bytes`, on this thread: for what is small, that costs less than asking another.
 * @param expected size of the output in bytes if all is well; one buffer of it is made
 * @param max bytes of output; beyond it undefined is returned
 * @returns the output, and how many bytes of input were the stream. Throws zlib's error where they are none
 */
export function inflateWhole(
  bytes: Uint8Array,
  expected: number,
  max: number,
): { output: Uint8Array; consumed: number } | undefined {
  try {
    const { buffer, engine } = inflateRawSync(bytes, {
      // Some bytes more than needed, or the engine has to be asked once more whether that was all.
      chunkSize: Math.max(constants.Z_MIN_CHUNK, Math.min(expected, max) + 64),
      maxOutputLength: Math.max(1, max),
      info: true,
    }) as unknown as WithEngine;
    return { output: buffer, consumed: engine.bytesWritten };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw error;
  }
}

/**
 * Inflates one raw deflate stream from where `feed` stands, in the thread pool, and leaves `feed` right behind it. Throws zlib's error
 * for what is no such stream or ends early. At most one step of output is made ahead of the consumer.
 */
export function inflateStream(feed: Feed): AsyncGenerator<Uint8Array> {
  return run(feed, createInflateRaw({ chunkSize: STEP }));
}

/** The same for one zstd frame, in a window of at most 64 MiB. */
export function unzstdStream(feed: Feed): AsyncGenerator<Uint8Array> {
  return run(feed, createZstdDecompress({ chunkSize: STEP, params: { [constants.ZSTD_d_windowLogMax]: 26 } }));
}

type Engine = ReturnType<typeof createInflateRaw> | ReturnType<typeof createZstdDecompress>;

async function* run(feed: Feed, engine: Engine): AsyncGenerator<Uint8Array> {
  const state = watch(engine);
  try {
    let fed = 0;
    for (;;) {
      const slice = await feed.some(SLICE);
      if (slice) engine.write(slice, state.onWritten);
      else engine.end();
      fed += slice?.length ?? 0;
      state.written = false;
      yield* output(engine, state);
      const left = fed - engine.bytesWritten;
      // The engine stops taking in at the end of its stream; what is behind it belongs to someone else.
      if (state.ended || left > 0) {
        feed.back(left);
        return;
      }
    }
  } finally {
    engine.destroy();
  }
}

interface Watch {
  written: boolean;
  ended: boolean;
  failed: Error | undefined;
  wake: () => void;
  readonly onWritten: () => void;
}

function watch(engine: Engine): Watch {
  const state: Watch = {
    written: false,
    ended: false,
    failed: undefined,
    wake: () => undefined,
    onWritten: () => {
      state.written = true;
      state.wake();
    },
  };
  engine.on('readable', () => state.wake());
  engine.on('end', () => {
    state.ended = true;
    state.wake();
  });
  engine.on('error', (error) => {
    state.failed = error;
    state.wake();
  });
  return state;
}

/** What the engine gives until it has taken in the last write, has ended, or has failed. */
async function* output(engine: Engine, state: Watch): AsyncGenerator<Uint8Array> {
  for (;;) {
    const part = engine.read() as Buffer | null;
    if (state.failed) throw state.failed;
    if (part !== null) {
      yield part;
      continue;
    }
    if (state.ended || state.written) return;
    await new Promise<void>((resolve) => {
      state.wake = resolve;
    });
  }
}
