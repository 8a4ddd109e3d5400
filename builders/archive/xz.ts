import { Feed } from './feed.ts';
import { invalid, Meter, type ReadOptions, type Subject, subjectOf, unsafe } from './limits.ts';

/**
 * The decoder (xz-embedded) that the package holds as WebAssembly. Its public stream serialises all streams of the process on one
 * lock, which a reader that stops half-way never frees, and says nothing about bytes after the end: hence its parts.
 */
interface Decoder {
  readonly memory: { readonly buffer: ArrayBuffer };
  create_context(): number;
  destroy_context(context: number): void;
  supply_input(context: number, length: number): void;
  get_next_output(context: number): number;
}

interface Parts {
  _getModuleInstance(): Promise<void>;
  readonly _moduleInstance: { readonly exports: Decoder };
}

/** Its struct: buffer size, input address, position and length, output address, position and length. */
const [BUFFER_SIZE, INPUT, INPUT_AT, INPUT_END, OUTPUT, OUTPUT_END] = [0, 1, 2, 3, 4, 5] as const;

const XZ_OK = 0;
const XZ_STREAM_END = 1;
const XZ_UNSUPPORTED_CHECK = 2;
const XZ_MEM_ERROR = 3;
const XZ_MEMLIMIT_ERROR = 4;
const XZ_OPTIONS_ERROR = 6;

/** Unpacks an xz file, such as an archive's index. @throws McpBuildError `archive-invalid`, `archive-unsafe`; whatever the input throws */
export async function* unpackXz(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<Uint8Array> {
  const subject = subjectOf(options);
  const feed = new Feed(chunks);
  try {
    yield* unxz(feed, subject, new Meter(subject));
  } finally {
    await feed.close();
  }
}

/**
 * Unpacks xz from `feed` to its end (several streams and padding between them are the format's own). Each call has its own memory, dropped when it ends; the decoder refuses dictionaries over 64 MiB.
 * @throws McpBuildError `archive-invalid`, `archive-unsafe`; whatever the feed throws
 */
export async function* unxz(feed: Feed, subject: Subject, meter: Meter): AsyncGenerator<Uint8Array> {
  // Hundreds of kilobytes of WebAssembly, which only bases need.
  const { default: xz } = await import('xz-decompress');
  const parts = xz.XzReadableStream as unknown as Parts;
  // Makes a new instance at each call; two callers that meet here may get the same, and then each has a context of its own in it.
  await parts._getModuleInstance();
  const decoder = parts._moduleInstance.exports;
  const context = decoder.create_context();
  try {
    const capacity = fieldsOf(decoder, context)[BUFFER_SIZE] as number;
    for (let idle = false; ; ) {
      let fields = fieldsOf(decoder, context);
      if (fields[INPUT_AT] === fields[INPUT_END]) {
        const input = await feed.some(capacity);
        // The decoder is asked once more at the end of the input: only it knows whether that is its end too.
        if (!input && idle) throw invalid(subject, 'was cut off');
        idle = !input;
        fields = fieldsOf(decoder, context);
        new Uint8Array(decoder.memory.buffer, fields[INPUT], capacity).set(input ?? []);
        decoder.supply_input(context, input?.length ?? 0);
        meter.packed(input?.length ?? 0);
      }
      const result = decoder.get_next_output(context);
      fields = fieldsOf(decoder, context);
      const length = fields[OUTPUT_END] as number;
      if (length > 0) {
        meter.unpacked(length);
        // Copied out: the decoder writes there again.
        const output = new Uint8Array(decoder.memory.buffer, fields[OUTPUT], length).slice();
        fields[OUTPUT_END] = 0;
        idle = false;
        yield output;
      }
      if (result === XZ_STREAM_END) break;
      if (result !== XZ_OK && result !== XZ_UNSUPPORTED_CHECK) throw refused(result, subject);
    }
    const fields = fieldsOf(decoder, context);
    if (fields[INPUT_AT] !== fields[INPUT_END] || (await feed.more()))
      throw unsafe(subject, 'goes on after the end of its xz');
  } finally {
    decoder.destroy_context(context);
  }
}

/** Made anew after each call: the decoder's memory moves when it grows. */
function fieldsOf(decoder: Decoder, context: number): Uint32Array {
  return new Uint32Array(decoder.memory.buffer, context, 7);
}

function refused(result: number, subject: Subject) {
  if (result === XZ_MEM_ERROR || result === XZ_MEMLIMIT_ERROR)
    return unsafe(subject, 'needs more memory than 64 MiB to unpack');
  if (result === XZ_OPTIONS_ERROR) return invalid(subject, 'is packed with filters or checks that are not supported');
  return invalid(subject, 'is not whole: it does not decompress');
}
