import { crc32 } from 'node:zlib';
import { Feed } from './feed.ts';
import { corrupt } from './gunzip.ts';
import { inflateStream, inflateWhole } from './inflate.ts';
import { beyond, invalid, Meter, type ReadOptions, type Subject, subjectOf, unsafe } from './limits.ts';
import type { DirectoryMember, FileMember } from './member.ts';
import { pathOf, placeMember, Tree } from './paths.ts';
import type { RandomAccess } from './spool.ts';
import { DEFLATED, DESCRIPTOR, type Listed, readDirectory, STORED, viewOf, zip64 } from './zip-directory.ts';

const LOCAL = 0x04034b50;
const LOCAL_SIZE = 30;
const DESCRIPTOR_SIGNATURE = 0x08074b50;
const MAX32 = 0xffffffff;

/** A member up to this size, packed and unpacked, is given whole. In bytes. */
const WHOLE = 1024 * 1024;
/** Read at once from the archive, so that small members don't cost a read each. In bytes. */
const WINDOW = 1024 * 1024;

/**
 * The members of a zip in the order of its central directory. Before the first is given, every local header was held against the
 * directory, and members, headers and directory were found to fill the file without gap or overlap: there is one way to read it.
 * @throws McpBuildError `archive-unsafe`, `archive-invalid`
 */
export async function* readZip(
  source: RandomAccess,
  options: ReadOptions,
): AsyncGenerator<FileMember | DirectoryMember> {
  for await (const { type, path, mode, size, content } of located(source, options)) {
    if (type === 'directory') yield { type, path, mode };
    else yield { type, path, mode, size, content: await content() };
  }
}

/**
 * The paths of a zip's files, with every check that `readZip` makes before it unpacks. Only what is `wanted` is unpacked.
 * @throws McpBuildError `archive-unsafe`, `archive-invalid`
 */
export async function* listZip(
  source: RandomAccess,
  options: ReadOptions,
  wanted: (path: string) => boolean,
): AsyncGenerator<{ readonly path: string; readonly content: FileMember['content'] | undefined }> {
  for await (const { type, path, content } of located(source, options)) {
    if (type === 'file') yield { path, content: wanted(path) ? await content() : undefined };
  }
}

interface Located {
  readonly type: 'file' | 'directory';
  readonly path: string;
  readonly mode: number;
  readonly size: number;
  content(): Promise<FileMember['content']>;
}

async function* located(source: RandomAccess, options: ReadOptions): AsyncGenerator<Located> {
  const subject = subjectOf(options);
  const { listed, offset: end } = await readDirectory(source, subject);
  checkSizes(listed, subject);
  const window = windowOn(source);
  const starts = await checkLayout(listed, end, window, subject);
  const tree = new Tree();
  for (const [index, member] of listed.entries()) {
    const start = starts[index] as number;
    const path = pathOf(member.name, subject);
    const type = typeOf(member, path, subject);
    if (!placeMember(tree, path, type, subject)) continue;
    const content = () => contentOf(window, member, start, subject);
    yield { type, path, mode: member.unixMode & 0o7777, size: member.size, content };
  }
}

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;

function typeOf(member: Listed, path: string, subject: Subject): 'file' | 'directory' {
  const folder = member.name.endsWith('/');
  const kind = member.unixMode & S_IFMT;
  // Symlinks are text files to most unpackers of wheels and links to some.
  if (kind !== 0 && kind !== (folder ? S_IFDIR : S_IFREG))
    throw unsafe(subject, 'is neither a file nor a folder', member.name);
  if (path === '') throw unsafe(subject, 'has no name', member.name);
  if (folder && member.size !== 0) throw unsafe(subject, 'is a folder with content', member.name);
  return folder ? 'directory' : 'file';
}

/** What the directory admits to is enough to refuse a bomb before anything is unpacked. */
function checkSizes(listed: readonly Listed[], subject: Subject): void {
  const meter = new Meter(subject);
  for (const member of listed) meter.packed(member.packed);
  for (const member of listed) {
    if (member.size > subject.limits.fileBytes) throw beyond(subject, 'fileBytes', member.size, member.name);
    if (member.method === STORED && member.size !== member.packed) {
      throw unsafe(subject, 'is stored as it is, in another size', member.name);
    }
    meter.unpacked(member.size);
  }
}

/** @returns where each member's data starts, in the order of the directory */
async function checkLayout(
  listed: readonly Listed[],
  end: number,
  window: Window,
  subject: Subject,
): Promise<readonly number[]> {
  const starts = new Array<number>(listed.length);
  const order = listed
    .map((_, index) => index)
    .sort((a, b) => (listed[a] as Listed).offset - (listed[b] as Listed).offset);
  let at = 0;
  for (const [rank, index] of order.entries()) {
    const member = listed[index] as Listed;
    const nextIndex = order[rank + 1];
    const next = nextIndex === undefined ? end : (listed[nextIndex] as Listed).offset;
    if (member.offset !== at) throw unsafe(subject, 'is not where the member before it ends', member.name);
    const start = await checkLocal(member, end, window, subject);
    const behind = next - start - member.packed;
    if (behind < 0) throw unsafe(subject, 'overlaps the member after it', member.name);
    await checkDescriptor(member, start + member.packed, behind, window, subject);
    starts[index] = start;
    at = next;
  }
  if (at !== end) throw unsafe(subject, 'has bytes before its table of contents that belong to nothing');
  return starts;
}

