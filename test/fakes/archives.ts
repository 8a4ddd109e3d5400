import { crc32, deflateRawSync, gzipSync } from 'node:zlib';

/** Builders of archives, honest and hostile: every field can be written as a test wants it, with a correct checksum around it. */

export interface TarFields {
  readonly name?: string | Uint8Array;
  readonly mode?: string;
  readonly size?: number;
  /** The 12 bytes of the size field, where they are not the octal of `size`. */
  readonly sizeField?: Uint8Array;
  readonly flag?: string;
  readonly linkname?: string;
  readonly prefix?: string | Uint8Array;
  /** `ustar\0` and `00` by default. */
  readonly magic?: string;
  /** Added to the right checksum. */
  readonly checksumError?: number;
}

/** One header block. */
export function tarHeader(fields: TarFields): Buffer {
  const block = Buffer.alloc(512);
  const put = (value: string | Uint8Array, at: number) => Buffer.from(value as Uint8Array).copy(block, at);
  put(fields.name ?? 'package/file', 0);
  put(`${fields.mode ?? '0000644'}\0`, 100);
  put('0000000\x000000000\0', 108);
  put(fields.sizeField ?? `${(fields.size ?? 0).toString(8).padStart(11, '0')}\0`, 124);
  put('03560116604\0', 136);
  put('        ', 148);
  put(fields.flag ?? '0', 156);
  put(fields.linkname ?? '', 157);
  put(fields.magic ?? 'ustar\x0000', 257);
  put(fields.prefix ?? '', 345);
  const sum = block.reduce((total, byte) => total + byte, fields.checksumError ?? 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** A member: its header and its content, padded. */
export function tarMember(fields: TarFields, content: string | Uint8Array = ''): Buffer {
  const bytes = Buffer.from(content as Uint8Array);
  return Buffer.concat([
    tarHeader({ size: bytes.length, ...fields }),
    bytes,
    Buffer.alloc((512 - (bytes.length % 512)) % 512),
  ]);
}

export function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (rest + String(length).length !== length) length++;
  return `${length} ${key}=${value}\n`;
}

/** An extended header of some records, which the next member follows. */
export function pax(records: Readonly<Record<string, string>>, flag = 'x'): Buffer {
  const text = Object.entries(records)
    .map(([key, value]) => paxRecord(key, value))
    .join('');
  return tarMember({ name: 'PaxHeader', flag }, text);
}

export const TAR_END = Buffer.alloc(1024);

export function tar(...members: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...members, TAR_END]);
}

export function tarGz(...members: readonly Uint8Array[]): Buffer {
  return gzipSync(tar(...members));
}

export interface ZipFields {
  readonly name: string | Uint8Array;
  readonly content?: string | Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** Type and permission bits; written as by a Unix writer. */
  readonly unixMode?: number;
  /** Over what the content says, in the central directory. */
  readonly central?: Partial<ZipNumbers>;
  /** And in the local header. */
  readonly local?: Partial<ZipNumbers> & { readonly name?: string; readonly flags?: number; readonly method?: number };
  readonly extra?: Uint8Array;
  readonly localExtra?: Uint8Array;
  /** Bytes after the data: a data descriptor, or what hides there. */
  readonly behind?: Uint8Array;
  /** In place of the packed content. */
  readonly packed?: Uint8Array;
}

interface ZipNumbers {
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  readonly offset: number;
}

export interface ZipShape {
  readonly before?: Uint8Array;
  readonly between?: Uint8Array;
  readonly comment?: Uint8Array;
  readonly behind?: Uint8Array;
  /** Adds the zip64 end record and locator. */
  readonly zip64?: boolean;
  readonly entries?: number;
}

export function zip(members: readonly ZipFields[], shape: ZipShape = {}): Buffer {
  const parts: Buffer[] = [Buffer.from(shape.before ?? [])];
  const centrals: Buffer[] = [];
  let offset = parts[0]?.length ?? 0;
  for (const member of members) {
    const content = Buffer.from((member.content ?? '') as Uint8Array);
    const method = member.method ?? 8;
    const data = Buffer.from(member.packed ?? (method === 8 ? deflateRawSync(content) : content));
    const honest = { crc: crc32(content), packed: data.length, size: content.length, offset };
    const local = zipLocal(member, { ...honest, ...member.local }, method);
    centrals.push(zipCentral(member, { ...honest, ...member.central }, method));
    const piece = Buffer.concat([local, data, Buffer.from(member.behind ?? [])]);
    parts.push(piece);
    offset += piece.length;
  }
  const between = Buffer.from(shape.between ?? []);
  const directory = Buffer.concat(centrals);
  return Buffer.concat([
    ...parts,
    between,
    directory,
    zipEnd(shape.entries ?? members.length, directory.length, offset + between.length, shape),
  ]);
}

