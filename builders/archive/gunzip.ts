import { crc32 } from 'node:zlib';
import { Feed } from './feed.ts';
import { inflateStream, inflateWhole } from './inflate.ts';
import { invalid, Meter, type ReadOptions, type Subject, subjectOf, unsafe } from './limits.ts';

/** A tarball up to this size is taken as a whole. In bytes. */
const WHOLE_INPUT = 2 * 1024 * 1024;
/** And unpacked as a whole where it says that it unpacks to no more than this. In bytes. */
const WHOLE_OUTPUT = 16 * 1024 * 1024;
/** Smallest piece of input that is streamed, but for the last. In bytes. */
const PIECE = 32 * 1024;
/** Members of one gzip: each costs a new start of the engine, however few bytes it is. */
const MEMBERS = 1024;
/** Zeros that may follow the last member. In bytes. */
const PADDING = 1024 * 1024;

/**
 * Unpacks gzip (RFC 1952): one member or several, then nothing but zeros. Small input comes back as one chunk, unpacked on this thread;
 * larger input is streamed through the thread pool.
 * @throws McpBuildError `archive-unsafe` beyond a limit or for bytes after the end, `archive-invalid`; whatever the input throws
 */
export async function* gunzip(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<Uint8Array> {
  const subject = subjectOf(options);
  const source = new Feed(chunks);
  try {
    const head: Uint8Array[] = [];
    let length = 0;
    while (length <= WHOLE_INPUT) {
      const part = await source.some();
      if (!part) break;
      head.push(part);
      length += part.length;
    }
    if (length <= WHOLE_INPUT) {
      const bytes = head.length === 1 ? (head[0] as Uint8Array) : Buffer.concat(head, length);
      const whole = gunzipWhole(bytes, subject);
      if (whole) {
        yield* whole;
        return;
      }
    }
    yield* gunzipStream(new Feed(joined(head, source)), subject);
  } finally {
    await source.close();
  }
}

/** What was read and what is still to come, in pieces worth a switch of threads: a network may give a few bytes at a time. */
async function* joined(head: readonly Uint8Array[], rest: Feed): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let length = 0;
  for (let next = 0; ; next++) {
    const part = head[next] ?? (await rest.some());
    if (part) {
      held.push(part);
      length += part.length;
    }
    if (length > 0 && (!part || length >= PIECE)) {
      yield held.length === 1 ? (held[0] as Uint8Array) : Buffer.concat(held, length);
      held = [];
      length = 0;
    }
    if (!part) return;
  }
}

/** Undefined for what is better streamed. */
function gunzipWhole(bytes: Uint8Array, subject: Subject): Uint8Array[] | undefined {
  const meter = new Meter(subject);
  const outputs: Uint8Array[] = [];
  let left = WHOLE_OUTPUT;
  for (let at = 0; at < bytes.length; ) {
    if (outputs.length > 0 && isZeros(bytes.subarray(at))) return outputs;
    const begin = at + headerLength(bytes.subarray(at), outputs.length, subject);
    // A hint only, of how large a buffer to make: what comes out is held against the member's own trailer below.
    const hint = bytes.length < begin + 8 ? 0 : word(bytes, bytes.length - 4);
    if (hint > left) return undefined;
    const whole = inflate(() => inflateWhole(bytes.subarray(begin), hint, left), subject);
    if (!whole) return undefined;
    const { output, consumed } = whole;
    meter.packed(begin - at + consumed + 8);
    meter.unpacked(output.length);
    at = begin + consumed;
    if (at + 8 > bytes.length) throw invalid(subject, 'is a gzip that was cut off');
    checkTrailer(bytes.subarray(at, at + 8), crc32(output), output.length, subject);
    at += 8;
    left -= output.length;
    outputs.push(output);
  }
  if (outputs.length === 0) throw invalid(subject, 'is empty');
  return outputs;
}

