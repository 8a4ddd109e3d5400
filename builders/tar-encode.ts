import type { Entry } from './entry.ts';

export const BLOCK = 512;

/**
 * The modification time of every file of every layer ever, in seconds: 1985-10-26T08:15:00Z, which npm has written into each tarball
 * since 2018. Everything that runs has met it; it is late enough for zip and FAT, whose time begins in 1980, and it can't be the future.
 */
export const MTIME = 499_162_500;

const NAME = 100;
const PREFIX = 155;
/** 8^11: the first size that an octal field can't hold. */
const OCTAL_END = 0o100000000000;

const TYPE = { file: '0', hardlink: '1', symlink: '2', directory: '5', pax: 'x' } as const;

interface Fields extends Attributes {
  readonly name: string;
  readonly prefix: string;
  readonly size: number;
  readonly type: keyof typeof TYPE;
  readonly linkname: string;
}

// What is the same in every header: time, magic and version, device numbers. Checksum as spaces, which is how it is counted.
const TEMPLATE = Buffer.alloc(BLOCK);
TEMPLATE.write(`${octal(MTIME, 11)}\0`, 136, 'latin1');
TEMPLATE.write('        ', 148, 'latin1');
TEMPLATE.write('ustar\x0000', 257, 'latin1');
TEMPLATE.write('0000000\x000000000\0', 329, 'latin1');

/**
 * The header blocks of an entry: ustar where that can say it, else a PAX header with only what ustar can't say, in the order path,
 * linkpath, size (POSIX.1-2024, pax). Owners have numbers and no names.
 * @param attributes of a hard link: those of its file, since runtimes apply them to both
 */
export function encodeHeader(entry: Entry, attributes: Attributes = attributesOf(entry)): Buffer {
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  const target = 'target' in entry ? entry.target : '';
  const size = entry.type === 'file' ? entry.size : 0;
  const split = splitPath(path);
  const records: string[] = [];
  if (!split) records.push(record('path', path));
  if (!isAscii(target) || target.length > NAME) records.push(record('linkpath', target));
  if (size >= OCTAL_END) records.push(record('size', String(size)));
  const own = block({
    ...(split ?? { name: asAscii(path), prefix: '' }),
    ...attributes,
    size: size >= OCTAL_END ? 0 : size,
    type: entry.type,
    linkname: asAscii(target),
  });
  if (records.length === 0) return own;
  const data = Buffer.from(records.join(''), 'utf8');
  const padding = Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK);
  const name = asAscii(`PaxHeaders/${entry.path}`);
  const pax = block({ name, prefix: '', mode: 0o644, uid: 0, gid: 0, size: data.length, type: 'pax', linkname: '' });
  return Buffer.concat([pax, data, padding, own]);
}

/** Mode and owner as they are written. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export function attributesOf(entry: Entry): Attributes {
  switch (entry.type) {
    case 'file':
      return { mode: entry.mode ?? 0o644, uid: entry.uid ?? 0, gid: entry.gid ?? 0 };
    case 'directory':
      return { mode: entry.mode ?? 0o755, uid: entry.uid ?? 0, gid: entry.gid ?? 0 };
    case 'symlink':
      return { mode: 0o777, uid: 0, gid: 0 };
    case 'hardlink':
      return { mode: 0o644, uid: 0, gid: 0 };
  }
}

function block(fields: Fields): Buffer {
  const bytes = Buffer.from(TEMPLATE);
  bytes.write(fields.name, 0, NAME, 'latin1');
  bytes.write(
    `${octal(fields.mode, 7)}\0${octal(fields.uid, 7)}\0${octal(fields.gid, 7)}\0${octal(fields.size, 11)}\0`,
    100,
    36,
    'latin1',
  );
  bytes.write(TYPE[fields.type], 156, 1, 'latin1');
  bytes.write(fields.linkname, 157, NAME, 'latin1');
  bytes.write(fields.prefix, 345, PREFIX, 'latin1');
  let sum = 0;
  for (const byte of bytes) sum += byte;
  bytes.write(`${octal(sum, 6)}\0 `, 148, 8, 'latin1');
  return bytes;
}

/** Name and prefix of a path that ustar can hold; undefined for one that it can't. */
function splitPath(path: string): { name: string; prefix: string } | undefined {
  if (!isAscii(path)) return undefined;
  if (path.length <= NAME) return { name: path, prefix: '' };
  // The first slash that leaves a short enough name leaves the shortest prefix too. A folder's own last slash separates nothing.
  const slash = path.indexOf('/', path.length - NAME - 1);
  if (slash < 1 || slash > PREFIX || slash === path.length - 1) return undefined;
  return { name: path.slice(slash + 1), prefix: path.slice(0, slash) };
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function record(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (rest + String(length).length > length) length++;
  return `${length} ${key}=${value}\n`;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7e) return false;
  return true;
}

/** What a reader that ignores PAX headers gets to see: cut to the field, everything else as `?`. */
function asAscii(text: string): string {
  return text.slice(0, NAME).replace(/[^\x20-\x7e]/g, '?');
}
