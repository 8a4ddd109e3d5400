import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { inMemory, type RandomAccess, readZip } from '../../../builders/archive/index.ts';
import { type ZipFields, type ZipShape, zip, zipDescriptor, zipExtra } from '../../fakes/archives.ts';
import { readAll, verdictOf } from './read.ts';

const options = { name: 'sample.whl' };
const read = (bytes: Uint8Array, more = {}) => readZip(inMemory(bytes), { ...options, ...more });
const one = (fields: Partial<ZipFields>, shape: ZipShape = {}) =>
  zip([{ name: 'a', content: 'content', ...fields }], shape);

/** The same bytes from something that must be waited for. */
function slow(bytes: Uint8Array): RandomAccess {
  const memory = inMemory(bytes);
  return { size: bytes.length, read: async (offset, length) => Uint8Array.from(await memory.read(offset, length)) };
}

const content = 'content of a member, content of a member';
const packed = deflateRawSync(content);
const long = (...numbers: number[]) => {
  const bytes = Buffer.alloc(numbers.length * 8);
  numbers.forEach((number, index) => {
    bytes.writeBigUInt64LE(BigInt(number), index * 8);
  });
  return zipExtra(1, bytes);
};
const MAX = 0xffffffff;

describe('what a zip may hold', () => {
  test('files and folders, packed and stored, in the order of its directory', async () => {
    const large = Buffer.alloc(3 * 1024 * 1024, 'large member ').toString();
    const bytes = zip([
      { name: 'pkg/', unixMode: 0o40755, method: 0 },
      { name: 'pkg/a.py', content },
      { name: 'pkg/run', content: 'run', method: 0, unixMode: 0o100755 },
      { name: 'pkg/ä', content: '', flags: 0x0800 },
      { name: 'pkg/large', content: large },
      { name: 'pkg/large-stored', content: large, method: 0 },
    ]);
    const expected = [
      { type: 'directory', path: 'pkg', mode: 0o755 },
      { type: 'file', path: 'pkg/a.py', mode: 0o644, size: content.length, content },
      { type: 'file', path: 'pkg/run', mode: 0o755, size: 3, content: 'run' },
      { type: 'file', path: 'pkg/ä', mode: 0o644, size: 0, content: '' },
      { type: 'file', path: 'pkg/large', mode: 0o644, size: large.length, content: large },
      { type: 'file', path: 'pkg/large-stored', mode: 0o644, size: large.length, content: large },
    ];
    expect(await readAll(read(bytes))).toEqual(expected);
    expect(await readAll(readZip(slow(bytes), options))).toEqual(expected);
  });

  test.each([
    ['a comment', one({}, { comment: Buffer.from('comment') })],
    ['nothing', zip([])],
    [
      'a data descriptor',
      one({ content, flags: 8, local: { crc: 0, packed: 0, size: 0 }, behind: zipDescriptor(content, packed.length) }),
    ],
    [
      'a data descriptor without signature',
      one({
        content,
        flags: 8,
        local: { crc: 0, packed: 0, size: 0 },
        behind: zipDescriptor(content, packed.length).subarray(4),
      }),
    ],
    [
      'a data descriptor, and the sizes in front too',
      one({ content, flags: 8, behind: zipDescriptor(content, packed.length) }),
    ],
    ['a zip64 end', one({}, { zip64: true })],
    [
      'zip64 sizes',
      one({
        content,
        extra: long(content.length, packed.length),
        local: { packed: MAX, size: MAX },
        central: { packed: MAX, size: MAX },
      }),
    ],
    ['a zip64 offset', one({ content, extra: long(0), localExtra: Buffer.alloc(0), central: { offset: MAX } })],
    ['an unknown extra field', one({ extra: zipExtra(0x5455, Buffer.alloc(5)) })],
    ['a Unicode path that is the name', one({ extra: zipExtra(0x7075, Buffer.from('\x01\0\0\0\0a', 'latin1')) })],
  ])('%s', async (_, bytes) => {
    expect(await verdictOf(read(bytes))).toBe('ok');
  });

  test('a member that isn’t consumed is passed over', async () => {
    const large = Buffer.alloc(3 * 1024 * 1024);
    const seen: string[] = [];
    for await (const { path } of read(zip([{ name: 'a', content: large }, { name: 'b' }]))) seen.push(path);
    expect(seen).toEqual(['a', 'b']);
  });
});