async function* gunzipStream(feed: Feed, subject: Subject): AsyncGenerator<Uint8Array> {
  const meter = new Meter(subject);
  for (let members = 0; ; members++) {
    if (!(await feed.more())) {
      if (members === 0) throw invalid(subject, 'is empty');
      return;
    }
    if (members > 0 && (await zerosFollow(feed, subject))) return;
    await skipHeader(feed, members, subject);
    let crc = 0;
    let size = 0;
    let counted = feed.position;
    const parts = inflateStream(feed);
    for (;;) {
      const part = await parts.next().catch((cause: unknown) => {
        throw corrupt(subject, cause);
      });
      meter.packed(feed.position - counted);
      counted = feed.position;
      if (part.done) break;
      crc = crc32(part.value, crc);
      size += part.value.length;
      meter.unpacked(part.value.length);
      yield part.value;
    }
    const trailer = await feed.exactly(8);
    if (trailer.length < 8) throw invalid(subject, 'is a gzip that was cut off');
    checkTrailer(trailer, crc, size, subject);
  }
}

function inflate<T>(work: () => T, subject: Subject): T {
  try {
    return work();
  } catch (cause) {
    throw corrupt(subject, cause);
  }
}

/** zlib's own errors are the archive's fault; any other (`integrity`, a broken connection) is passed on as it is. */
export function corrupt(subject: Subject, cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  if (typeof code !== 'string' || !/^(?:Z_|ZSTD_)/.test(code)) return cause;
  return invalid(subject, code === 'Z_BUF_ERROR' ? 'was cut off' : 'is not whole: it does not decompress', cause);
}

const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;

/** Length of the header at the start of `bytes`, which holds the whole of it or is cut off. RFC 1952, 2.3. */
function headerLength(bytes: Uint8Array, members: number, subject: Subject): number {
  const flags = fixedHeader(bytes.subarray(0, 10), members, subject);
  let at = 10;
  if (flags & FEXTRA) at += 2 + (bytes[at] ?? 0) + (bytes[at + 1] ?? 0) * 256;
  for (const flag of [FNAME, FCOMMENT]) {
    if (!(flags & flag)) continue;
    const end = bytes.indexOf(0, at);
    if (end < 0) throw invalid(subject, 'is a gzip that was cut off');
    if (end - at > subject.limits.headerBytes) throw unsafe(subject, 'has a gzip header that goes on and on');
    at = end + 1;
  }
  if (flags & FHCRC) at += 2;
  if (at > bytes.length) throw invalid(subject, 'is a gzip that was cut off');
  return at;
}

async function skipHeader(feed: Feed, members: number, subject: Subject): Promise<void> {
  const flags = fixedHeader(await feed.exactly(10), members, subject);
  if (flags & FEXTRA) {
    const [low = 0, high = 0] = await feed.exactly(2);
    await feed.exactly(low + high * 256);
  }
  for (const flag of [FNAME, FCOMMENT]) {
    if (!(flags & flag)) continue;
    for (let length = 0; ; length++) {
      const [byte] = await feed.exactly(1);
      if (byte === undefined) throw invalid(subject, 'is a gzip that was cut off');
      if (byte === 0) break;
      if (length > subject.limits.headerBytes) throw unsafe(subject, 'has a gzip header that goes on and on');
    }
  }
  if (flags & FHCRC) await feed.exactly(2);
}

function fixedHeader(bytes: Uint8Array, members: number, subject: Subject): number {
  if (members >= MEMBERS) throw unsafe(subject, `has more than ${MEMBERS} gzip members`);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) {
    if (members > 0) throw unsafe(subject, 'goes on after the end of its gzip');
    throw invalid(subject, 'is not a gzip');
  }
  if (bytes.length < 10) throw invalid(subject, 'is a gzip that was cut off');
  const flags = bytes[3] as number;
  if (bytes[2] !== 8 || flags & 0xe0) throw invalid(subject, 'is a gzip of an unknown kind');
  return flags;
}

function checkTrailer(trailer: Uint8Array, crc: number, size: number, subject: Subject): void {
  if (word(trailer, 0) !== crc) throw invalid(subject, 'is not whole: its checksum differs');
  if (word(trailer, 4) !== size % 2 ** 32) throw invalid(subject, 'is not whole: its size differs');
}

function word(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

/** Zeros to the end are padding, as gzip(1) has it. */
function isZeros(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && bytes.every((byte) => byte === 0);
}

async function zerosFollow(feed: Feed, subject: Subject): Promise<boolean> {
  const first = await feed.some(1);
  if (first?.[0] !== 0) {
    feed.back(1);
    return false;
  }
  const begin = feed.position;
  for (let part = await feed.some(); part; part = await feed.some()) {
    if (!isZeros(part) || feed.position - begin > PADDING) throw unsafe(subject, 'goes on after the end of its gzip');
  }
  return true;
}
