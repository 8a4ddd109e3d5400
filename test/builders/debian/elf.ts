/** A shared library with a name and nothing else: one segment that is the whole file, and its dynamic section. */
export function makeLibrary(soname: string, options: { machine?: number; type?: number } = {}): Buffer {
  const strings = Buffer.from(`\0${soname}\0`);
  const dynamicAt = 64 + 2 * 56;
  const stringsAt = dynamicAt + 3 * 16;
  const bytes = Buffer.alloc(stringsAt + strings.length);
  bytes.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  bytes.writeUInt16LE(options.type ?? 3, 16);
  bytes.writeUInt16LE(options.machine ?? 62, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(2, 56);
  // Loaded at another address than its offset, as real libraries are.
  const base = 0x1000;
  segment(bytes, 64, 1, 0, base, bytes.length);
  segment(bytes, 64 + 56, 2, dynamicAt, base + dynamicAt, 3 * 16);
  entry(bytes, dynamicAt, 5, base + stringsAt);
  entry(bytes, dynamicAt + 16, 14, 1);
  strings.copy(bytes, stringsAt);
  return bytes;
}

function segment(bytes: Buffer, at: number, type: number, offset: number, address: number, size: number): void {
  bytes.writeUInt32LE(type, at);
  bytes.writeBigUInt64LE(BigInt(offset), at + 8);
  bytes.writeBigUInt64LE(BigInt(address), at + 16);
  bytes.writeBigUInt64LE(BigInt(size), at + 32);
}

function entry(bytes: Buffer, at: number, tag: number, value: number): void {
  bytes.writeBigUInt64LE(BigInt(tag), at);
  bytes.writeBigUInt64LE(BigInt(value), at + 8);
}
