import { beyond, invalid, type Subject, unsafe } from './limits.ts';
import { nameOf } from './paths.ts';
import type { RandomAccess } from './spool.ts';

/** APPNOTE 6.3.10 is the source of every offset and signature here. */
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const END_SIZE = 22;
const END64_SIZE = 56;
const LOCATOR64_SIZE = 20;
const CENTRAL_SIZE = 46;
const MAX16 = 0xffff;
const MAX32 = 0xffffffff;

export const STORED = 0;
export const DEFLATED = 8;
/** Flag bit 3: sizes and CRC stand behind the data. */
export const DESCRIPTOR = 0x0008;
const ENCRYPTED = 0x0001 | 0x0040 | 0x2000;
const PATCH = 0x0020;
const UTF8 = 0x0800;

/** What the central directory says of one member; everything else must agree with it. */
export interface Listed {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly flags: number;
  readonly method: typeof STORED | typeof DEFLATED;
  readonly crc: number;
  /** In bytes, as in the archive. */
  readonly packed: number;
  /** In bytes, unpacked. */
  readonly size: number;
  /** Of its local header. */
  readonly offset: number;
  /** Unix file type and permission bits, 0 where the writer's system had none. */
  readonly unixMode: number;
}

/** Where the table of contents is, and where whatever ends the archive begins. */
interface Place {
  readonly offset: number;
  readonly size: number;
  readonly entries: number;
}

/**
 * Reads a zip's central directory, in its order. There is exactly one way to find it, or the archive is refused.
 * @returns the members, and the offset at which they end: that of the directory
 * @throws McpBuildError `archive-unsafe`, `archive-invalid`
 */
export async function readDirectory(
  source: RandomAccess,
  subject: Subject,
): Promise<{ listed: readonly Listed[]; offset: number }> {
  const place = await findDirectory(source, subject);
  const { limits } = subject;
  if (place.entries > limits.files) throw beyond(subject, 'files', place.entries);
  // Held in memory while its members are read; a name can't be longer than a limit, so neither can this.
  if (place.size > place.entries * (CENTRAL_SIZE + limits.pathBytes + limits.headerBytes)) {
    throw unsafe(subject, 'has a table of contents larger than its members can need');
  }
  if (place.size > DIRECTORY_BYTES)
    throw unsafe(subject, `has a table of contents of more than ${DIRECTORY_BYTES} bytes`);
  const bytes = await source.read(place.offset, place.size);
  const listed: Listed[] = [];
  let at = 0;
  for (let count = 0; count < place.entries; count++) {
    const { member, length } = parseCentral(bytes.subarray(at), subject);
    listed.push(member);
    at += length;
  }
  if (at !== bytes.length) throw unsafe(subject, 'has something in its table of contents that is no member');
  return { listed, offset: place.offset };
}

const DIRECTORY_BYTES = 64 * 1024 ** 2;

async function findDirectory(source: RandomAccess, subject: Subject): Promise<Place> {
  const { size } = source;
  const tailSize = Math.min(size, END_SIZE + MAX16);
  const tail = viewOf(await source.read(size - tailSize, tailSize));
  const found: number[] = [];
  for (let at = tailSize - END_SIZE; at >= 0; at--) {
    // The comment's length must lead exactly to the end of the file.
    if (tail.getUint32(at, true) === END && tail.getUint16(at + 20, true) === tailSize - at - END_SIZE) found.push(at);
  }
  const [end] = found;
  if (end === undefined) throw invalid(subject, 'is not a zip, or was cut off or added to');
  if (found.length > 1) throw unsafe(subject, 'has two ends: readers would take different ones');
  if (tail.getUint16(end + 4, true) !== 0 || tail.getUint16(end + 6, true) !== 0) {
    throw unsafe(subject, 'is a zip in several parts');
  }
  const short = {
    entries: tail.getUint16(end + 10, true),
    size: tail.getUint32(end + 12, true),
    offset: tail.getUint32(end + 16, true),
  };
  if (tail.getUint16(end + 8, true) !== short.entries) throw unsafe(subject, 'is a zip in several parts');
  const endAt = size - tailSize + end;
  const long = await findEnd64(source, endAt, subject);
  const place = long ?? { ...short, until: endAt };
  if (long) agree(short, long, subject);
  if (place.offset + place.size !== place.until) {
    throw unsafe(subject, 'has bytes around its table of contents that belong to nothing');
  }
  return { entries: place.entries, size: place.size, offset: place.offset };
}

/** The zip64 end record, where there is one: it counts for readers that know it. */
async function findEnd64(
  source: RandomAccess,
  endAt: number,
  subject: Subject,
): Promise<(Place & { until: number }) | undefined> {
  if (endAt < LOCATOR64_SIZE + END64_SIZE) return undefined;
  const locator = viewOf(await source.read(endAt - LOCATOR64_SIZE, LOCATOR64_SIZE));
  if (locator.getUint32(0, true) !== LOCATOR64) return undefined;
  const at = endAt - LOCATOR64_SIZE - END64_SIZE;
  if (integer(locator, 8, subject) !== at || locator.getUint32(4, true) !== 0 || locator.getUint32(16, true) > 1) {
    throw unsafe(subject, 'has a zip64 end that is not where it says');
  }
  const record = viewOf(await source.read(at, END64_SIZE));
  // 44 more bytes follow the length: no extensible data, in which something could be kept.
  if (record.getUint32(0, true) !== END64 || integer(record, 4, subject) !== END64_SIZE - 12) {
    throw unsafe(subject, 'has a zip64 end of another form');
  }
  if (record.getUint32(16, true) !== 0 || record.getUint32(20, true) !== 0)
    throw unsafe(subject, 'is a zip in several parts');
  const entries = integer(record, 32, subject);
  if (integer(record, 24, subject) !== entries) throw unsafe(subject, 'is a zip in several parts');
  return { entries, size: integer(record, 40, subject), offset: integer(record, 48, subject), until: at };
}

