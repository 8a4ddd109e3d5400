import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { gunzip, readTarGz } from '../../../builders/archive/index.ts';
import { cut, tar, tarGz, tarMember } from '../../fakes/archives.ts';
import { bytesOf, readAll, verdictOf } from './read.ts';

const options = { name: 'sample.tgz' };
const unpack = (bytes: Uint8Array, sizes = [bytes.length || 1], more = {}) =>
  bytesOf(gunzip(cut(bytes, sizes), { ...options, ...more }));
const verdict = (bytes: Uint8Array, more = {}) => verdictOf(() => unpack(bytes, undefined, more));

/** Too large to be unpacked as a whole, so that the streamed way is tested too: noise that doesn't compress, then text. */
const noise = Buffer.alloc(3 * 1024 * 1024);
for (let at = 0, state = 1; at < noise.length; at++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  noise[at] = state >>> 24;
}
const large = Buffer.concat([noise, Buffer.alloc(20 * 1024 * 1024, 'text ')]);
const packedLarge = gzipSync(large, { level: 1 });
const small = Buffer.from('small '.repeat(1000));
const packedSmall = gzipSync(small);

/** The gzip of nothing but the fixed header's flags, with the fields they announce. */
function withHeader(flags: number, fields: Uint8Array): Buffer {
  const header = Buffer.from(packedSmall.subarray(0, 10));
  header[3] = flags;
  return Buffer.concat([header, fields, packedSmall.subarray(10)]);
}

const both = [
  ['whole', small, packedSmall],
  ['streamed', large, packedLarge],
] as const;

describe.each(both)('unpacked %s', (_, plain, packed) => {
  test('at any chunking', async () => {
    for (const sizes of [[packed.length], [65_537, 3], [1, 100_000, 7]]) {
      expect((await unpack(packed, sizes)).equals(plain)).toBe(true);
    }
  });

  test('several members are one stream', async () => {
    const empty = gzipSync('');
    const bytes = Buffer.concat([packed, empty, packedSmall]);
    expect((await unpack(bytes, [9_999])).equals(Buffer.concat([plain, small]))).toBe(true);
  });

  test('zeros may follow', async () => {
    expect((await unpack(Buffer.concat([packed, Buffer.alloc(700)]), [packed.length + 1])).equals(plain)).toBe(true);
  });

  test.each([
    ['text', Buffer.from('garbage')],
    ['one byte', Buffer.from('g')],
    ['zeros and text', Buffer.from('\0\0\0g')],
    ['zeros and another member', Buffer.concat([Buffer.alloc(4), packedSmall])],
    ['half a magic', Buffer.of(0x1f)],
  ])('%s behind the end is unsafe', async (__, behind) => {
    expect(await verdict(Buffer.concat([packed, behind]))).toBe('archive-unsafe');
  });

  test('cut off anywhere it is invalid', async () => {
    for (const left of [1, 4, 8, 9, 500, packed.length - 10, packed.length - 5, packed.length]) {
      expect(await verdict(packed.subarray(0, packed.length - left))).toBe('archive-invalid');
    }
  });

  test.each([
    ['checksum', -8],
    ['size', -1],
    ['method', 2],
    ['magic', 1],
  ])('a wrong %s is invalid', async (__, at) => {
    const bytes = Buffer.from(packed);
    const place = at < 0 ? bytes.length + at : at;
    bytes[place] = (bytes[place] as number) ^ 0x01;
    expect(await verdict(bytes)).toBe('archive-invalid');
  });

  test('corrupt data is invalid', async () => {
    const bytes = Buffer.from(packed);
    bytes.fill(0xff, 20, 40);
    expect(await verdict(bytes)).toBe('archive-invalid');
  });

  test('the limit of all bytes holds', async () => {
    expect(await verdict(packed, { limits: { bytes: plain.length } })).toBe('ok');
    expect(await verdict(packed, { limits: { bytes: plain.length - 1 } })).toBe('archive-unsafe');
  });
});

describe('header fields', () => {
  test.each([
    ['a name', 8, Buffer.from('sample.tar\0')],
    ['a comment', 16, Buffer.from('comment\0')],
    ['an extra field', 4, Buffer.from([3, 0, 1, 2, 3])],
    ['a header checksum', 2, Buffer.from([1, 2])],
    ['all of them', 30, Buffer.from('\x02\0ababc\0def\0xx', 'latin1')],
  ])('%s is passed over', async (_, flags, fields) => {
    const bytes = withHeader(flags, fields);
    expect((await unpack(bytes)).equals(small)).toBe(true);
    // In front of so much that it is streamed.
    expect((await unpack(Buffer.concat([bytes, packedLarge]), [5])).length).toBe(small.length + large.length);
  });

  test('a reserved flag is invalid', async () => {
    expect(await verdict(withHeader(0x20, Buffer.alloc(0)))).toBe('archive-invalid');
  });

  test('a name without end is unsafe', async () => {
    expect(await verdict(withHeader(8, Buffer.concat([Buffer.alloc(100_000, 'n'), Buffer.alloc(1)])))).toBe(
      'archive-unsafe',
    );
  });

  test('nothing is invalid', async () => {
    expect(await verdict(Buffer.alloc(0))).toBe('archive-invalid');
  });
});

describe('bombs', () => {
  const zeros = gzipSync(Buffer.alloc(80 * 1024 * 1024));

  test('a ratio over the limit is unsafe', async () => {
    await expect(unpack(zeros)).rejects.toMatchObject({
      code: 'archive-unsafe',
      fix: expect.stringContaining('MCP_BUILD_ARCHIVE_LIMITS=ratio='),
    });
    expect(await verdict(zeros, { limits: { ratio: 1100 } })).toBe('ok');
  });

  test('memory stays bounded whatever the last bytes say', async () => {
    const lying = Buffer.from(zeros);
    lying.writeUInt32LE(1, lying.length - 4);
    for (const bytes of [zeros, lying]) {
      let largest = 0;
      const run = async () => {
        for await (const part of gunzip([bytes], options)) largest = Math.max(largest, part.length);
      };
      expect(await verdictOf(run)).toBe('archive-unsafe');
      expect(largest).toBeLessThanOrEqual(16 * 1024 * 1024);
    }
  });

  test('members without end are unsafe, and soon', async () => {
    const empty = gzipSync('');
    const started = performance.now();
    expect(await verdict(Buffer.concat(Array<Buffer>(50_000).fill(empty)))).toBe('archive-unsafe');
    expect(await verdict(Buffer.concat([packedLarge, ...Array<Buffer>(50_000).fill(empty)]))).toBe('archive-unsafe');
    expect(performance.now() - started).toBeLessThan(25_000);
  });
});

test('a gzipped tar gives its members', async () => {
  const members = [tarMember({ name: 'package/a' }, 'A'), tarMember({ name: 'package/b' }, large)];
  const all = await readAll(readTarGz(cut(tarGz(...members), [4096]), options));
  expect(all).toMatchObject([
    { path: 'package/a', content: 'A' },
    { path: 'package/b', size: large.length },
  ]);
  expect(all[1]?.content).toBe(large.toString('latin1'));
});

test('a tar that ends before its gzip does is read to the end of both', async () => {
  const bytes = Buffer.concat([gzipSync(tar(tarMember({ name: 'a' }))), gzipSync('more')]);
  expect(await verdictOf(readTarGz([bytes], options))).toBe('archive-unsafe');
  async function* failing() {
    yield bytes.subarray(0, -30);
    throw new RangeError('the hash differs');
  }
  await expect(readAll(readTarGz(failing(), options))).rejects.toThrow(RangeError);
});
