import type { FileHandle } from 'node:fs/promises';
import { McpBuildError } from '../errors/index.ts';

const BLOCK = 512;
const CHUNK = 512 * 1024;
/** More entries than an archive of images has; each costs its reader a read and some memory. */
const ENTRIES = 100_000;
/** In bytes, of a PAX header: paths of a layout need none. */
const PAX = 64 * 1024;

export interface TarFile {
  readonly path: string;
  /** In bytes, from the start of the archive. */
  readonly offset: number;
  readonly size: number;
}

/**
 * The files of a tar archive, by their headers only (POSIX ustar; PAX headers are skipped unless they rename what follows).
 * @throws McpBuildError `archive-unsafe`
 */
export async function listTar(file: FileHandle, name: string): Promise<readonly TarFile[]> {
  const end = (await file.stat()).size;
  const files: TarFile[] = [];
  let at = 0;
  for (let entry = 0; at + BLOCK <= end; entry++) {
    if (entry === ENTRIES) throw unsafe(name, `has more than ${ENTRIES} entries`);
    const header = await readExactly(file, BLOCK, at);
    if (header.every((byte) => byte === 0)) break;
    const { path, size, type } = parseHeader(header, name);
    const offset = at + BLOCK;
    if (offset + size > end) throw unsafe(name, `is cut off in ${path}`);
    if (type === 'x' || type === 'g') await refuseRenames(file, offset, size, name);
    else if (type === '0' || type === '\0') files.push({ path, offset, size });
    else if (type !== '5') throw unsafe(name, `holds ${path}, which is neither a file nor a folder`);
    at = offset + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

/** Some bytes of a file, in chunks. */
export async function* readRange(file: FileHandle, offset: number, size: number): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < size; ) {
    const length = Math.min(CHUNK, size - done);
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, offset + done);
    // Cut short since its headers were read: the reader's check of the hash says so.
    if (bytesRead === 0) return;
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function readExactly(file: FileHandle, size: number, offset: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readRange(file, offset, size)) chunks.push(chunk);
  return Buffer.concat(chunks, size);
}

/** A ustar header: owned by nobody in particular, of no time, so that the same content is the same archive. */
export function tarHeader(path: string, size: number): Uint8Array {
  const header = Buffer.alloc(BLOCK);
  // A layout's longest path, blobs/sha256/<64 hex digits>, fits; a size above 8 GiB does not.
  if (Buffer.byteLength(path) > 100 || size >= 8 ** 11) throw new RangeError(`${path} does not fit a ustar header`);
  header.write(path, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('0', 156);
  header.write('ustar\u000000', 257, 'latin1');
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

export function tarPadding(size: number): Uint8Array {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

export const TAR_END: Uint8Array = Buffer.alloc(2 * BLOCK);

function parseHeader(
  header: Buffer,
  name: string,
): { readonly path: string; readonly size: number; readonly type: string } {
  const stated = octal(header, 148, 8);
  if (stated === undefined || stated !== checksum(header)) throw unsafe(name, 'is not a tar archive, or a damaged one');
  const size = octal(header, 124, 12);
  if (size === undefined) throw unsafe(name, 'has an entry without a size');
  const prefix = header.toString('latin1', 257, 262) === 'ustar' ? text(header, 345, 155) : '';
  const path = `${prefix === '' ? '' : `${prefix}/`}${text(header, 0, 100)}`.replace(/^(?:\.\/)+/, '');
  return { path, size, type: String.fromCharCode(header[156]!) };
}

/** The sum of all bytes, those of the sum itself taken as spaces. */
function checksum(header: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += header[at]!;
  return sum;
}

function octal(header: Buffer, at: number, length: number): number | undefined {
  const digits = /^ *([0-7]{1,11})[ \0]*$/.exec(header.toString('latin1', at, at + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

function text(header: Buffer, at: number, length: number): string {
  const end = header.indexOf(0, at);
  return header.toString('utf8', at, end < 0 || end > at + length ? at + length : end);
}

async function refuseRenames(file: FileHandle, offset: number, size: number, name: string): Promise<void> {
  if (size > PAX) throw unsafe(name, `has a PAX header of ${size} bytes`);
  const bytes = await readExactly(file, size, offset);
  // Read as records by others, looked through as lines here: a value that merely looks like a rename is refused too.
  if (/(?:^|\n)\d+ (?:path|linkpath|size|GNU\.sparse[^=]*)=/.test(bytes.toString('latin1'))) {
    throw unsafe(name, 'has a PAX header that renames or resizes a file');
  }
}

export function unsafe(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'archive-unsafe',
    message: `${input} ${reason}`,
    input,
    fix: 'Make the archive again with `mcp-build export`, or with skopeo as oci-archive; compressed ones must be unpacked first.',
  });
}
