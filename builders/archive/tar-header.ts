import { type Subject, unsafe } from './limits.ts';
import { nameOf } from './paths.ts';

export const BLOCK = 512;

/** The fields of one header block that decide what is read (POSIX.1-2024 pax, "ustar Interchange Format"; GNU tar "Basic Tar Format"). */
export interface Header {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  /** The type flag as a character; NUL is given as '0', its meaning before POSIX. */
  readonly flag: string;
  readonly linkname: string;
}

export function isZeroBlock(block: Uint8Array): boolean {
  // Two thirds of a real archive's blocks are decided by the first byte.
  if (block[0] !== 0) return false;
  return block.every((byte) => byte === 0);
}

/**
 * Reads a header block. Each field is read in the one way that all common readers share; where they differ, it is refused.
 * @throws McpBuildError `archive-unsafe`
 */
export function parseHeader(block: Uint8Array, subject: Subject): Header {
  const posix = magicOf(block, subject) === 'posix';
  const prefix = posix ? prefixOf(block, subject) : '';
  const base = text(block, 0, 100, subject);
  const name = prefix === '' ? base : `${prefix}/${base}`;
  checkSum(block, subject, name);
  const flag = block[156] || 0x30;
  return {
    name,
    mode: octal(block, 100, 8, subject, name, 'mode') & 0o7777,
    size: octal(block, 124, 12, subject, name, 'size'),
    flag: String.fromCharCode(flag),
    linkname: text(block, 157, 100, subject),
  };
}

/** The bytes where POSIX has a prefix hold times in GNU's form, and nothing in the form before both. */
function magicOf(block: Uint8Array, subject: Subject): 'posix' | 'gnu' | 'old' {
  const magic = Buffer.from(block.buffer, block.byteOffset + 257, 8).toString('latin1');
  if (magic.startsWith('ustar\0')) return 'posix';
  if (magic === 'ustar  \0') return 'gnu';
  if (magic === '\0\0\0\0\0\0\0\0') return 'old';
  throw unsafe(subject, 'has a tar header of no known form');
}

/** Writers of star's form, npm's own among them, cut the prefix to 130 bytes and put two times behind it. */
function prefixOf(block: Uint8Array, subject: Subject): string {
  if (block[475] !== 0) return text(block, 345, 155, subject);
  for (let at = 476; at < 500; at++) {
    const byte = block[at] as number;
    if (byte !== 0 && byte !== 0x20 && (byte < 0x30 || byte > 0x37)) return text(block, 345, 155, subject);
  }
  return text(block, 345, 130, subject);
}

function text(block: Uint8Array, from: number, length: number, subject: Subject): string {
  let end = from;
  while (end < from + length && block[end] !== 0) end++;
  const name = nameOf(block.subarray(from, end), subject);
  // Readers that take the whole field, or trim it from the end, would see another name.
  for (let at = end; at < from + length; at++) {
    if (block[at] !== 0) throw unsafe(subject, 'has more of a name after a NUL', name);
  }
  return name;
}

function checkSum(block: Uint8Array, subject: Subject, name: string): void {
  let sum = 8 * 0x20;
  for (let at = 0; at < 148; at++) sum += block[at] as number;
  for (let at = 156; at < BLOCK; at++) sum += block[at] as number;
  if (octal(block, 148, 8, subject, name, 'checksum') !== sum) {
    throw unsafe(subject, 'has a tar header with a wrong checksum', name);
  }
}

/** 8^11: the first size that the octal field can't hold. */
const OCTAL_END = 0o100000000000;

function octal(
  block: Uint8Array,
  from: number,
  length: number,
  subject: Subject,
  name: string,
  field: 'mode' | 'size' | 'checksum',
): number {
  const end = from + length;
  let at = from;
  if ((block[at] as number) & 0x80) return binary(block, from, length, subject, name, field);
  while (at < end && block[at] === 0x20) at++;
  let value = 0;
  while (at < end) {
    const digit = (block[at] as number) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
    at++;
  }
  // Whatever else follows the digits, some reader takes it for part of the number.
  for (; at < end; at++) {
    if (block[at] !== 0 && block[at] !== 0x20)
      throw unsafe(subject, `has a tar header whose ${field} is no number`, name);
  }
  return value;
}

