import { describe, expect, test } from 'vitest';
import { readTar } from '../../../builders/archive/index.ts';
import { cut, pax, paxRecord, TAR_END, tar, tarHeader, tarMember } from '../../fakes/archives.ts';
import { readAll, verdictOf } from './read.ts';

const options = { name: 'sample.tar' };
const read = (bytes: Uint8Array, more = {}) => readTar([bytes], { ...options, ...more });
const file = (name: string, content = 'x') => tarMember({ name }, content);

describe('what a tar may hold', () => {
  test('files, folders and links, in its order', async () => {
    const bytes = tar(
      tarMember({ name: 'package/', flag: '5', mode: '0000755' }),
      tarMember({ name: './package//bin/run', mode: '0000755' }, 'run'),
      tarMember({ name: 'package/empty' }),
      tarMember({ name: 'package/link', flag: '2', linkname: 'bin/run' }),
      tarMember({ name: 'package/hard', flag: '1', linkname: 'package/bin/run' }),
    );
    expect(await readAll(read(bytes))).toEqual([
      { type: 'directory', path: 'package', mode: 0o755 },
      { type: 'file', path: 'package/bin/run', mode: 0o755, size: 3, content: 'run' },
      { type: 'file', path: 'package/empty', mode: 0o644, size: 0, content: '' },
      { type: 'symlink', path: 'package/link', mode: 0o644, target: 'bin/run' },
      { type: 'hardlink', path: 'package/hard', mode: 0o644, target: 'package/bin/run' },
    ]);
  });

  test.each([
    ['a prefix', tarMember({ name: 'c', prefix: 'a/b' }, 'x'), 'a/b/c'],
    ['a PAX path', Buffer.concat([pax({ path: 'ä/ö', mtime: '1.5' }), file('other')]), 'ä/ö'],
    [
      'a GNU long name',
      Buffer.concat([tarMember({ name: '././@LongLink', flag: 'L', magic: 'ustar  \0' }, 'long/name\0'), file('long')]),
      'long/name',
    ],
    ['a form before POSIX', tarMember({ name: 'old', flag: '\0', magic: '' }, 'x'), 'old'],
    [
      'times behind a short prefix',
      tarMember(
        {
          name: 'c',
          prefix: Buffer.concat([Buffer.from('a'.padEnd(131, '\0')), Buffer.from('15036612471\x0015036612471\0')]),
        },
        'x',
      ),
      'a/c',
    ],
    ['a comment for all members', Buffer.concat([pax({ comment: '0123456789' }, 'g'), file('a')]), 'a'],
  ])('%s', async (_, member, path) => {
    expect((await readAll(read(tar(member))))[0]).toMatchObject({ type: 'file', path, content: 'x' });
  });

  test('GNU’s form has no prefix', async () => {
    const bytes = tar(tarMember({ name: 'a', magic: 'ustar  \0', prefix: '15036612471' }, 'x'));
    expect((await readAll(read(bytes)))[0]).toMatchObject({ path: 'a' });
  });

  test('a folder that is named twice is given once, one that comes after its content is given', async () => {
    const folder = tarMember({ name: 'a/', flag: '5', mode: '0000755' });
    const paths = (await readAll(read(tar(file('a/b'), folder, folder)))).map(({ path }) => path);
    expect(paths).toEqual(['a/b', 'a']);
  });

  test('content is the same at any chunking, also where it is streamed', async () => {
    const large = Buffer.alloc(3 * 1024 * 1024, 'streamed content ');
    const bytes = tar(file('a', 'small'), tarMember({ name: 'b' }, large), file('c', 'end'));
    const whole = await readAll(read(bytes));
    expect(whole[1]?.content).toBe(large.toString('latin1'));
    expect(await readAll(readTar(cut(bytes, [511, 70_001, 1]), options))).toEqual(whole);
  });

  test('content that isn’t consumed is passed over', async () => {
    const bytes = tar(
      tarMember({ name: 'a' }, Buffer.alloc(2_000_000)),
      tarMember({ name: 'b' }, Buffer.alloc(2_000_000)),
      file('c'),
    );
    const seen: string[] = [];
    for await (const member of readTar(cut(bytes, [65_536]), options)) {
      seen.push(member.path);
      if (member.path === 'b' && member.type === 'file' && !(member.content instanceof Uint8Array)) {
        for await (const part of member.content) if (part.length > 0) break;
      }
    }
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  test('who stops early closes the input', async () => {
    let closed = false;
    async function* input() {
      try {
        yield* cut(tar(file('a'), file('b')), [512]);
      } finally {
        closed = true;
      }
    }
    for await (const member of readTar(input(), options)) if (member.path === 'a') break;
    expect(closed).toBe(true);
  });

  test('an error of the input comes through as it is', async () => {
    async function* input() {
      yield file('a');
      throw new RangeError('from below');
    }
    await expect(readAll(readTar(input(), options))).rejects.toThrow(RangeError);
  });
});

describe('what makes a tar unsafe', () => {
  const long = `${'d/'.repeat(300)}f`;
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['.. at the start', tar(file('../x'))],
    ['.. in the middle', tar(file('package/../../x'))],
    ['.. that stays inside', tar(file('package/../x'))],
    ['an absolute path', tar(file('/etc/passwd'))],
    ['a backslash', tar(file('package\\..\\x'))],
    ['a symlink out of the archive', tar(tarMember({ name: 'a', flag: '2', linkname: '../x' }))],
    ['a symlink out through a folder', tar(tarMember({ name: 'a/b', flag: '2', linkname: 'c/../../../x' }))],
    ['a symlink to an absolute path', tar(tarMember({ name: 'a', flag: '2', linkname: '/etc/passwd' }))],
    ['a symlink to nothing', tar(tarMember({ name: 'a', flag: '2' }))],
    ['a file below a symlink', tar(tarMember({ name: 'a', flag: '2', linkname: 'b' }), file('a/c'))],
    ['a file below a file', tar(file('a'), file('a/b'))],
    ['a file in place of a folder', tar(file('a/b'), file('a'))],
    ['a folder in place of a file', tar(file('a'), tarMember({ name: 'a/', flag: '5' }))],
    ['a symlink in place of a folder', tar(file('a/b'), tarMember({ name: 'a', flag: '2', linkname: 'c' }))],
    ['a file in place of the root', tar(file('.'))],
    ['a hard link out of the archive', tar(tarMember({ name: 'a', flag: '1', linkname: '../x' }))],
    ['a hard link to an absolute path', tar(tarMember({ name: 'a', flag: '1', linkname: '/etc/passwd' }))],
    ['a hard link to a later file', tar(tarMember({ name: 'a', flag: '1', linkname: 'b' }), file('b'))],
    [
      'a hard link to a symlink',
      tar(tarMember({ name: 'a', flag: '2', linkname: 'b' }), tarMember({ name: 'c', flag: '1', linkname: 'a' })),
    ],
    ['two files of one name', tar(file('a', '1'), file('a', '2'))],
    ['two files of one name once normalised', tar(file('a/b'), file('a/.//b'))],
    ['two spellings of one character', tar(file('\u00e9'), file('e\u0301'))],
    ['a character device', tar(tarMember({ name: 'a', flag: '3' }))],
    ['a block device', tar(tarMember({ name: 'a', flag: '4' }))],
    ['a named pipe', tar(tarMember({ name: 'a', flag: '6' }))],
    ['a sparse file', tar(tarMember({ name: 'a', flag: 'S', magic: 'ustar  \0' }))],
    ['an unknown type', tar(tarMember({ name: 'a', flag: 'Z' }))],
    ['a folder with content', tar(tarMember({ name: 'a/', flag: '5', size: 512 }), Buffer.alloc(512))],
    ['an old folder with content', tar(tarMember({ name: 'a/' }, 'x'))],
    ['a symlink with content', tar(tarMember({ name: 'a', flag: '2', linkname: 'b', size: 512 }), Buffer.alloc(512))],
    [
      'a hard link with content',
      tar(file('b'), tarMember({ name: 'a', flag: '1', linkname: 'b', size: 512 }), Buffer.alloc(512)),
    ],
    ['a wrong checksum', tar(tarMember({ name: 'a', checksumError: 1 }))],
    ['an unknown magic', tar(tarMember({ name: 'a', magic: 'ustar 00' }))],
    ['a NUL in a name', tar(tarMember({ name: 'a\0b' }))],
    ['a NUL in a prefix', tar(tarMember({ name: 'c', prefix: 'a\0b' }))],
    ['a name that isn’t UTF-8', tar(tarMember({ name: Uint8Array.of(0x61, 0xff) }))],
    ['an empty name', tar(tarMember({ name: '' }, 'x'))],
    ['a segment no file system takes', tar(Buffer.concat([pax({ path: `a/${'b'.repeat(256)}` }), file('a')]))],
    [
      'a size in base 256 that octal can hold',
      tar(tarMember({ name: 'a', sizeField: Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) }, 'x')),
    ],
    ['a negative size', tar(tarMember({ name: 'a', sizeField: new Uint8Array(12).fill(0xff) }))],
    [
      'a size beyond all integers',
      tar(
        tarMember({ name: 'a', sizeField: Uint8Array.of(0x80, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255) }),
      ),
    ],
    ['a size with a minus', tar(tarMember({ name: 'a', sizeField: Buffer.from('-0000000001\0') }))],
    ['a size with something behind', tar(tarMember({ name: 'a', sizeField: Buffer.from('0000000\x00999\0') }))],
    ['a size that isn’t octal', tar(tarMember({ name: 'a', sizeField: Buffer.from('00000000009\0') }))],
    ['a PAX size of another value', tar(Buffer.concat([pax({ size: '0' }), tarMember({ name: 'a' }, 'x')]))],
    [
      'a PAX size where the header has none',
      tar(Buffer.concat([pax({ size: '512' }), tarHeader({ name: 'a' }), Buffer.alloc(512)])),
    ],
    ['a PAX size that is no number', tar(Buffer.concat([pax({ size: '1e3' }), file('a')]))],
    ['a negative PAX size', tar(Buffer.concat([pax({ size: '-1' }), file('a')]))],
    ['a PAX path that leads out', tar(Buffer.concat([pax({ path: '../x' }), file('a')]))],
    ['a PAX path with a NUL', tar(Buffer.concat([pax({ path: 'a\0b' }), file('a')]))],
    ['an empty PAX path', tar(Buffer.concat([pax({ path: '' }), file('a')]))],
    [
      'a PAX link target that leads out',
      tar(Buffer.concat([pax({ linkpath: '../x' }), tarMember({ name: 'a', flag: '2', linkname: 'b' })])),
    ],
    [
      'the same PAX record twice',
      tar(
        Buffer.concat([
          tarMember({ name: 'p', flag: 'x' }, paxRecord('path', 'a') + paxRecord('path', 'b')),
          file('c'),
        ]),
      ),
    ],
    [
      'a PAX record whose length is wrong',
      tar(Buffer.concat([tarMember({ name: 'p', flag: 'x' }, '99 path=a\n'), file('c')])),
    ],
    [
      'a PAX record whose length is no number',
      tar(Buffer.concat([tarMember({ name: 'p', flag: 'x' }, '+9 path=a\n'), file('c')])),
    ],
    ['a PAX record without newline', tar(Buffer.concat([tarMember({ name: 'p', flag: 'x' }, '9 path=ab'), file('c')]))],
    ['a PAX record without key', tar(Buffer.concat([tarMember({ name: 'p', flag: 'x' }, '6 =ab\n'), file('c')]))],
    ['a sparse file by PAX', tar(Buffer.concat([pax({ 'GNU.sparse.major': '1' }), file('a')]))],
    ['another character set by PAX', tar(Buffer.concat([pax({ hdrcharset: 'BINARY' }), file('a')]))],
    ['a path for all members', tar(Buffer.concat([pax({ path: 'a' }, 'g'), file('b')]))],
    ['a size for all members', tar(Buffer.concat([pax({ size: '1' }, 'g'), file('b')]))],
    ['two PAX headers for one member', tar(Buffer.concat([pax({ path: 'a' }), pax({ path: 'b' }), file('c')]))],
    [
      'two long names for one member',
      tar(
        Buffer.concat([
          tarMember({ name: 'l', flag: 'L' }, 'a\0'),
          tarMember({ name: 'l', flag: 'L' }, 'b\0'),
          file('c'),
        ]),
      ),
    ],
    [
      'a PAX path and a long name',
      tar(Buffer.concat([pax({ path: 'a' }), tarMember({ name: 'l', flag: 'L' }, 'b\0'), file('c')])),
    ],
    ['an empty long name', tar(Buffer.concat([tarMember({ name: 'l', flag: 'L' }, '\0\0'), file('c')]))],
    ['a long name with a NUL inside', tar(Buffer.concat([tarMember({ name: 'l', flag: 'L' }, 'a\0b\0'), file('c')]))],
    ['a PAX header that no member follows', tar(pax({ path: 'a' }))],
    ['a long name that no member follows', tar(tarMember({ name: 'l', flag: 'L' }, 'a\0'))],
    [
      'a PAX header larger than the limit',
      tar(tarMember({ name: 'p', flag: 'x', size: 70_000 }), Buffer.alloc(70_144)),
    ],
    ['a long name larger than the limit', tar(tarMember({ name: 'l', flag: 'L', size: 2 ** 32 }))],
    ['more after the end', Buffer.concat([tar(file('a')), file('b')])],
    ['more after one zero block', Buffer.concat([file('a'), Buffer.alloc(512), file('b'), TAR_END])],
    ['endless padding', Buffer.concat([tar(file('a')), Buffer.alloc(1_200_000)])],
    ['a path too long', tar(Buffer.concat([pax({ path: long }), file('a')]))],
  ];

  test.each(cases)('%s', async (_, bytes) => {
    expect(await verdictOf(read(bytes))).toBe('archive-unsafe');
    expect(await verdictOf(readTar(cut(bytes, [300]), options))).toBe('archive-unsafe');
  });

  test.each([
    ['files', { files: 2 }, tar(file('a'), file('b'), file('c'))],
    ['files, parents counted', { files: 2 }, tar(file('a/b/c'))],
    ['bytes', { bytes: 2000 }, tar(file('a'), tarMember({ name: 'b' }, Buffer.alloc(1000)))],
    ['fileBytes', { fileBytes: 10 }, tar(file('a', 'more than ten'))],
    ['pathBytes', { pathBytes: 5 }, tar(file('abcdef'))],
    ['pathBytes of a target', { pathBytes: 5 }, tar(tarMember({ name: 'a', flag: '2', linkname: 'abcdef' }))],
    ['depth', { depth: 2 }, tar(file('a/b/c'))],
    ['headerBytes', { headerBytes: 8 }, tar(Buffer.concat([pax({ path: 'abc' }), file('a')]))],
  ])('the limit %s, and the error says how to raise it', async (name, limits, bytes) => {
    const limit = name.split(/[ ,]/)[0] as string;
    expect(await verdictOf(read(bytes))).toBe('ok');
    await expect(readAll(read(bytes, { limits }))).rejects.toMatchObject({
      code: 'archive-unsafe',
      input: 'sample.tar',
      fix: expect.stringContaining(`MCP_BUILD_ARCHIVE_LIMITS=${limit}=`),
    });
  });

  test('a size is refused before memory is taken for it', async () => {
    const bytes = tar(tarMember({ name: 'a', size: 2 ** 32 }));
    const before = process.memoryUsage().arrayBuffers;
    expect(await verdictOf(read(bytes))).toBe('archive-unsafe');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
  });

  test('a hostile name is made harmless in the message', async () => {
    const error = await readAll(
      read(tar(Buffer.concat([pax({ path: '../\u001b[2J\u202egpj.x\n' }), file('a')]))),
    ).catch((e) => e);
    expect(error.message).not.toMatch(/\p{C}/u);
    expect(error.message).toContain('\\u{1b}');
  });
});