function zipLocal(member: ZipFields, numbers: ZipNumbers, method: number): Buffer {
  const name = Buffer.from((member.local?.name ?? member.name) as Uint8Array);
  const extra = Buffer.from(member.localExtra ?? member.extra ?? []);
  const fixed = Buffer.alloc(30);
  fixed.writeUInt32LE(0x04034b50, 0);
  fixed.writeUInt16LE(20, 4);
  fixed.writeUInt16LE(member.local?.flags ?? member.flags ?? 0, 6);
  fixed.writeUInt16LE(member.local?.method ?? method, 8);
  fixed.writeUInt32LE(numbers.crc, 14);
  fixed.writeUInt32LE(numbers.packed, 18);
  fixed.writeUInt32LE(numbers.size, 22);
  fixed.writeUInt16LE(name.length, 26);
  fixed.writeUInt16LE(extra.length, 28);
  return Buffer.concat([fixed, name, extra]);
}

function zipCentral(member: ZipFields, numbers: ZipNumbers, method: number): Buffer {
  const name = Buffer.from(member.name as Uint8Array);
  const extra = Buffer.from(member.extra ?? []);
  const fixed = Buffer.alloc(46);
  fixed.writeUInt32LE(0x02014b50, 0);
  fixed.writeUInt16LE((3 << 8) | 20, 4);
  fixed.writeUInt16LE(20, 6);
  fixed.writeUInt16LE(member.flags ?? 0, 8);
  fixed.writeUInt16LE(method, 10);
  fixed.writeUInt32LE(numbers.crc, 16);
  fixed.writeUInt32LE(numbers.packed, 20);
  fixed.writeUInt32LE(numbers.size, 24);
  fixed.writeUInt16LE(name.length, 28);
  fixed.writeUInt16LE(extra.length, 30);
  fixed.writeUInt32LE(((member.unixMode ?? 0o100644) * 65536) >>> 0, 38);
  fixed.writeUInt32LE(numbers.offset, 42);
  return Buffer.concat([fixed, name, extra]);
}

function zipEnd(entries: number, size: number, offset: number, shape: ZipShape): Buffer {
  const comment = Buffer.from(shape.comment ?? []);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(shape.zip64 ? 0xffff : entries, 8);
  end.writeUInt16LE(shape.zip64 ? 0xffff : entries, 10);
  end.writeUInt32LE(shape.zip64 ? 0xffffffff : size, 12);
  end.writeUInt32LE(shape.zip64 ? 0xffffffff : offset, 16);
  end.writeUInt16LE(comment.length, 20);
  const long: Buffer[] = [];
  if (shape.zip64) {
    const record = Buffer.alloc(56);
    record.writeUInt32LE(0x06064b50, 0);
    record.writeBigUInt64LE(44n, 4);
    record.writeUInt16LE(45, 12);
    record.writeUInt16LE(45, 14);
    record.writeBigUInt64LE(BigInt(entries), 24);
    record.writeBigUInt64LE(BigInt(entries), 32);
    record.writeBigUInt64LE(BigInt(size), 40);
    record.writeBigUInt64LE(BigInt(offset), 48);
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50, 0);
    locator.writeBigUInt64LE(BigInt(offset + size), 8);
    locator.writeUInt32LE(1, 16);
    long.push(record, locator);
  }
  return Buffer.concat([...long, end, comment, Buffer.from(shape.behind ?? [])]);
}

/** A zip extra field: id, length, data. */
export function zipExtra(id: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(id, 0);
  head.writeUInt16LE(data.length, 2);
  return Buffer.concat([head, data]);
}

/** A data descriptor with its signature. */
export function zipDescriptor(content: string, packed: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(0x08074b50, 0);
  bytes.writeUInt32LE(crc32(content), 4);
  bytes.writeUInt32LE(packed, 8);
  bytes.writeUInt32LE(Buffer.byteLength(content), 12);
  return bytes;
}

export function ar(members: readonly { readonly name: string; readonly content: string | Uint8Array }[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from('!<arch>\n')];
  for (const { name, content } of members) {
    const bytes = Buffer.from(content as Uint8Array);
    parts.push(arHeader(name, String(bytes.length)), bytes, Buffer.from(bytes.length % 2 === 1 ? '\n' : ''));
  }
  return Buffer.concat(parts);
}

export function arHeader(name: string, size: string): Buffer {
  return Buffer.from(
    `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${size.padEnd(10)}\`\n`,
  );
}

/** A deb whose archives are gzipped. */
export function deb(
  control: Readonly<Record<string, string>>,
  data: Buffer,
  extra: Parameters<typeof ar>[0] = [],
): Buffer {
  const files = Object.entries(control).map(([name, text]) => tarMember({ name: `./${name}` }, text));
  return ar([
    { name: 'debian-binary', content: '2.0\n' },
    { name: 'control.tar.gz', content: tarGz(...files) },
    { name: 'data.tar.gz', content: gzipSync(data) },
    ...extra,
  ]);
}

/** Cuts bytes in pieces of the given sizes, over and over: what a network does. */
export function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.length;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
