import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  archiveStore,
  type Descriptor,
  exportLayout,
  importLayout,
  type LayoutStore,
  openArchive,
  openLayout,
  referrersTag,
} from '../../registry/index.ts';
import { bufferOf, bytesOf, writeImage, writeIndex, writeReferrer } from './image.ts';

const code = (name: string) => expect.objectContaining({ code: name });
let folder: string;
let local: LayoutStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'archive-'));
  local = await openLayout(join(folder, 'local'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Part {
  readonly path: string;
  readonly bytes?: Uint8Array | string;
  readonly type?: string;
  readonly size?: number;
}

/** A tar whose entries say what the test wants them to. */
function tar(parts: readonly Part[]): Buffer {
  const blocks: Uint8Array[] = [];
  for (const { path, bytes = '', type = '0', size } of parts) {
    const content = Buffer.from(bytes);
    const header = Buffer.alloc(512);
    header.write(path, 0);
    header.write('0000644\u00000000000\u00000000000\u0000', 100, 'latin1');
    header.write(
      `${(size ?? content.length).toString(8).padStart(11, '0')}\u000000000000000\u0000        ${type}`,
      124,
      'latin1',
    );
    header.write('ustar\u000000', 257, 'latin1');
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\u0000 `,
      148,
      'latin1',
    );
    blocks.push(header, content, Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}
const MARKER = { path: 'oci-layout', bytes: '{"imageLayoutVersion":"1.0.0"}' };
const EMPTY = { path: 'index.json', bytes: '{"schemaVersion":2,"manifests":[]}' };

describe('an exported archive', () => {
  it('holds images with their referrers, and is the same bytes each time', async () => {
    const index = await writeIndex(local);
    const other = await writeImage(local, [200_000]);
    const signature = await writeReferrer(local, index, 'signature');
    await writeReferrer(local, signature, 'counter-signature');
    await writeReferrer(local, other, 'sbom');
    await local.tag('a:1', index);
    await local.tag('b:1', other);
    const file = join(folder, 'images.tar');
    await exportLayout(file, local, await local.list());
    const bytes = await readFile(file);
    await exportLayout(file, local, await local.list());
    const hash = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
    expect(hash(await readFile(file))).toBe(hash(bytes));

    const back = await openLayout(join(folder, 'back'));
    const done = await importLayout(file, back);
    expect(done).toEqual([
      { tag: 'a:1', descriptor: index },
      { tag: 'b:1', descriptor: other },
    ]);
    expect(await back.list()).toEqual(await local.list());
    expect(await back.referrers(index.digest)).toEqual(await local.referrers(index.digest));
    expect(await back.referrers(signature.digest)).toHaveLength(1);
    await back.tag('whole', index);

    const renamed = await openLayout(join(folder, 'renamed'));
    await importLayout(file, renamed, { tagAs: (tag) => (tag === 'a:1' ? 'c:2' : undefined) });
    expect((await renamed.list()).map((one) => one.tag)).toEqual(['c:2']);
  });

  it('takes what is said of the index and of each platform, as publish attaches it, and is the same bytes each time', async () => {
    const index = await writeIndex(local);
    const { manifests } = JSON.parse((await bufferOf(local.read(index))).toString()) as { manifests: Descriptor[] };
    for (const subject of [...manifests, index])
      for (const text of ['signature', 'provenance', 'sbom'])
        await writeReferrer(local, subject, `${text} ${subject.digest}`);
    const files = ['one.tar', 'two.tar'].map((name) => join(folder, name));
    for (const file of files)
      expect(await exportLayout(file, local, [{ tag: 'a', descriptor: index }])).toMatchObject({ referrers: 9 });
    const [one, two] = await Promise.all(files.map((file) => readFile(file)));
    expect(one!.equals(two!)).toBe(true);
    const archive = archiveStore(await openArchive(files[0]!));
    for (const subject of [...manifests, index]) expect(await archive.referrers(subject.digest)).toHaveLength(3);
  });

  it('is whole or not there', async () => {
    const image = await writeImage(local, [100_000]);
    await local.tag('a', image);
    const [layer] = (await readdir(join(local.folder, 'blobs', 'sha256'))).filter(
      (name) => `sha256:${name}` !== image.digest,
    );
    await writeFile(join(local.folder, 'blobs', 'sha256', layer!), 'damaged');
    await expect(exportLayout(join(folder, 'x.tar'), local, await local.list())).rejects.toThrow(/./);
    expect((await readdir(folder)).filter((name) => name.startsWith('x.tar'))).toEqual([]);
  });
});

describe('a hostile archive', () => {
  async function imported(bytes: Uint8Array): Promise<unknown> {
    const file = join(folder, 'hostile.tar');
    await writeFile(file, bytes);
    return importLayout(file, await openLayout(join(folder, 'into'))).catch((error: unknown) => error);
  }

  it.each<[string, Uint8Array]>([
    ['is empty', Buffer.alloc(0)],
    ['is no tar', Buffer.from('x'.repeat(2000))],
    ['is compressed', gzipSync(tar([MARKER, EMPTY]))],
    ['holds no layout', tar([EMPTY])],
    ['holds no index', tar([MARKER])],
    ['holds two indexes', tar([MARKER, EMPTY, EMPTY])],
    [
      'holds a blob twice',
      tar([MARKER, EMPTY, { path: `blobs/sha256/${'a'.repeat(64)}` }, { path: `./blobs/sha256/${'a'.repeat(64)}` }]),
    ],
    ['holds a link', tar([MARKER, EMPTY, { path: 'blobs/sha256/x', type: '2' }])],
    ['holds a device', tar([MARKER, EMPTY, { path: 'blobs/sha256/x', type: '3' }])],
    ['holds a hard link', tar([MARKER, EMPTY, { path: 'blobs/sha256/x', type: '1' }])],
    ['is cut off', tar([MARKER, EMPTY]).subarray(0, 1100)],
    ['promises more than it holds', tar([MARKER, { ...EMPTY, size: 8 ** 11 - 1 }])],
    ['renames by PAX', tar([MARKER, { path: 'x', type: 'x', bytes: '24 path=index.json\n' }, EMPTY])],
    ['resizes by PAX', tar([MARKER, { path: 'x', type: 'x', bytes: '10 size=5\n' }, EMPTY])],
    ['has a huge PAX header', tar([MARKER, { path: 'x', type: 'x', bytes: 'x'.repeat(100_000) }, EMPTY])],
    ['has GNU long names', tar([MARKER, { path: 'x', type: 'L', bytes: 'index.json' }, EMPTY])],
  ])('that %s is refused', async (_, bytes) => {
    expect(await imported(bytes)).toMatchObject({ code: 'archive-unsafe' });
  });

  it('with an index that is none is refused', async () => {
    expect(await imported(tar([MARKER, { path: 'index.json', bytes: '{}' }]))).toMatchObject({
      code: 'layout-invalid',
    });
  });

  it('whose blobs are not their digests leaves nothing tagged', async () => {
    const image = await writeImage(local);
    await local.tag('a', image);
    const file = join(folder, 'x.tar');
    await exportLayout(file, local, await local.list());
    const bytes = await readFile(file);
    // Within the first blob, right after the marker, its padding and the blob's header.
    bytes[512 + 512 + 512 + 700]! ^= 1;
    const error = await imported(bytes);
    expect(error).toMatchObject({ code: 'integrity' });
    expect(await (await openLayout(join(folder, 'into'))).list()).toEqual([]);
  });

  it('may hold what nobody asked for, which is not looked at', async () => {
    const image = await writeImage(local);
    await local.tag('a', image);
    const file = join(folder, 'x.tar');
    await exportLayout(file, local, await local.list());
    const extra = tar([
      { path: 'manifest.json', bytes: '[' },
      { path: '../../etc/passwd', bytes: 'x' },
      { path: '/absolute', bytes: 'x' },
      { path: 'blobs/', type: '5' },
      { path: 'pax', type: 'x', bytes: '30 mtime=1700000000.123456789\n' },
      { path: `blobs/sha256/${'b'.repeat(64)}`, bytes: 'garbage' },
    ]).subarray(0, -1024);
    expect(await imported(Buffer.concat([extra, await readFile(file)]))).toEqual([{ tag: 'a', descriptor: image }]);
    expect(await readdir(join(folder, 'into', 'blobs', 'sha256'))).not.toContain('b'.repeat(64));
  });

  it('with an index at its referrers tag that is garbage is an error, not an image without signatures', async () => {
    const image = await writeImage(local);
    await writeReferrer(local, image, 'signature');
    const file = join(folder, 'x.tar');
    await local.tag('a', image);
    const list = await local.resolve(referrersTag(image.digest));
    await exportLayout(file, local, await local.list());
    const bytes = await readFile(file);
    const at = bytes.indexOf(await bufferOf(local.read(list)));
    bytes[at + 10]! ^= 1;
    expect(await imported(bytes)).toMatchObject({ code: 'referrers-unavailable' });
  });
});

it('an archive can not be written to', async () => {
  const image = await writeImage(local);
  await local.tag('a', image);
  const file = join(folder, 'x.tar');
  await exportLayout(file, local, await local.list());
  const archive = await openArchive(file);
  const store = archiveStore(archive);
  expect(await store.has(image)).toBe(true);
  await expect(store.tag('b', image)).rejects.toThrow(code('store-read-only'));
  await expect(store.write(image, bytesOf())).rejects.toThrow(code('store-read-only'));
  await archive.close();
  await expect(openArchive(join(folder, 'none.tar'))).rejects.toThrow(code('not-found'));
});