describe('what makes a zip unsafe', () => {
  const two: readonly ZipFields[] = [
    { name: 'a', content: 'a' },
    { name: 'b', content: 'b' },
  ];
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['.. in a path', one({ name: '../a' })],
    ['an absolute path', one({ name: '/a' })],
    ['a backslash', one({ name: 'a\\b' })],
    ['a NUL in a name', one({ name: 'a\0b' })],
    ['an empty name', one({ name: '' })],
    ['a name of no declared character set', one({ name: 'ä' })],
    ['a name that isn’t UTF-8', one({ name: Uint8Array.of(0x61, 0xff), flags: 0x0800 })],
    [
      'the same name twice',
      zip([
        { name: 'a', content: '1' },
        { name: 'a', content: '2' },
      ]),
    ],
    ['the same name once normalised', zip([{ name: 'a/b' }, { name: 'a/./b' }])],
    ['a file below a file', zip([{ name: 'a' }, { name: 'a/b' }])],
    ['a symlink', one({ unixMode: 0o120777 })],
    ['a device', one({ unixMode: 0o020666 })],
    ['a folder that says it is a file', one({ name: 'a/', content: '', unixMode: 0o100644 })],
    ['a folder with content', one({ name: 'a/', unixMode: 0o40755 })],
    ['encryption', one({ flags: 1 })],
    ['strong encryption', one({ flags: 0x41 })],
    ['a masked header', one({ flags: 0x2000 })],
    ['a patch', one({ flags: 0x20 })],
    ['an unknown method', one({ method: 12, packed: Buffer.from('x') })],
    ['another local name', one({ local: { name: 'b' } })],
    ['other local flags', one({ local: { flags: 0x0800 } })],
    ['another local method', one({ local: { method: 0 } })],
    ['another local checksum', one({ local: { crc: 1 } })],
    ['another local packed size', one({ local: { packed: 1 } })],
    ['another local size', one({ local: { size: 1 } })],
    [
      'another local zip64 size',
      one({
        content,
        extra: long(content.length, packed.length),
        localExtra: long(1, packed.length),
        local: { packed: MAX, size: MAX },
        central: { packed: MAX, size: MAX },
      }),
    ],
    ['another size in the descriptor', one({ content, flags: 8, behind: zipDescriptor(content, 1) })],
    ['another checksum in the descriptor', one({ content, flags: 8, behind: zipDescriptor('other', packed.length) })],
    ['no descriptor where one is announced', one({ content, flags: 8 })],
    [
      'more than a descriptor',
      one({ content, flags: 8, behind: Buffer.concat([zipDescriptor(content, packed.length), Buffer.alloc(1)]) }),
    ],
    ['a size that lies', one({ content, central: { size: 5 }, local: { size: 5 } })],
    ['a size that lies upwards', one({ content, central: { size: 500 }, local: { size: 500 } })],
    ['a stored size that lies', one({ method: 0, central: { size: 5 }, local: { size: 5 } })],
    ['data behind the packed stream', one({ content, packed: Buffer.concat([packed, Buffer.from('hidden')]) })],
    ['bytes in front', one({}, { before: Buffer.from('#!/bin/sh\n') })],
    [
      'bytes between two members',
      zip([{ ...(two[0] as ZipFields), behind: Buffer.from('hidden') }, two[1] as ZipFields]),
    ],
    ['bytes before the directory', one({}, { between: Buffer.from('hidden') })],
    ['a member that the directory leaves out', Buffer.from(leaveOut(two))],
    [
      'two members at one place',
      zip([two[0] as ZipFields, { ...(two[1] as ZipFields), name: 'a', central: { offset: 0 } }]),
    ],
    ['an offset outside', one({ central: { offset: 5000 } })],
    ['a packed size outside', one({ central: { packed: 5000 }, local: { packed: 5000 } })],
    ['fewer members than it says', one({}, { entries: 2 })],
    ['more members than it says', zip(two, { entries: 1 })],
    ['two ends', one({}, { comment: emptyEnd() })],
    ['a zip64 end that disagrees', disagreeing()],
    ['an extra field that breaks off', one({ extra: Buffer.from([1, 0, 9, 0, 1]) })],
    ['a zip64 field that breaks off', one({ extra: zipExtra(1, Buffer.alloc(4)), central: { size: MAX } })],
    ['two zip64 fields', one({ extra: Buffer.concat([long(7), long(8)]) })],
    ['another name in an extra field', one({ extra: zipExtra(0x7075, Buffer.from('\x01\0\0\0\0b', 'latin1')) })],
    ['a size beyond all integers', one({ extra: zipExtra(1, Buffer.alloc(8, 255)), central: { size: MAX } })],
  ];

  test.each(cases)('%s', async (_, bytes) => {
    expect(await verdictOf(read(bytes))).toBe('archive-unsafe');
  });

  test.each([
    ['files', { files: 1 }, zip(two)],
    ['bytes', { bytes: 10 }, one({ content })],
    ['fileBytes', { fileBytes: 10 }, one({ content })],
    ['pathBytes', { pathBytes: 3 }, one({ name: 'abcd' })],
    ['depth', { depth: 2 }, one({ name: 'a/b/c' })],
    ['ratio', { ratio: 10 }, one({ content: Buffer.alloc(70 * 1024 * 1024) })],
  ])('the limit %s, and the error says how to raise it', async (limit, limits, bytes) => {
    await expect(readAll(read(bytes, { limits }))).rejects.toMatchObject({
      code: 'archive-unsafe',
      fix: expect.stringContaining(`MCP_BUILD_ARCHIVE_LIMITS=${limit}=`),
    });
  });

  test('a bomb is refused by its directory, before anything is unpacked', async () => {
    const reads: number[] = [];
    const bytes = one({ central: { size: MAX - 1 }, local: { size: MAX - 1 } });
    const memory = inMemory(bytes);
    const counting: RandomAccess = {
      size: bytes.length,
      read: (offset, length) => {
        reads.push(length);
        return memory.read(offset, length);
      },
    };
    expect(await verdictOf(readZip(counting, options))).toBe('archive-unsafe');
    expect(reads.length).toBeLessThanOrEqual(3);
  });
});