describe('system packages', () => {
  const system = (bytes: Uint8Array) => readTar([bytes], { ...options, kind: 'system' });

  test('may link to absolute paths and have backslashes', async () => {
    const bytes = tar(tarMember({ name: './a', flag: '2', linkname: '/usr/a' }), file('./system-x\\x2dy.slice'));
    expect(await readAll(system(bytes))).toMatchObject([{ target: '/usr/a' }, { path: 'system-x\\x2dy.slice' }]);
  });

  test('may not lead out of the root', async () => {
    expect(await verdictOf(system(tar(tarMember({ name: 'a', flag: '2', linkname: '/../x' }))))).toBe('archive-unsafe');
  });
});

describe('files that are there twice', () => {
  const twice = tar(file('a/./b', '1'), file('a/b', '2'));

  test('are given to a reader that compares them', async () => {
    expect(await readAll(read(twice, { repeats: 'given' }))).toMatchObject([
      { path: 'a/b', content: '1' },
      { path: 'a/b', content: '2', repeated: true },
    ]);
  });

  test('but never where one is something else', async () => {
    const link = tar(file('a'), tarMember({ name: 'a', flag: '2', linkname: 'b' }));
    expect(await verdictOf(read(link, { repeats: 'given' }))).toBe('archive-unsafe');
  });
});

describe('what is merely broken', () => {
  test('a tar cut off anywhere', async () => {
    const bytes = Buffer.concat([pax({ path: 'a' }), file('x', 'content'), Buffer.alloc(512)]);
    for (let length = 0; length < bytes.length; length += 13) {
      expect(await verdictOf(read(bytes.subarray(0, length)))).toBe('archive-invalid');
    }
    expect(await verdictOf(read(bytes))).toBe('ok');
  });
});
