import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { readDeb, unpackXz } from '../../../builders/archive/index.ts';
import { ar, arHeader, cut, deb, tar, tarGz, tarMember } from '../../fakes/archives.ts';
import { bytesOf, readAll, verdictOf } from './read.ts';

const options = { name: 'sample_1_amd64.deb' };
const control = {
  control: 'Package: sample\n',
  md5sums: '0123  usr/bin/a\n',
  conffiles: '/etc/a\n',
  postinst: '#!/bin/sh\n',
};
const data = tar(
  tarMember({ name: './', flag: '5', mode: '0000755' }),
  tarMember({ name: './usr/bin/a', mode: '0000755' }, 'A'),
  tarMember({ name: './usr/bin/b', flag: '1', linkname: './usr/bin/a' }),
  tarMember({ name: './lib', flag: '2', linkname: '/usr/lib' }),
);

/** `printf 'Package: x\n' | xz -c`, since Node can't make it. */
const XZ_TEXT = Buffer.from(
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAKUGFja2FnZTogeAoAAFm2D4auj0GKAAEjC8Ib/QkftvN9AQAAAAAEWVo=',
  'base64',
);

async function read(chunks: Iterable<Uint8Array>) {
  const found = await readDeb(chunks, options);
  return { control: found.control, data: await readAll(found.data) };
}

/** Reads everything and keeps nothing. */
async function drain(bytes: Uint8Array): Promise<void> {
  for await (const member of (await readDeb([bytes], options)).data) {
    if (member.type === 'file') for await (const _ of member.content);
  }
}

const verdict = (bytes: Uint8Array) => verdictOf(() => read([bytes]));

/** A deb of ready-made members behind the first. */
const debOf = (...members: Parameters<typeof ar>[0]) => ar([{ name: 'debian-binary', content: '2.0\n' }, ...members]);
const controlTar = { name: 'control.tar.gz', content: tarGz(tarMember({ name: './control' }, control.control)) };

