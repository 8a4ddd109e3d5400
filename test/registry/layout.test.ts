import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hexOf, sha256 } from '../../digest/index.ts';
import { documentOf, type LayoutStore, MEDIA, openLayout, referrersTag } from '../../registry/index.ts';
import { bufferOf, bytesOf, layerOf, put, writeImage, writeIndex, writeReferrer } from './image.ts';

let folder: string;
let store: LayoutStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layout-'));
  store = await openLayout(join(folder, 'store'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const blob = (text: string) => documentOf(Buffer.from(text), 'text/plain');
const code = (name: string) => expect.objectContaining({ code: name });

describe('openLayout', () => {
  it('makes a layout that the image-spec knows', async () => {
    expect(JSON.parse(await readFile(join(store.folder, 'oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    });
    expect(JSON.parse(await readFile(join(store.folder, 'index.json'), 'utf8'))).toMatchObject({
      schemaVersion: 2,
      manifests: [],
    });
  });

  it('opens what is there, and makes nothing where it may not', async () => {
    const image = await writeImage(store);
    await store.tag('a:1', image);
    expect(await (await openLayout(store.folder, { create: false })).resolve('a:1')).toEqual(image);
    await expect(openLayout(join(folder, 'none'), { create: false })).rejects.toThrow(code('not-found'));
    await expect(stat(join(folder, 'none'))).rejects.toThrow();
  });

  it('refuses a folder that is something else', async () => {
    await mkdir(join(folder, 'home'));
    await writeFile(join(folder, 'home', 'letter.txt'), 'x');
    await expect(openLayout(join(folder, 'home'))).rejects.toThrow(code('layout-invalid'));
    await writeFile(join(store.folder, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
    await expect(openLayout(store.folder)).rejects.toThrow(code('layout-invalid'));
  });

  it('can be made by many at the same moment', async () => {
    const path = join(folder, 'many');
    const stores = await Promise.all(Array.from({ length: 8 }, () => openLayout(path)));
    const image = await writeImage(stores[0]!);
    await stores[3]!.tag('x', image);
    expect(await stores[7]!.resolve('x')).toEqual(image);
  });
});

describe('blobs', () => {
  it('gives back what it got', async () => {
    const one = blob('hello');
    expect(await store.has(one.descriptor)).toBe(false);
    await put(store, one);
    expect(await store.has(one.descriptor)).toBe(true);
    const bytes = store.read(one.descriptor);
    expect((await bufferOf(bytes)).toString()).toBe('hello');
    expect((await bufferOf(bytes)).toString(), 'a second time').toBe('hello');
    expect(store.pathOf(one.descriptor.digest)).toBe(
      join(store.folder, 'blobs', 'sha256', hexOf(one.descriptor.digest)),
    );
  });

  it('stores nothing of what is not the descriptor', async () => {
    const { descriptor } = blob('hello');
    for (const other of ['hellO', 'hello!', 'hell', '']) {
      await expect(store.write(descriptor, bytesOf(Buffer.from(other)))).rejects.toThrow(code('integrity'));
    }
    const failing = (async function* () {
      yield Buffer.from('hel');
      throw new Error('cut');
    })();
    await expect(store.write(descriptor, failing)).rejects.toThrow('cut');
    expect(await store.has(descriptor)).toBe(false);
    expect(await readdir(join(store.folder, '.ingest'))).toEqual([]);
  });

  it('takes bytes whose digest nobody knows yet', async () => {
    const descriptor = await store.ingest(bytesOf(Buffer.from('la'), Buffer.from('yer')), MEDIA.layer);
    expect(descriptor).toEqual({ mediaType: MEDIA.layer, digest: sha256('layer'), size: 5 });
    expect((await bufferOf(store.read(descriptor))).toString()).toBe('layer');
  });

  it('says what is missing', async () => {
    await expect(bufferOf(store.read(blob('none').descriptor))).rejects.toThrow(code('not-found'));
  });

  it.each([
    ['rotten', (path: string) => writeFile(path, 'hellO')],
    ['cut off', (path: string) => truncate(path, 3)],
    ['grown', (path: string) => writeFile(path, 'hello hello')],
  ])('notices a %s blob, and a write repairs it', async (_, damage) => {
    const one = blob('hello');
    await put(store, one);
    await damage(store.pathOf(one.descriptor.digest));
    await expect(bufferOf(store.read(one.descriptor))).rejects.toThrow(code('integrity'));
    expect(await store.has(one.descriptor), 'so that a pull fetches it again').toBe(false);
    await put(store, one);
    expect((await bufferOf(store.read(one.descriptor))).toString()).toBe('hello');
  });

  it('repairs a blob that nobody has read yet', async () => {
    const one = blob('hello');
    await put(store, one);
    await writeFile(store.pathOf(one.descriptor.digest), 'hellO');
    await put(store, one);
    expect((await bufferOf(store.read(one.descriptor))).toString()).toBe('hello');
  });

  it('keeps a good blob when a descriptor lies about its size', async () => {
    const one = blob('hello');
    await put(store, one);
    await expect(bufferOf(store.read({ ...one.descriptor, size: 4 }))).rejects.toThrow(code('integrity'));
    expect(await store.has(one.descriptor)).toBe(true);
  });
});

describe('tags', () => {
  it('moves, lists and takes away', async () => {
    const first = await writeImage(store);
    const second = await writeIndex(store);
    await store.tag('server-everything:2026.8.31-0123456789ab', first);
    await store.tag('server-everything:2026.8.31', first);
    await store.tag('server-everything:2026.8.31', second);
    expect(await store.resolve('server-everything:2026.8.31')).toEqual(second);
    expect(await store.resolve(first.digest)).toEqual(first);
    expect(await store.resolve(second.digest)).toEqual(second);
    expect(await store.list()).toEqual([
      { tag: 'server-everything:2026.8.31-0123456789ab', descriptor: first },
      { tag: 'server-everything:2026.8.31', descriptor: second },
    ]);
    await store.untag('server-everything:2026.8.31');
    await expect(store.resolve('server-everything:2026.8.31')).rejects.toThrow(code('not-found'));
    await expect(store.untag('server-everything:2026.8.31')).rejects.toThrow(code('not-found'));
    await expect(store.resolve(sha256('none'))).rejects.toThrow(code('not-found'));
  });

  it('points at nothing that is not whole', async () => {
    const index = await writeIndex(store);
    const manifest = JSON.parse((await bufferOf(store.read(index))).toString()) as {
      manifests: { digest: `sha256:${string}` }[];
    };
    const image = JSON.parse(await readFile(store.pathOf(manifest.manifests[1]!.digest), 'utf8')) as {
      layers: { digest: `sha256:${string}` }[];
    };
    await rm(store.pathOf(image.layers[0]!.digest));
    await expect(store.tag('x', index)).rejects.toThrow(code('not-found'));
    await expect(store.tag('x', blob('none').descriptor)).rejects.toThrow(code('not-found'));
    expect(await store.list()).toEqual([]);
  });

  it.each(['', 'a b', '../x', '@x', `sha256-${'0'.repeat(64)}`])('refuses the tag %j', async (tag) => {
    await expect(store.tag(tag, await writeImage(store))).rejects.toThrow(code('reference-invalid'));
  });

  it('keeps what other tools wrote into index.json', async () => {
    const image = await writeImage(store);
    const foreign = {
      mediaType: MEDIA.manifest,
      digest: image.digest,
      size: image.size,
      urls: ['x'],
      annotations: { 'org.example': 'kept' },
    };
    await writeFile(
      join(store.folder, 'index.json'),
      JSON.stringify({ schemaVersion: 2, manifests: [foreign], annotations: { a: 'b' } }),
    );
    await store.tag('x', image);
    const index = JSON.parse(await readFile(join(store.folder, 'index.json'), 'utf8')) as Record<string, unknown>;
    expect(index).toMatchObject({ annotations: { a: 'b' } });
    expect((index.manifests as unknown[])[0]).toEqual(foreign);
  });

  it('says that a damaged index.json is one', async () => {
    await writeFile(join(store.folder, 'index.json'), '{"schemaVersion":2,"manifests":[{"digest":"sha256:1"}]}');
    await expect(store.resolve('x')).rejects.toThrow(code('layout-invalid'));
    await expect(store.list()).rejects.toThrow(code('layout-invalid'));
  });
});

describe('manifests', () => {
  it.each([
    ['no JSON', '{'],
    ['an image and an index at once', '{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}'],
    ['another type than it is given as', `{"schemaVersion":2,"mediaType":"${MEDIA.index}","manifests":[]}`],
    ['no schema version', '{"manifests":[]}'],
  ])('refuses %s', async (_, text) => {
    await expect(store.writeManifest(Buffer.from(text), MEDIA.manifest)).rejects.toThrow(code('manifest-invalid'));
  });

  it('refuses more than 4 MiB', async () => {
    const text = JSON.stringify({ schemaVersion: 2, manifests: [], annotations: { a: 'x'.repeat(4 * 1024 * 1024) } });
    await expect(store.writeManifest(Buffer.from(text), MEDIA.index)).rejects.toThrow(code('manifest-invalid'));
  });
});

describe('referrers', () => {
  it('are listed in one order, with type and annotations', async () => {
    const image = await writeImage(store);
    expect(await store.referrers(image.digest)).toEqual([]);
    const written = [];
    for (const text of ['b', 'a', 'c']) written.push(await writeReferrer(store, image, text));
    await writeReferrer(store, image, 'a');
    const listed = await store.referrers(image.digest);
    expect(listed.map((one) => one.digest)).toEqual(written.map((one) => one.digest).sort());
    expect(listed[0]).toMatchObject({ artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json' });
    expect(new Set(listed.map((one) => one.annotations?.['org.example.text']))).toEqual(new Set(['a', 'b', 'c']));
    expect(await store.resolve(referrersTag(image.digest))).toMatchObject({ mediaType: MEDIA.index });
    expect(await store.list(), 'a list of referrers is not an image').toEqual([]);
  });

  it('are found where another tool lists them without a tag', async () => {
    const image = await writeImage(store);
    const referrer = await writeReferrer(store, image, 'a');
    const entry = { mediaType: referrer.mediaType, digest: referrer.digest, size: referrer.size };
    await writeFile(join(store.folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
    expect((await store.referrers(image.digest)).map((one) => one.digest)).toEqual([referrer.digest]);
  });

  it('are not lost when many write at once', async () => {
    const image = await writeImage(store);
    const stores = await Promise.all(Array.from({ length: 6 }, () => openLayout(store.folder)));
    await Promise.all(stores.map((one, at) => writeReferrer(one, image, `writer ${at}`)));
    expect(await store.referrers(image.digest)).toHaveLength(6);
  });

  it('are an error when their list is unreadable, never nothing', async () => {
    const image = await writeImage(store);
    await writeReferrer(store, image, 'a');
    const list = await store.resolve(referrersTag(image.digest));
    await writeFile(store.pathOf(list.digest), 'garbage');
    await expect(store.referrers(image.digest)).rejects.toThrow(code('referrers-unavailable'));
    await expect(store.referrers(image.digest), 'also once it was set aside').rejects.toThrow(
      code('referrers-unavailable'),
    );
  });
});

describe('prune', () => {
  it('removes what no tag reaches, and leaves referrers of what stays', async () => {
    const kept = await writeIndex(store);
    const gone = await writeImage(store);
    const signature = await writeReferrer(store, kept, 'signature');
    const counter = await writeReferrer(store, signature, 'counter-signature');
    const orphan = await writeReferrer(store, gone, 'orphan');
    await store.tag('kept', kept);
    await store.tag('gone', gone);
    await store.untag('gone');
    const { removed, bytes } = await store.prune({ grace: -1000 });
    expect(removed).toContain(gone.digest);
    expect(removed).toContain(orphan.digest);
    expect(bytes).toBeGreaterThan(2048);
    await store.tag('again', kept);
    expect(await store.has(signature)).toBe(true);
    expect(await store.has(counter)).toBe(true);
    expect(await store.referrers(gone.digest)).toEqual([]);
    expect((await store.prune({ grace: -1000 })).removed).toEqual([]);
  });

  it('keeps the digests it is told', async () => {
    const image = await writeImage(store);
    expect((await store.prune({ grace: -1000, keep: [image.digest] })).removed).toEqual([]);
    await store.tag('x', image);
  });

  it('spares what was written or asked for a moment ago', async () => {
    const { blob: layer } = layerOf();
    await put(store, layer);
    expect((await store.prune()).removed).toEqual([]);
    const old = new Date(Date.now() - 86_400_000);
    await utimes(store.pathOf(layer.descriptor.digest), old, old);
    expect(await store.has(layer.descriptor)).toBe(true);
    expect((await store.prune()).removed).toEqual([]);
    await utimes(store.pathOf(layer.descriptor.digest), old, old);
    expect((await store.prune()).removed).toEqual([layer.descriptor.digest]);
  });

  it('never takes a blob from under a tag, however it races with writers', async () => {
    const writers = Array.from({ length: 4 }, async (_, at) => {
      const mine = await openLayout(store.folder);
      const outcomes: string[] = [];
      for (let round = 0; round < 5; round++) {
        const image = await writeImage(mine);
        outcomes.push(
          await mine.tag(`w${at}-${round}`, image).then(
            () => 'tagged',
            (error: { code: string }) => error.code,
          ),
        );
      }
      return outcomes;
    });
    const pruner = (async () => {
      for (let round = 0; round < 20; round++) await store.prune({ grace: -1000 });
    })();
    const outcomes = (await Promise.all([...writers, pruner])).flat();
    expect(new Set(outcomes)).not.toContain('integrity');
    for (const { descriptor, tag } of await store.list()) await store.tag(`${tag}-whole`, descriptor);
  });
});

describe('several processes', () => {
  const writer = join(import.meta.dirname, 'layout-writer.ts');

  it('tag one layout without losing a tag', async () => {
    const children = ['a', 'b', 'c'].map((name) =>
      spawn(process.execPath, [writer, store.folder, name, '8'], { stdio: 'inherit' }),
    );
    const codes = await Promise.all(children.map((child) => new Promise((resolve) => child.once('exit', resolve))));
    expect(codes).toEqual([0, 0, 0]);
    expect(await store.list()).toHaveLength(24);
  });

  it('leave a valid layout when they are killed at any point', async () => {
    for (let round = 0; round < 4; round++) {
      const child = spawn(process.execPath, [writer, store.folder, `k${round}`, '1000'], { stdio: 'ignore' });
      await expect.poll(async () => (await store.list()).length, { timeout: 20_000 }).toBeGreaterThan(round * 3);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      const after = await openLayout(store.folder);
      for (const { tag, descriptor } of await after.list()) await after.tag(tag, descriptor);
      await after.tag(`after-${round}`, await writeImage(after));
    }
    await store.prune({ grace: -1000 });
    expect(await readdir(join(store.folder, '.ingest'))).toEqual([]);
    expect((await readdir(store.folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('a store that may not be written', () => {
  it('says so once, before it starts', async () => {
    const image = await writeImage(store);
    await store.tag('x', image);
    const closed = await openLayout(store.folder, { readOnly: true });
    expect(await closed.resolve('x')).toEqual(image);
    const one = blob('hello');
    await expect(closed.write(one.descriptor, bytesOf(one.bytes))).rejects.toThrow(code('store-read-only'));
    await expect(closed.tag('y', image)).rejects.toThrow(code('store-read-only'));
    await expect(closed.ingest(bytesOf(one.bytes), 'x/y')).rejects.toThrow(code('store-read-only'));
    await expect(closed.prune()).rejects.toThrow(code('store-read-only'));
    await expect(writeReferrer(closed, image, 'x')).rejects.toThrow(code('store-read-only'));
  });

  it.skipIf(process.getuid?.() === 0)('says so when the system does', async () => {
    await chmod(store.folder, 0o555);
    const one = blob('hello');
    await expect(store.write(one.descriptor, bytesOf(one.bytes))).rejects.toThrow(code('store-read-only'));
    await chmod(store.folder, 0o755);
  });
});
