import { McpBuildError } from '../errors/index.ts';
import { printable } from './archive/limits.ts';
import { leavesRoot, type Placed, Tree } from './archive/paths.ts';
import type { Entry, FileEntry } from './entry.ts';
import { CHUNK, type Chunk } from './gzip.ts';
import { type Attributes, attributesOf, BLOCK, encodeHeader } from './tar-encode.ts';

const MAX_OWNER = 0o7777777;
/** Two zero blocks (POSIX.1-2024, pax, "ustar Interchange Format"). */
const END = new Uint8Array(2 * BLOCK);
const PADDING = new Uint8Array(BLOCK);

/** Buffers of one chunk that go round: as many as are under way at a time, however large the layer. */
export class Buffers {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(CHUNK);
  }

  give(bytes: Buffer): void {
    // The last chunk comes back shorter than it was.
    if (bytes.length === CHUNK) this.#free.push(bytes);
  }
}

/**
 * Lays entries out as a tar, cut in chunks of a fixed size. Missing parents are added, once each.
 * @throws McpBuildError `layer-duplicate`, `layer-conflict`, `entry-invalid`, `entry-size`; whatever the entries throw
 */
export async function* layTar(
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  buffers: Buffers,
): AsyncGenerator<Chunk> {
  const written: Written = { tree: new Tree(), attributes: new Map() };
  const sink = new Sink(buffers);
  for await (const entry of entries) {
    const headers = place(entry, written);
    for (const header of headers) {
      if (!sink.put(header)) yield* sink.pour(header);
    }
    if (entry.type !== 'file' || headers.length === 0) continue;
    const { content, size } = entry;
    if (content instanceof Uint8Array) {
      if (content.length !== size) throw wrongSize(entry, content.length);
      if (!sink.put(content)) yield* sink.pour(content);
    } else {
      let seen = 0;
      for await (const part of content) {
        seen += part.length;
        if (seen > size) throw wrongSize(entry, seen);
        if (!sink.put(part)) yield* sink.pour(part);
      }
      if (seen !== size) throw wrongSize(entry, seen);
    }
    const padding = PADDING.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);
    if (!sink.put(padding)) yield* sink.pour(padding);
  }
  yield* sink.pour(END);
  yield sink.last();
}

/** Fills chunk after chunk. A full one is given out when there is more to write, so that the last one is never empty. */
class Sink {
  readonly #buffers: Buffers;
  #chunk: Buffer;
  #at = 0;

  constructor(buffers: Buffers) {
    this.#buffers = buffers;
    this.#chunk = buffers.take();
  }