describe('a deb', () => {
  const expected = {
    control: { control: control.control, md5sums: control.md5sums, conffiles: control.conffiles },
    data: [
      { type: 'file', path: 'usr/bin/a', mode: 0o755, size: 1, content: 'A' },
      { type: 'hardlink', path: 'usr/bin/b', mode: 0o644, target: 'usr/bin/a' },
      { type: 'symlink', path: 'lib', mode: 0o644, target: '/usr/lib' },
    ],
  };

  test('gives its control files and its data, at any chunking', async () => {
    const bytes = deb(control, data);
    expect(await read([bytes])).toEqual(expected);
    expect(await read(cut(bytes, [1, 61]))).toEqual(expected);
  });

  test.each([
    ['zstd', { name: 'data.tar.zst', content: zstdCompressSync(data) }],
    ['not packed', { name: 'data.tar', content: data }],
    ['a name with a slash behind', { name: 'data.tar/', content: data }],
  ])('%s', async (_, member) => {
    expect((await read(cut(debOf(controlTar, member), [100]))).data).toEqual(expected.data);
  });

  test('what has no md5sums and no conffiles has empty ones', async () => {
    expect((await read([debOf(controlTar, { name: 'data.tar', content: data })])).control).toEqual({
      control: control.control,
      md5sums: '',
      conffiles: '',
    });
  });

  test('closes its input when its data is let go unread', async () => {
    let closed = false;
    async function* input() {
      try {
        yield deb(control, data);
        yield Buffer.alloc(0);
      } finally {
        closed = true;
      }
    }
    const found = await readDeb(input(), options);
    await found.data.return(undefined);
    expect(closed).toBe(true);
  });

  test.each([
    ['a member behind', deb(control, data, [{ name: 'data.tar.gz', content: tarGz() }])],
    ['another format', ar([{ name: 'debian-binary', content: '3.0\n' }, controlTar])],
    ['a first member of another name', ar([{ name: 'x', content: '2.0\n' }])],
    ['data before control', debOf({ name: 'data.tar', content: data }, controlTar)],
    ['packed as nobody packs', debOf(controlTar, { name: 'data.tar.lz4', content: data })],
    [
      'data behind its zstd',
      debOf(controlTar, {
        name: 'data.tar.zst',
        content: Buffer.concat([zstdCompressSync(data), Buffer.from('more')]),
      }),
    ],
    ['a path that leads out', deb(control, tar(tarMember({ name: './../x' }, 'x')))],
    [
      'a hard link to what is not in it',
      deb(control, tar(tarMember({ name: './a', flag: '1', linkname: '/etc/shadow' }))),
    ],
    ['a device', deb(control, tar(tarMember({ name: './dev/null', flag: '3' })))],
    [
      'a size that is no number',
      Buffer.concat([Buffer.from('!<arch>\n'), arHeader('debian-binary', '-4'), Buffer.from('2.0\n')]),
    ],
    ['a name of BSD’s kind', Buffer.concat([Buffer.from('!<arch>\n'), arHeader('#1/20', '24')])],
    ['control files larger than the limit', deb({ ...control, md5sums: 'x'.repeat(33 * 1024 * 1024) }, data)],
  ])('%s is unsafe', async (_, bytes) => {
    expect(await verdict(bytes)).toBe('archive-unsafe');
  });

  test.each([
    ['no ar', Buffer.from('not an archive')],
    ['nothing', Buffer.alloc(0)],
    ['no data', debOf(controlTar)],
    ['no control file', debOf({ name: 'control.tar', content: tar() }, { name: 'data.tar', content: data })],
    ['zstd that isn’t', debOf(controlTar, { name: 'data.tar.zst', content: 'not zstd at all' })],
    ['xz that isn’t', debOf(controlTar, { name: 'data.tar.xz', content: 'not xz at all' })],
  ])('%s is invalid', async (_, bytes) => {
    expect(await verdict(bytes)).toBe('archive-invalid');
  });

  test.each([
    ['gz', gzipSync],
    ['zst', zstdCompressSync],
  ])('a bomb packed as %s is unsafe, and the error says which limit it met', async (ending, pack) => {
    const zeros = tar(tarMember({ name: './zeros' }, Buffer.alloc(80 * 1024 * 1024)));
    const bomb = debOf(controlTar, { name: `data.tar.${ending}`, content: pack(zeros) });
    await expect(drain(bomb)).rejects.toMatchObject({
      code: 'archive-unsafe',
      fix: expect.stringContaining('MCP_BUILD_ARCHIVE_LIMITS=ratio='),
    });
  });

  test('cut off anywhere it is invalid', async () => {
    const bytes = deb(control, data);
    for (let length = 0; length < bytes.length - 1; length += 7) {
      expect(await verdict(bytes.subarray(0, length))).toBe('archive-invalid');
    }
  });
});

describe('xz', () => {
  test('at any chunking, several at a time', async () => {
    const runs = [1, 7, 100].map((size) => bytesOf(unpackXz(cut(XZ_TEXT, [size]), options)));
    for (const text of await Promise.all(runs)) expect(text.toString()).toBe('Package: x\n');
  });

  test('one that is left half-way is in nobody’s way', async () => {
    const left = unpackXz([XZ_TEXT], options);
    await left.next();
    expect((await bytesOf(unpackXz([XZ_TEXT], options))).toString()).toBe('Package: x\n');
    await left.return(undefined);
  });

  test('cut off or changed anywhere it is refused', async () => {
    for (let at = 0; at < XZ_TEXT.length; at++) {
      expect(await verdictOf(() => bytesOf(unpackXz([XZ_TEXT.subarray(0, at)], options)))).toBe('archive-invalid');
      const changed = Buffer.from(XZ_TEXT);
      changed[at] = (changed[at] as number) ^ 0x10;
      expect(await verdictOf(() => bytesOf(unpackXz([changed], options)))).not.toBe('ok');
    }
  });
});