async function checkLocal(member: Listed, end: number, window: Window, subject: Subject): Promise<number> {
  if (member.offset + LOCAL_SIZE > end) throw unsafe(subject, 'lies outside of the archive', member.name);
  const fixed = viewOf(await window(member.offset, LOCAL_SIZE));
  if (fixed.getUint32(0, true) !== LOCAL) throw unsafe(subject, 'is not where the table of contents says', member.name);
  const nameLength = fixed.getUint16(26, true);
  const extraLength = fixed.getUint16(28, true);
  const start = member.offset + LOCAL_SIZE + nameLength + extraLength;
  if (start + member.packed > end) throw unsafe(subject, 'lies outside of the archive', member.name);
  // Read before the window moves on.
  const local = {
    flags: fixed.getUint16(6, true),
    method: fixed.getUint16(8, true),
    crc: fixed.getUint32(14, true),
    packed: fixed.getUint32(18, true),
    size: fixed.getUint32(22, true),
  };
  const rest = await window(member.offset + LOCAL_SIZE, nameLength + extraLength);
  const name = rest.subarray(0, nameLength);
  if (Buffer.compare(name, member.nameBytes) !== 0 || local.flags !== member.flags || local.method !== member.method) {
    throw disagrees(member, subject);
  }
  const sizes = zip64(rest.subarray(nameLength), { ...local, offset: 0 }, member.name, member.nameBytes, subject);
  // With a descriptor the writer didn't know them yet: each is 0 or, from writers that went back, the right one.
  const unknown = (member.flags & DESCRIPTOR) !== 0;
  const same = (here: number, there: number) => here === there || (unknown && (here === 0 || here === MAX32));
  if (!same(local.crc, member.crc) || !same(sizes.packed, member.packed) || !same(sizes.size, member.size)) {
    throw disagrees(member, subject);
  }
  return start;
}

/** 12 or 20 bytes by the width of the sizes, 4 more with a signature (4.3.9); nothing else may stand between two members. */
async function checkDescriptor(
  member: Listed,
  at: number,
  length: number,
  window: Window,
  subject: Subject,
): Promise<void> {
  if (!(member.flags & DESCRIPTOR)) {
    if (length !== 0) throw unsafe(subject, 'is followed by bytes that belong to nothing', member.name);
    return;
  }
  if (length !== 12 && length !== 16 && length !== 20 && length !== 24) {
    throw unsafe(subject, 'is followed by bytes that belong to nothing', member.name);
  }
  const view = viewOf(await window(at, length));
  const signed = length === 16 || length === 24;
  const wide = length >= 20;
  const from = signed ? 4 : 0;
  const packed = wide ? view.getBigUint64(from + 4, true) : BigInt(view.getUint32(from + 4, true));
  const size = wide ? view.getBigUint64(from + 12, true) : BigInt(view.getUint32(from + 8, true));
  if (
    (signed && view.getUint32(0, true) !== DESCRIPTOR_SIGNATURE) ||
    view.getUint32(from, true) !== member.crc ||
    packed !== BigInt(member.packed) ||
    size !== BigInt(member.size)
  ) {
    throw disagrees(member, subject);
  }
}

function disagrees(member: Listed, subject: Subject) {
  return unsafe(subject, 'is one thing by its own header and another by the table of contents', member.name);
}

async function contentOf(
  window: Window,
  member: Listed,
  start: number,
  subject: Subject,
): Promise<FileMember['content']> {
  if (member.packed > WHOLE || member.size > WHOLE) return stream(window, member, start, subject);
  const packed = await window(start, member.packed);
  if (member.method === STORED) return matching(packed, member, subject);
  try {
    const whole = inflateWhole(packed, member.size, member.size);
    if (whole && whole.consumed === member.packed) return matching(whole.output, member, subject);
  } catch (cause) {
    throw corrupt(subject, cause);
  }
  throw unsafe(subject, 'unpacks to another size than it says', member.name);
}

function matching(content: Uint8Array, member: Listed, subject: Subject): Uint8Array {
  if (content.length !== member.size) throw unsafe(subject, 'unpacks to another size than it says', member.name);
  if (crc32(content) !== member.crc) throw invalid(subject, 'is not whole: a checksum differs');
  return content;
}

async function* stream(window: Window, member: Listed, start: number, subject: Subject): AsyncGenerator<Uint8Array> {
  const feed = new Feed(pieces(window, start, member.packed));
  const parts = member.method === DEFLATED ? inflateStream(feed) : pieces(window, start, member.packed);
  let crc = 0;
  let size = 0;
  try {
    for (;;) {
      const part = await parts.next().catch((cause: unknown) => {
        throw corrupt(subject, cause);
      });
      if (part.done) break;
      size += part.value.length;
      if (size > member.size) throw unsafe(subject, 'unpacks to another size than it says', member.name);
      crc = crc32(part.value, crc);
      yield part.value;
    }
  } finally {
    await parts.return(undefined);
  }
  if (size !== member.size || (member.method === DEFLATED && feed.position !== member.packed)) {
    throw unsafe(subject, 'unpacks to another size than it says', member.name);
  }
  if (crc !== member.crc) throw invalid(subject, 'is not whole: a checksum differs');
}

async function* pieces(window: Window, start: number, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < length; at += WINDOW) yield await window(start + at, Math.min(WINDOW, length - at));
}

/** Reads a range; ranges that follow each other closely are served from one read. */
type Window = (offset: number, length: number) => Promise<Uint8Array> | Uint8Array;

function windowOn(source: RandomAccess): Window {
  let held: Uint8Array = new Uint8Array(0);
  let from = 0;
  return async (offset, length) => {
    if (offset >= from && offset + length <= from + held.length)
      return held.subarray(offset - from, offset - from + length);
    const size = Math.max(length, Math.min(WINDOW, source.size - offset));
    const bytes = source.read(offset, size);
    held = bytes instanceof Promise ? await bytes : bytes;
    from = offset;
    return held.subarray(0, length);
  };
}
