import { crc32 } from 'node:zlib';

/** An xz file (tukaani.org/xz/xz-file-format.txt) whose LZMA2 chunks are stored: Node can't write compressed ones. */
export function storedXz(bytes: Uint8Array): Buffer {
  const flags = Buffer.from([0, 1]);
  const head = Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), flags, checksum(flags)]);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 65_536) {
    const part = Buffer.from(bytes.subarray(at, at + 65_536));
    const size = Buffer.alloc(2);
    size.writeUInt16BE(part.length - 1);
    parts.push(Buffer.from([at === 0 ? 1 : 2]), size, part);
  }
  const chunks = Buffer.concat([...parts, Buffer.from([0])]);
  // One filter, LZMA2 with a dictionary of 8 MiB; no sizes.
  const blockHeader = Buffer.from([2, 0, 0x21, 1, 22, 0, 0, 0]);
  const padding = Buffer.alloc((4 - (chunks.length % 4)) % 4);
  const check = checksum(bytes);
  const unpadded = blockHeader.length + 4 + chunks.length + check.length;
  const records = Buffer.concat([Buffer.from([0, 1]), vli(unpadded), vli(bytes.length)]);
  const index = Buffer.concat([records, Buffer.alloc((4 - (records.length % 4)) % 4)]);
  const backward = Buffer.alloc(4);
  backward.writeUInt32LE((index.length + 4) / 4 - 1);
  const tail = Buffer.concat([backward, flags]);
  return Buffer.concat([
    head,
    Buffer.concat([blockHeader, checksum(blockHeader)]),
    chunks,
    padding,
    check,
    index,
    checksum(index),
    checksum(tail),
    tail,
    Buffer.from('YZ'),
  ]);
}

function checksum(bytes: Uint8Array): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(bytes));
  return sum;
}

function vli(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}
