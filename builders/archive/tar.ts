import { Feed } from './feed.ts';
import { beyond, invalid, type ReadOptions, type Subject, subjectOf, unsafe } from './limits.ts';
import type { FileMember, Member } from './member.ts';
import { nameOf, pathOf, placeMember, Tree, targetOf } from './paths.ts';
import { BLOCK, type Header, isZeroBlock, type Pax, parseHeader, parsePax, sizeOf } from './tar-header.ts';

/** Content up to this size is given whole, gathered from chunks where it must be. In bytes. */
const WHOLE = 1024 * 1024;
/** Zeros that may follow the end: writers fill up a record, which is 10 KiB by default. In bytes. */
const PADDING = 1024 * 1024;
const ZEROS = Buffer.alloc(64 * 1024);

export interface TarOptions extends ReadOptions {
  /** `package` (default): nothing points outside. `system`: as distributions ship it, with absolute symlinks and backslashes in unit names. */
  readonly kind?: 'package' | 'system';
  /**
   * What becomes of a file that is there a second time. `refused` (default), or `given` once more and marked, for a reader that compares
   * the two: some packers list a file as `./a` and as `a`.
   */
  readonly repeats?: 'refused' | 'given';
}

/**
 * The members of a tar (ustar, PAX, GNU long names, and the form before POSIX) in its order. A directory that is named again is
 * given once, the root not at all. When it ends, the input was read to its end. Memory: a chunk of the input, 1 MiB, and the names.
 * @throws McpBuildError `archive-unsafe`, `archive-invalid`; whatever the input throws
 */
export async function* readTar(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: TarOptions,
): AsyncGenerator<Member> {
  const subject = subjectOf(options);
  const feed = new Feed(chunks);
  const tree = new Tree();
  try {
    for (;;) {
      const header = await nextHeader(feed, subject);
      if (header === undefined) break;
      const member = classify(header, tree, subject, options);
      if (member === undefined) continue;
      if (member.type !== 'file') {
        yield member;
        continue;
      }
      const end = feed.position + member.size;
      if (end > subject.limits.bytes) throw beyond(subject, 'bytes', end, member.path);
      yield await withContent(member, feed, subject);
      await skip(feed, Math.ceil(end / BLOCK) * BLOCK - feed.position, subject, member.path);
    }
    await expectPadding(feed, subject);
  } finally {
    await feed.close();
  }
}

/** A header together with what the extended headers before it said of it. */
type Full = Omit<Header, 'flag'> & { readonly flag: string };

/** Reads up to the next member; undefined at the end-of-archive marker. */
async function nextHeader(feed: Feed, subject: Subject): Promise<Full | undefined> {
  let pax: Pax | undefined;
  let longName: string | undefined;
  let longLink: string | undefined;
  for (;;) {
    const block = feed.take(BLOCK) ?? (await feed.exactly(BLOCK));
    if (block.length < BLOCK) throw invalid(subject, 'is a tar that was cut off');
    if (isZeroBlock(block)) {
      if (pax || longName !== undefined || longLink !== undefined) {
        throw unsafe(subject, 'has an extended header that belongs to no member');
      }
      return undefined;
    }
    const header = parseHeader(block, subject);
    switch (header.flag) {
      case 'x':
        if (pax) throw unsafe(subject, 'has two PAX headers for one member', header.name);
        pax = parsePax(await extension(feed, header, subject), 'member', subject);
        continue;
      case 'g':
        parsePax(await extension(feed, header, subject), 'global', subject);
        continue;
      case 'L':
        if (longName !== undefined) throw unsafe(subject, 'has two long names for one member', header.name);
        longName = terminated(await extension(feed, header, subject), subject);
        continue;
      case 'K':
        if (longLink !== undefined) throw unsafe(subject, 'has two long link targets for one member', header.name);
        longLink = terminated(await extension(feed, header, subject), subject);
        continue;
    }
    // Which of two wins depends on the reader.
    if (
      (pax?.path !== undefined && longName !== undefined) ||
      (pax?.linkpath !== undefined && longLink !== undefined)
    ) {
      throw unsafe(subject, 'has both a PAX and a GNU long name', header.name);
    }
    return {
      flag: header.flag,
      mode: header.mode,
      name: pax?.path ?? longName ?? header.name,
      linkname: pax?.linkpath ?? longLink ?? header.linkname,
      size: sizeOf(header, pax ?? {}, subject),
    };
  }
}

/** The data of an extended header, in memory: its size is bounded before any of it is read. */
async function extension(feed: Feed, header: Header, subject: Subject): Promise<Uint8Array> {
  if (header.size > subject.limits.headerBytes) throw beyond(subject, 'headerBytes', header.size, header.name);
  const bytes = await feed.exactly(header.size);
  if (bytes.length < header.size) throw invalid(subject, 'is a tar that was cut off');
  // A copy where the bytes lie in a chunk that skipping replaces.
  const kept = bytes.slice();
  await skip(feed, Math.ceil(header.size / BLOCK) * BLOCK - header.size, subject, header.name);
  return kept;
}