/** GNU's base-256 form, meant for what octal can't hold; in place of a small or negative number it is there to be misread. */
function binary(
  block: Uint8Array,
  from: number,
  length: number,
  subject: Subject,
  name: string,
  field: 'mode' | 'size' | 'checksum',
): number {
  let value = (block[from] as number) & 0x7f;
  for (let at = from + 1; at < from + length && value <= Number.MAX_SAFE_INTEGER; at++) {
    value = value * 256 + (block[at] as number);
  }
  if (field !== 'size' || block[from] !== 0x80 || value < OCTAL_END || value > Number.MAX_SAFE_INTEGER) {
    throw unsafe(subject, `has a tar header whose ${field} is negative or oddly written`, name);
  }
  return value;
}

/** What an extended header may change. */
export interface Pax {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
}

// Times and owners, which no layer keeps, and what npm's, star's and libarchive's writers note about where a file came from.
const IGNORED =
  /^(?:mtime|atime|ctime|uid|gid|uname|gname|comment|charset|SCHILY\.(?!realsize|xattr).+|NODETAR\..+|LIBARCHIVE\.(?!xattr).+)$/;

/**
 * Reads the records `<length> <key>=<value>\n` of an extended header (POSIX.1-2024, "pax Extended Header").
 * @throws McpBuildError `archive-unsafe` for records that aren't whole, are there twice, or change more than path, target and size
 */
export function parsePax(bytes: Uint8Array, scope: 'member' | 'global', subject: Subject): Pax {
  const found = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 || space - at > 6 ? '' : Buffer.from(bytes.subarray(at, space)).toString('latin1');
    const end = at + Number(digits);
    if (!/^[1-9][0-9]*$/.test(digits) || end > bytes.length || end <= space + 2 || bytes[end - 1] !== 0x0a) {
      throw unsafe(subject, 'has a PAX header whose records are not whole');
    }
    const equals = bytes.indexOf(0x3d, space);
    if (equals < 0 || equals >= end || equals === space + 1) throw unsafe(subject, 'has a PAX record without a key');
    const key = Buffer.from(bytes.subarray(space + 1, equals)).toString('latin1');
    at = end;
    if (IGNORED.test(key)) continue;
    if (scope === 'global' || (key !== 'path' && key !== 'linkpath' && key !== 'size')) {
      throw unsafe(
        subject,
        `has a ${scope === 'global' ? 'global ' : ''}PAX record "${key.replace(/[^\w.]/g, '?').slice(0, 80)}"`,
      );
    }
    if (found.has(key)) throw unsafe(subject, `has the PAX record "${key}" twice`);
    const value = nameOf(bytes.subarray(equals + 1, end - 1), subject);
    // An empty value means "as if there were none" to some readers and an empty name to others.
    if (value === '' || value.includes('\0'))
      throw unsafe(subject, `has a PAX record "${key}" that can't be used`, value);
    found.set(key, value);
  }
  const path = found.get('path');
  const linkpath = found.get('linkpath');
  const size = found.get('size');
  if (size !== undefined && !/^(?:0|[1-9][0-9]{0,14})$/.test(size)) {
    throw unsafe(subject, 'has a PAX record "size" that is no number', size);
  }
  return {
    ...(path === undefined ? {} : { path }),
    ...(linkpath === undefined ? {} : { linkpath }),
    ...(size === undefined ? {} : { size: Number(size) }),
  };
}

/** The size that counts. @throws McpBuildError `archive-unsafe` where header and PAX record would be read as two sizes */
export function sizeOf(header: Header, pax: Pax, subject: Subject): number {
  if (pax.size === undefined || pax.size === header.size) return pax.size ?? header.size;
  // Only a size that the header can't hold has a reason to differ from it.
  if (pax.size >= OCTAL_END) return pax.size;
  throw unsafe(
    subject,
    `has ${header.size} bytes by its header and ${pax.size} by its PAX record`,
    pax.path ?? header.name,
  );
}