function agree(short: Place, long: Place, subject: Subject): void {
  const same =
    (short.entries === MAX16 || short.entries === long.entries) &&
    (short.size === MAX32 || short.size === long.size) &&
    (short.offset === MAX32 || short.offset === long.offset);
  if (!same) throw unsafe(subject, 'has two ends that disagree');
}

function parseCentral(bytes: Uint8Array, subject: Subject): { member: Listed; length: number } {
  if (bytes.length < CENTRAL_SIZE) throw unsafe(subject, 'has fewer members than it says');
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== CENTRAL)
    throw unsafe(subject, 'has something in its table of contents that is no member');
  const nameLength = view.getUint16(28, true);
  const extraLength = view.getUint16(30, true);
  const length = CENTRAL_SIZE + nameLength + extraLength + view.getUint16(32, true);
  if (bytes.length < length) throw unsafe(subject, 'has a table of contents that breaks off');
  if (nameLength > subject.limits.pathBytes) throw beyond(subject, 'pathBytes', nameLength);
  const nameBytes = bytes.subarray(CENTRAL_SIZE, CENTRAL_SIZE + nameLength);
  const flags = view.getUint16(8, true);
  const name = zipName(nameBytes, flags, subject);
  if (flags & ENCRYPTED) throw unsafe(subject, 'is encrypted', name);
  if (flags & PATCH) throw unsafe(subject, 'is a patch', name);
  const method = view.getUint16(10, true);
  if (method !== STORED && method !== DEFLATED)
    throw unsafe(subject, `is packed by method ${method}, which wheels may not use`, name);
  const disk = view.getUint16(34, true);
  const extra = bytes.subarray(CENTRAL_SIZE + nameLength, CENTRAL_SIZE + nameLength + extraLength);
  const short = { size: view.getUint32(24, true), packed: view.getUint32(20, true), offset: view.getUint32(42, true) };
  const long = zip64(extra, short, name, nameBytes, subject);
  if (disk !== 0) throw unsafe(subject, 'is in another part of the archive', name);
  const unix = view.getUint16(4, true) >> 8 === 3;
  return {
    member: {
      name,
      nameBytes,
      flags,
      method,
      crc: view.getUint32(16, true),
      packed: long.packed,
      size: long.size,
      offset: long.offset,
      unixMode: unix ? view.getUint32(38, true) >>> 16 : 0,
    },
    length,
  };
}

/** Without flag bit 11 a name is in code page 437: in ASCII both are the same, and only there. */
function zipName(bytes: Uint8Array, flags: number, subject: Subject): string {
  const name = nameOf(bytes, subject);
  if (!(flags & UTF8) && name.length !== Buffer.byteLength(name)) {
    throw unsafe(subject, 'has a name in no declared character set', name);
  }
  return name;
}

type Sizes = { readonly size: number; readonly packed: number; readonly offset: number };

/**
 * The sizes and offset that count: those of the zip64 extra field where the short ones say so (4.5.3).
 * Another field could carry a second name for readers that know it (Info-ZIP's Unicode path, 0x7075).
 */
export function zip64(extra: Uint8Array, short: Sizes, name: string, nameBytes: Uint8Array, subject: Subject): Sizes {
  const view = viewOf(extra);
  const found = { ...short };
  let seen = false;
  let at = 0;
  for (; at + 4 <= extra.length; ) {
    const id = view.getUint16(at, true);
    const length = view.getUint16(at + 2, true);
    at += 4;
    if (at + length > extra.length) throw unsafe(subject, 'has an extra field that breaks off', name);
    if (id === 0x7075) {
      const other = extra.subarray(at + 5, at + length);
      if (Buffer.compare(other, nameBytes) !== 0) throw unsafe(subject, 'has two names', name);
    }
    if (id === 0x0001) {
      if (seen) throw unsafe(subject, 'has two zip64 fields', name);
      seen = true;
      const wide = new DataView(extra.buffer, extra.byteOffset + at, length);
      let used = 0;
      for (const key of ['size', 'packed', 'offset'] as const) {
        if (short[key] !== MAX32) continue;
        if (used + 8 > length) throw unsafe(subject, 'has a zip64 field that breaks off', name);
        found[key] = integer(wide, used, subject);
        used += 8;
      }
    }
    at += length;
  }
  if (at !== extra.length) throw unsafe(subject, 'has an extra field that breaks off', name);
  return found;
}

function integer(view: DataView, at: number, subject: Subject): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw unsafe(subject, 'has a size that no file can have');
  return Number(value);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