  /** Takes all of `bytes` when they fit; nearly always they do, and a generator would cost more than the copy. */
  put(bytes: Uint8Array): boolean {
    if (this.#at + bytes.length > CHUNK) return false;
    this.#chunk.set(bytes, this.#at);
    this.#at += bytes.length;
    return true;
  }

  *pour(bytes: Uint8Array): Generator<Chunk> {
    for (let from = 0; from < bytes.length; ) {
      if (this.#at === CHUNK) {
        yield { bytes: this.#chunk, last: false };
        this.#chunk = this.#buffers.take();
        this.#at = 0;
      }
      const part = bytes.subarray(from, from + CHUNK - this.#at);
      this.#chunk.set(part, this.#at);
      this.#at += part.length;
      from += part.length;
    }
  }

  last(): Chunk {
    return { bytes: this.#chunk.subarray(0, this.#at), last: true };
  }
}

/** What has been written, and how where that isn't the usual way. */
interface Written {
  readonly tree: Tree;
  readonly attributes: Map<string, Attributes>;
}

/** The headers to write for an entry, those of missing parents first; none for a folder that is there already. */
function place(entry: Entry, { tree, attributes }: Written): Buffer[] {
  check(entry, tree);
  const headers: Buffer[] = [];
  const kind = entry.type === 'hardlink' ? 'file' : entry.type;
  const placed = tree.place(entry.path, kind, (path) => headers.push(encodeHeader({ type: 'directory', path })));
  const usual = USUAL[kind];
  const own = entry.type === 'hardlink' ? (attributes.get(entry.target) ?? usual) : attributesOf(entry);
  switch (placed) {
    case 'new':
      if (!same(own, usual)) attributes.set(entry.path, own);
      headers.push(encodeHeader(entry, own));
      return headers;
    case 'again':
    case 'late':
      // A parent that nothing had named when it was needed was written as a usual folder.
      if (!same(own, attributes.get(entry.path) ?? usual)) throw contradiction(entry.path, 'folder');
      return headers;
    default:
      throw contradiction(entry.path, placed);
  }
}

const USUAL: Readonly<Record<'file' | 'directory' | 'symlink', Attributes>> = {
  file: attributesOf({ type: 'file', path: '', size: 0, content: PADDING }),
  directory: attributesOf({ type: 'directory', path: '' }),
  symlink: attributesOf({ type: 'symlink', path: '', target: '' }),
};

function same(a: Attributes, b: Attributes): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}

/** @throws McpBuildError `entry-invalid` */
function check(entry: Entry, tree: Tree): void {
  checkPath(entry.path);
  switch (entry.type) {
    case 'file':
      if (!Number.isSafeInteger(entry.size) || entry.size < 0) throw invalid(entry.path, 'has no possible size');
      break;
    case 'symlink':
      checkTarget(entry.path, entry.target);
      break;
    case 'hardlink':
      if (tree.kindOf(entry.target) === 'file') break;
      throw invalid(entry.path, 'is a hard link to something that is no earlier file of the layer');
  }
  checkAttributes(entry.path, attributesOf(entry));
}

function checkPath(path: string): void {
  const segments = path.split('/');
  if (!path.isWellFormed() || path.includes('\0')) throw invalid(path, 'is a path that no file can have');
  for (const segment of segments) {
    if (segment === '' || segment === '.' || segment === '..') throw invalid(path, 'is not a plain relative path');
    // To a runtime this deletes files of the layers below (image-spec, layer.md, "Whiteouts").
    if (segment.startsWith('.wh.')) throw invalid(path, 'has the name of a whiteout');
    if (segment.length > 63 && Buffer.byteLength(segment) > 255)
      throw invalid(path, 'has a name of more than 255 bytes');
  }
}

function checkTarget(path: string, target: string): void {
  if (target === '' || target.includes('\0') || !target.isWellFormed() || leavesRoot(path, target)) {
    throw invalid(path, 'is a symlink that leads out of the image, or nowhere');
  }
}

function checkAttributes(path: string, { mode, uid, gid }: Attributes): void {
  const within = (value: number, max: number) => Number.isInteger(value) && value >= 0 && value <= max;
  if (!within(mode, 0o7777) || !within(uid, MAX_OWNER) || !within(gid, MAX_OWNER)) {
    throw invalid(path, 'has no possible mode or owner');
  }
}

const REASONS: Readonly<
  Record<Exclude<Placed, 'new' | 'again' | 'late'> | 'folder', readonly [code: string, reason: string]>
> = {
  duplicate: ['layer-duplicate', 'is written twice'],
  alias: ['layer-duplicate', 'is written twice, in two spellings of the same characters'],
  'over-directory': ['layer-conflict', 'would replace a folder that has been written'],
  'under-file': ['layer-conflict', 'lies below something that was written as no folder'],
  folder: ['layer-conflict', 'is a folder that was written with another mode or owner'],
};

function contradiction(path: string, kind: keyof typeof REASONS): McpBuildError {
  const [code, reason] = REASONS[kind];
  return new McpBuildError({
    code,
    message: `In the layer ${printable(path)} ${reason}`,
    input: path,
    fix: 'Two of its packages claim the same path: leave one of them out, or take versions that do not collide.',
  });
}

function invalid(path: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'entry-invalid',
    message: `${printable(path)} ${reason}`,
    input: path,
    fix: 'Look at the package that has it; an image can not hold such a file.',
  });
}

function wrongSize(entry: FileEntry, found: number): McpBuildError {
  return new McpBuildError({
    code: 'entry-size',
    message: `${printable(entry.path)} gave ${found}${found > entry.size ? ' or more' : ''} bytes instead of ${entry.size}`,
    input: entry.path,
    fix: 'Run the command again; if it stays, the archive it comes from is broken.',
  });
}
