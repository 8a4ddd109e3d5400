import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readTar } from '../../builders/archive/index.ts';
import type { Entry } from '../../builders/entry.ts';
import { COMPRESSOR, type Layer, MTIME, writeLayer } from '../../builders/layer.ts';
import { encodeHeader } from '../../builders/tar-encode.ts';
import { cut } from '../fakes/archives.ts';
import { bytesOf, readAll } from './archive/read.ts';

async function write(entries: Iterable<Entry> | AsyncIterable<Entry>): Promise<{ bytes: Buffer; layer: Layer }> {
  const { blob, layer } = writeLayer(entries);
  return { bytes: await bytesOf(blob), layer: await layer };
}

const tarOf = async (entries: Iterable<Entry>) => gunzipSync((await write(entries)).bytes);
const file = (path: string, text = '', more: Partial<Entry> = {}) =>
  ({ type: 'file', path, size: Buffer.byteLength(text), content: Buffer.from(text), ...more }) as Entry;
const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const codeOf = (entries: Iterable<Entry> | AsyncIterable<Entry>) =>
  write(entries).then(
    () => 'ok',
    (error) => error.code,
  );

/** A header block as text, NULs as dots: what the specification's fields look like. */
const block = (tar: Buffer, index: number) =>
  tar
    .subarray(index * 512, index * 512 + 512)
    .toString('latin1')
    .replaceAll('\0', '.');

describe('the tar', () => {
  test('byte by byte', async () => {
    const tar = await tarOf([file('a/b', 'hi', { mode: 0o755 }), { type: 'symlink', path: 'c', target: 'a/b' }]);
    expect(tar.length).toBe(6 * 512);
    const common = (size: string, sum: string, flag: string) => `${size}.03560116604.${sum}. ${flag}`;
    const magic = (flag: string, link: string) =>
      `${flag}${link.padEnd(100, '.')}ustar.00${'.'.repeat(64)}0000000.0000000.${'.'.repeat(167)}`;
    expect(block(tar, 0)).toBe(
      `${'a/'.padEnd(100, '.')}0000755.0000000.0000000.${common('00000000000', sumOf(tar, 0), '')}${magic('5', '')}`,
    );
    expect(block(tar, 1)).toBe(
      `${'a/b'.padEnd(100, '.')}0000755.0000000.0000000.${common('00000000002', sumOf(tar, 1), '')}${magic('0', '')}`,
    );
    expect(block(tar, 2)).toBe('hi'.padEnd(512, '.'));
    expect(block(tar, 3)).toBe(
      `${'c'.padEnd(100, '.')}0000777.0000000.0000000.${common('00000000000', sumOf(tar, 3), '')}${magic('2', 'a/b')}`,
    );
    expect(tar.subarray(4 * 512).every((byte) => byte === 0)).toBe(true);
    expect(MTIME).toBe(0o3560116604);
  });

  test('the blob of one small layer', async () => {
    const { bytes, layer } = await write([file('package.json', '{}\n'), { type: 'directory', path: 'lib' }]);
    expect(layer.diffId).toBe('sha256:e56ec9a3e99452edff7616f831709529522e0f30680b198ac4402c376612ea63');
    // The same on Node's own builds of 22, 24 and 26; a build with a shared zlib has another compressor and may differ.
    if (COMPRESSOR === 'gzip-6-1MiB-f52d78ec')
      expect(bytes.toString('hex')).toBe(
        '1f8b08000000000000ffedd33b0ec2400c8461d79c222780dfec7a39cf1221c44380485245dc1d4185b6a041ab28c25f33a5c7c5dc727bcafbddf2d85d2f5209408af19d4099401082255453220aaab68ed250abd0a7a1ebf35df8f956f9dc4c8c8fc5d415dc84ce87edaaf68dd71e36665ff64fb17fd0208dd52e26be7fe7dcff7a02d770e65b000a0000',
      );
  });

  test('nothing is still a layer', async () => {
    const { bytes, layer } = await write([]);
    expect(gunzipSync(bytes).equals(Buffer.alloc(1024))).toBe(true);
    expect(layer.tarSize).toBe(1024);
  });

  test('digests and sizes are those of the bytes', async () => {
    const { bytes, layer } = await write([file('a', 'content'.repeat(500_000))]);
    const tar = gunzipSync(bytes);
    expect(layer).toEqual({ diffId: sha256(tar), digest: sha256(bytes), size: bytes.length, tarSize: tar.length });
  });

  test.each([
    ['100 bytes', 'a'.repeat(100), 'ustar'],
    ['a prefix', `${'p'.repeat(150)}/${'n'.repeat(100)}`, 'ustar'],
    ['the longest prefix and name', `${'p'.repeat(77)}/${'q'.repeat(77)}/${'n'.repeat(100)}`, 'ustar'],
    ['no slash where one is needed', `${'p'.repeat(50)}/${'n'.repeat(101)}`, 'PAX'],
    ['a prefix too long', `${'p'.repeat(78)}/${'q'.repeat(77)}/${'n'.repeat(100)}`, 'PAX'],
    ['what isn’t ASCII', 'naïve', 'PAX'],
  ])('a path of %s', async (_, path, form) => {
    expect(encodeHeader(file(path)).length).toBe(form === 'PAX' ? 3 * 512 : 512);
    const all = await readAll(readTar([await tarOf([file(path)])], { name: 'layer' }));
    expect(all.at(-1)?.path).toBe(path);
  });

  test('a PAX record counts its own length at every length', async () => {
    // Around 99 and 999 the count itself becomes a digit longer.
    for (const length of [...range(80, 100), ...range(970, 1000)]) {
      const path = `é/${'d/'.repeat(Math.floor((length - 4) / 2))}${'n'.repeat(2 - (length % 2))}`;
      const tar = Buffer.concat([encodeHeader(file(path)), Buffer.alloc(1024)]);
      const limits = { depth: 1000, pathBytes: 2000, files: 1000 };
      expect((await readAll(readTar([tar], { name: 'layer', limits }))).map((member) => member.path)).toEqual([path]);
    }
  });

  test('a long or non-ASCII target survives', async () => {
    for (const target of ['é', `${'t/'.repeat(80)}t`]) {
      const tar = await tarOf([{ type: 'symlink', path: 'a', target }]);
      expect(await readAll(readTar([tar], { name: 'layer' }))).toMatchObject([{ target }]);
    }
  });

  test('each parent is there once, before what it holds', async () => {
    const tar = await tarOf([file('a/b/c'), file('a/b/d'), { type: 'directory', path: 'a' }, file('a/e/f')]);
    const paths = (await readAll(readTar([tar], { name: 'layer' }))).map(({ path }) => path);
    expect(paths).toEqual(['a', 'a/b', 'a/b/c', 'a/b/d', 'a/e', 'a/e/f']);
  });

  test('a hard link has its file’s mode and owner, which runtimes apply to both', async () => {
    const tar = await tarOf([
      file('a', 'x', { mode: 0o755, uid: 65532 }),
      { type: 'hardlink', path: 'b', target: 'a' },
    ]);
    expect(block(tar, 2).slice(100, 116)).toBe('0000755.0177774.');
    expect(await readAll(readTar([tar], { name: 'layer' }))).toMatchObject([
      { path: 'a' },
      { type: 'hardlink', target: 'a', mode: 0o755 },
    ]);
  });
});

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