/** A member that stands in the file and not in the directory. */
function leaveOut(members: readonly ZipFields[]): Buffer {
  const all = zip(members);
  const [first] = members;
  const alone = zip([first as ZipFields]);
  const start = all.readUInt32LE(all.length - 6);
  const directory = Buffer.from(alone.subarray(alone.readUInt32LE(alone.length - 6)));
  directory.writeUInt32LE(start, directory.length - 6);
  return Buffer.concat([all.subarray(0, start), directory]);
}

function emptyEnd(): Buffer {
  return zip([]);
}

function disagreeing(): Buffer {
  const bytes = one({}, { zip64: true });
  // The short count says two, the long one says one.
  bytes.writeUInt16LE(2, bytes.length - 14);
  bytes.writeUInt16LE(2, bytes.length - 12);
  return bytes;
}

describe('what is merely broken', () => {
  test.each([
    ['no zip', Buffer.from('not a zip at all')],
    ['nothing', Buffer.alloc(0)],
    ['something behind', Buffer.concat([one({}), Buffer.from('x')])],
    ['a wrong checksum', one({ central: { crc: 1 }, local: { crc: 1 } })],
    ['data that doesn’t decompress', one({ packed: Buffer.from([0xff, 0xff, 0xff]) })],
    [
      'a large member with a wrong checksum',
      one({ content: Buffer.alloc(2_000_000), central: { crc: 1 }, local: { crc: 1 } }),
    ],
  ])('%s', async (_, bytes) => {
    expect(await verdictOf(read(bytes))).toBe('archive-invalid');
  });

  test('a zip cut off anywhere is never taken', async () => {
    const bytes = zip([
      { name: 'a', content },
      { name: 'b', content },
    ]);
    for (let length = 0; length < bytes.length; length++) {
      expect(await verdictOf(read(bytes.subarray(0, length)))).not.toBe('ok');
    }
  });
});