function terminated(bytes: Uint8Array, subject: Subject): string {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  const name = nameOf(bytes.subarray(0, end), subject);
  if (name === '') throw unsafe(subject, 'has a long name that is empty');
  return name;
}

type Classified = Exclude<Member, { type: 'file' }> | Omit<FileMember, 'content'>;

/** What kind of member it is; undefined for one that adds nothing (the root, a directory named again). */
function classify(header: Full, tree: Tree, subject: Subject, options: TarOptions): Classified | undefined {
  const system = options.kind === 'system';
  const { name, mode, size, linkname } = header;
  const path = pathOf(name, subject, system ? 'kept' : 'refused');
  // Before POSIX a directory was a file whose name ends in a slash, and some readers still go by that.
  const type = header.flag === '0' && name.endsWith('/') ? '5' : header.flag;
  switch (type) {
    case '0':
    case '7':
      if (path === '') throw unsafe(subject, 'is a file in place of the root', name);
      if (size > subject.limits.fileBytes) throw beyond(subject, 'fileBytes', size, name);
      if (options.repeats === 'given' && tree.kindOf(path) === 'file') {
        return { type: 'file', path, mode, size, repeated: true };
      }
      placeMember(tree, path, 'file', subject);
      return { type: 'file', path, mode, size };
    case '5':
      noContent(size, name, subject);
      return path !== '' && placeMember(tree, path, 'directory', subject)
        ? { type: 'directory', path, mode }
        : undefined;
    case '2': {
      noContent(size, name, subject);
      if (path === '') throw unsafe(subject, 'is a link in place of the root', name);
      const target = targetOf(path, linkname, subject, system ? 'kept' : 'refused');
      placeMember(tree, path, 'symlink', subject);
      return { type: 'symlink', path, mode, target };
    }
    case '1': {
      noContent(size, name, subject);
      const target = pathOf(linkname, subject, system ? 'kept' : 'refused');
      if (path === '' || tree.kindOf(target) !== 'file') {
        throw unsafe(subject, 'is a hard link to something that is no earlier file of the archive', name);
      }
      placeMember(tree, path, 'file', subject);
      return { type: 'hardlink', path, mode, target };
    }
    case '3':
    case '4':
      throw unsafe(subject, 'is a device node', name);
    case '6':
      throw unsafe(subject, 'is a named pipe', name);
    default:
      throw unsafe(subject, `is a member of type "${/^[\x21-\x7e]$/.test(type) ? type : '?'}"`, name);
  }
}

/** Some readers skip as many bytes, others read the next header there: two archives in one. */
function noContent(size: number, name: string, subject: Subject): void {
  if (size !== 0) throw unsafe(subject, 'has content though it is no file', name);
}

async function withContent(file: Omit<FileMember, 'content'>, feed: Feed, subject: Subject): Promise<FileMember> {
  const { size } = file;
  if (size > WHOLE && size > feed.ready) return { ...file, content: stream(feed, size, subject, file.path) };
  const content = feed.take(size) ?? (await feed.exactly(size));
  if (content.length < size) throw cutOff(subject);
  return { ...file, content };
}

async function* stream(feed: Feed, size: number, subject: Subject, path: string): AsyncGenerator<Uint8Array> {
  const begin = feed.position;
  for (let given = 0; given < size; ) {
    if (feed.position !== begin + given) throw new Error(`the content of ${path} was read after the next member`);
    const part = await feed.some(size - given);
    if (!part) throw cutOff(subject);
    given += part.length;
    yield part;
  }
}

async function skip(feed: Feed, count: number, subject: Subject, path: string): Promise<void> {
  if (count < 0) throw new Error(`the content of ${path} was read too far`);
  for (let left = count; left > 0; ) {
    if (feed.take(left)) return;
    const part = await feed.some(left);
    if (!part) throw cutOff(subject);
    left -= part.length;
  }
}

/** What follows the marker must be zeros: other readers go on there, and bytes nobody reads are a place to hide things. */
async function expectPadding(feed: Feed, subject: Subject): Promise<void> {
  let seen = 0;
  for (;;) {
    const part = await feed.some(ZEROS.length);
    if (!part) return;
    seen += part.length;
    if (seen > PADDING || ZEROS.compare(part, 0, part.length, 0, part.length) !== 0) {
      throw unsafe(subject, 'goes on after the end of its tar');
    }
  }
}

function cutOff(subject: Subject) {
  return invalid(subject, 'is a tar that was cut off');
}