function sumOf(tar: Buffer, index: number): string {
  const bytes = Buffer.from(tar.subarray(index * 512, index * 512 + 512));
  bytes.fill(0x20, 148, 156);
  return bytes
    .reduce((sum, byte) => sum + byte, 0)
    .toString(8)
    .padStart(6, '0');
}

describe('the gzip', () => {
  test('has a header without time and system, and one member', async () => {
    const { bytes } = await write([file('a', 'x'.repeat(3_000_000))]);
    expect(bytes.subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff');
    expect(bytes.readUInt32LE(bytes.length - 4)).toBe(gunzipSync(bytes).length);
  });

  test.each([-513, -512, 0, 512, 513])('a tar of about two chunks (%i)', async (more) => {
    const size = 2 * 1024 * 1024 - 512 - 1024 + more;
    const { bytes, layer } = await write([file('a', 'y'.repeat(size))]);
    expect(sha256(gunzipSync(bytes))).toBe(layer.diffId);
  });

  test('is named by what it does', () => {
    expect(COMPRESSOR).toMatch(/^gzip-6-1MiB-[0-9a-f]{8}$/);
    if (process.config.variables.node_shared_zlib === false) expect(COMPRESSOR).toBe('gzip-6-1MiB-f52d78ec');
  });
});

describe('what is refused', () => {
  const link: Entry = { type: 'symlink', path: 'l', target: 'a' };
  test.each<[string, string, Entry[]]>([
    ['a file twice', 'layer-duplicate', [file('a'), file('a')]],
    ['two spellings', 'layer-duplicate', [file('\u00e9'), file('e\u0301')]],
    ['a link in place of a file', 'layer-duplicate', [file('l'), link]],
    ['a file in place of a folder', 'layer-conflict', [file('a/b'), file('a')]],
    ['a folder in place of a file', 'layer-duplicate', [file('a'), { type: 'directory', path: 'a' }]],
    ['a file below a file', 'layer-conflict', [file('a'), file('a/b')]],
    ['a file below a symlink', 'layer-conflict', [link, file('l/b')]],
    ['a folder below a symlink', 'layer-conflict', [link, { type: 'directory', path: 'l/b' }]],
    [
      'a folder of two modes',
      'layer-conflict',
      [
        { type: 'directory', path: 'a' },
        { type: 'directory', path: 'a', mode: 0o700 },
      ],
    ],
    [
      'a mode for a folder already written as a parent',
      'layer-conflict',
      [file('a/b'), { type: 'directory', path: 'a', mode: 0o700 }],
    ],
    ['a whiteout', 'entry-invalid', [file('a/.wh.b')]],
    ['an opaque folder', 'entry-invalid', [file('.wh..wh..opq')]],
    ['..', 'entry-invalid', [file('a/../b')]],
    ['.', 'entry-invalid', [file('./b')]],
    ['an absolute path', 'entry-invalid', [file('/b')]],
    ['a slash at the end', 'entry-invalid', [{ type: 'directory', path: 'b/' }]],
    ['no path', 'entry-invalid', [file('')]],
    ['a NUL', 'entry-invalid', [file('a\0b')]],
    ['half a character', 'entry-invalid', [file('a\ud800')]],
    ['a segment no file system takes', 'entry-invalid', [file('ä'.repeat(128))]],
    ['a symlink out of the image', 'entry-invalid', [{ type: 'symlink', path: 'a/b', target: '../../c' }]],
    ['a symlink above the root', 'entry-invalid', [{ type: 'symlink', path: 'a', target: '/../c' }]],
    ['a symlink to nothing', 'entry-invalid', [{ type: 'symlink', path: 'a', target: '' }]],
    ['a hard link to what is not there', 'entry-invalid', [{ type: 'hardlink', path: 'a', target: 'b' }]],
    ['a hard link to a folder', 'entry-invalid', [file('b/c'), { type: 'hardlink', path: 'a', target: 'b' }]],
    ['a mode beyond twelve bits', 'entry-invalid', [file('a', '', { mode: 0o100644 })]],
    ['an owner beyond the field', 'entry-invalid', [file('a', '', { uid: 2 ** 21 })]],
    ['a negative size', 'entry-invalid', [file('a', '', { size: -1 })]],
    ['less content than size', 'entry-size', [file('a', 'abc', { size: 4 })]],
    ['more content than size', 'entry-size', [file('a', 'abc', { size: 2 })]],
  ])('%s', async (_, code, entries) => {
    expect(await codeOf(entries)).toBe(code);
  });

  test.each([1, 5, 7])('a stream of %i bytes where 6 were announced', async (size) => {
    const content = (async function* () {
      yield* cut(Buffer.alloc(size), [2]);
    })();
    expect(await codeOf([{ type: 'file', path: 'a', size: 6, content }])).toBe('entry-size');
  });

  test('an absolute symlink within the image is allowed', async () => {
    expect(await codeOf([{ type: 'symlink', path: 'a/b', target: '/usr/lib/../c' }])).toBe('ok');
  });
});

describe('its promise', () => {
  test('fails with the error of the entries', async () => {
    const { blob, layer } = writeLayer(
      (async function* () {
        yield file('a', 'x'.repeat(5_000_000));
        throw new RangeError('from below');
      })(),
    );
    await expect(bytesOf(blob)).rejects.toThrow(RangeError);
    await expect(layer).rejects.toThrow(RangeError);
  });

  test('fails when the blob is left, and the entries are told', async () => {
    let closed = false;
    const { blob, layer } = writeLayer(
      (async function* () {
        try {
          for (let count = 0; ; count++) yield file(`f${count}`, 'x'.repeat(1_000_000));
        } finally {
          closed = true;
        }
      })(),
    );
    for await (const part of blob) if (part.length > 10) break;
    await expect(layer).rejects.toMatchObject({ code: 'layer-abandoned' });
    expect(closed).toBe(true);
  });

  test('no more is taken from the entries than the consumer keeps up with', async () => {
    let taken = 0;
    const { blob } = writeLayer(
      (function* () {
        for (; ; taken++) yield file(`f${taken}`, 'x'.repeat(1024 * 1024 - 512));
      })(),
    );
    await blob.next();
    await blob.next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(taken).toBeLessThanOrEqual(6);
    await blob.return(undefined);
  });
});

describe('determinism', () => {
  const segment = fc.stringMatching(/^[a-zäé世]{1,40}$/);
  const path = fc.array(segment, { minLength: 1, maxLength: 8 }).map((segments) => segments.join('/'));
  const entry = fc.record({ path, content: fc.uint8Array({ maxLength: 70_000 }), mode: fc.constantFrom(0o644, 0o755) });
  const entries = fc.uniqueArray(entry, { maxLength: 12, selector: ({ path }) => path.normalize('NFC') });

  test('the same entries give the same bytes however their contents are cut, and come back as they were', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(entries, sizes, async (all, pieces) => {
        // One is never below another.
        const chosen = all.filter(({ path }) => !all.some((other) => other.path.startsWith(`${path}/`)));
        const whole = chosen.map(
          ({ content, ...rest }): Entry => ({ type: 'file', size: content.length, content, ...rest }),
        );
        const pieced = async function* (): AsyncGenerator<Entry> {
          for (const { content, ...rest } of chosen) {
            const stream = (async function* () {
              yield* cut(content, pieces);
            })();
            yield { type: 'file', size: content.length, content: stream, ...rest };
          }
        };
        const first = await write(whole);
        expect(sha256((await write(pieced())).bytes)).toBe(first.layer.digest);
        const back = (await readAll(readTar([gunzipSync(first.bytes)], { name: 'layer' }))).filter(
          ({ type }) => type === 'file',
        );
        expect(back).toEqual(
          chosen.map(({ path, mode, content }) => ({
            type: 'file',
            path,
            mode,
            size: content.length,
            content: Buffer.from(content).toString('latin1'),
          })),
        );
      }),
      { numRuns: 40 },
    );
  });
});
