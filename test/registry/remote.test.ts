import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  copy,
  type Descriptor,
  documentOf,
  imageManifest,
  type LayoutStore,
  MEDIA,
  openLayout,
  openRemote,
  parseManifest,
  parseRemoteReference,
  type RemoteOptions,
  referrersTag,
} from '../../registry/index.ts';
import {
  inject,
  type OciRegistry,
  type OciRegistryOptions,
  type Seen,
  startOciRegistry,
} from '../fakes/oci-registry.ts';
import { bufferOf, bytesOf, put, writeImage, writeIndex, writeReferrer } from './image.ts';

const QUICK: RemoteOptions = {
  patience: { connect: 2000, stall: 400 },
  persistence: { attempts: 3, total: 3000, pause: 5 },
};
const code = (name: string) => expect.objectContaining({ code: name });

let folder: string;
let local: LayoutStore;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remote-'));
  local = await openLayout(join(folder, 'local'));
});
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function start(options: OciRegistryOptions = {}): Promise<OciRegistry> {
  const registry = await startOciRegistry(options);
  open.push(registry);
  return registry;
}
const remoteOf = (registry: OciRegistry, options: RemoteOptions = {}, repository = 'team/server') =>
  openRemote({ registry: registry.host, repository }, { ...QUICK, ...options });
const blob = (text: string) => documentOf(Buffer.from(text), 'text/plain');
const isPut = (seen: Seen) => seen.method === 'PUT' && seen.path.includes('/blobs/uploads/');
const isGet = (seen: Seen) => seen.method === 'GET' && seen.path.includes('/blobs/');

/** What no fault may ever leave behind. */
function expectSound(registry: OciRegistry, name = 'team/server'): void {
  const { blobs, manifests, tags } = registry.repository(name);
  for (const [digest, bytes] of blobs) expect(documentOf(bytes, 'x/y').descriptor.digest).toBe(digest);
  for (const digest of tags.values()) expect(manifests.has(digest)).toBe(true);
}

describe('a repository', () => {
  it('gives back what it got', async () => {
    const registry = await start();
    const remote = remoteOf(registry);
    const one = blob('hello');
    expect(await remote.has(one.descriptor)).toBe(false);
    await put(remote, one);
    expect(await remote.has(one.descriptor)).toBe(true);
    expect((await bufferOf(remote.read(one.descriptor))).toString()).toBe('hello');
    await expect(bufferOf(remote.read(blob('none').descriptor))).rejects.toThrow(code('not-found'));
    // What the local store holds is nothing to look at then.
    await expect(remote.resolve('none')).rejects.toMatchObject({
      code: 'not-found',
      fix: expect.stringContaining('login'),
    });
    await remote.ping();
  });

  it('stores nothing of what is not the descriptor', async () => {
    const registry = await start();
    const { descriptor } = blob('hello');
    for (const other of ['hellO', 'hello!', 'hell', '']) {
      await expect(remoteOf(registry).write(descriptor, bytesOf(Buffer.from(other)))).rejects.toThrow(
        code('integrity'),
      );
    }
    expect(registry.repository('team/server').blobs.size).toBe(0);
  });

  it('takes and gives an index over two platforms, with a tag', async () => {
    const registry = await start();
    const index = await writeIndex(local);
    await copy(local, remoteOf(registry), index, { tags: ['1', '1.2'] });
    const back = await openLayout(join(folder, 'back'));
    expect(await remoteOf(registry).resolve('1.2')).toEqual(index);
    expect(await remoteOf(registry).resolve(index.digest)).toEqual(index);
    await copy(remoteOf(registry), back, index, { tags: ['x'] });
    expect(await back.resolve('x')).toEqual(index);
    expectSound(registry);
  });

  it.each([
    [
      'another digest in its header',
      (registry: OciRegistry) => header(registry, 'docker-content-digest', `sha256:${'0'.repeat(64)}`),
    ],
  ])('refuses %s', async (_, fault) => {
    const registry = await start();
    const image = await writeImage(local);
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    fault(registry);
    await expect(remoteOf(registry).resolve(image.digest)).rejects.toThrow(code('integrity'));
  });

  it('finds out what a tag is where HEAD says little', async () => {
    const registry = await start();
    const image = await writeImage(local);
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    inject(
      registry,
      (seen) => seen.method === 'HEAD',
      ({ response }) => void response.writeHead(200).end(),
      Number.POSITIVE_INFINITY,
    );
    expect(await remoteOf(registry).resolve('1')).toEqual(image);
  });

  it('does not read a manifest of more than 4 MiB', async () => {
    const registry = await start();
    const huge: Descriptor = { mediaType: MEDIA.manifest, digest: blob('x').descriptor.digest, size: 5 * 1024 * 1024 };
    await expect(copy(remoteOf(registry), local, huge)).rejects.toThrow(code('too-large'));
    inject(
      registry,
      () => true,
      ({ response }) =>
        void response.writeHead(200, { 'content-type': MEDIA.manifest }).end(Buffer.alloc(5 * 1024 * 1024)),
      2,
    );
    await expect(remoteOf(registry).resolve('1')).rejects.toThrow(code('registry-unavailable'));
  });

  it.each(['', 'a:b', '..', `sha256-${'0'.repeat(64)}`, 'x'.repeat(129)])(
    'refuses the tag %j before it asks',
    async (tag) => {
      const registry = await start();
      await expect(remoteOf(registry).tag(tag, blob('x').descriptor)).rejects.toThrow(code('reference-invalid'));
      expect(registry.seen).toEqual([]);
    },
  );
});

function header(registry: OciRegistry, name: string, value: string): void {
  registry.faults.push(({ response }) => {
    const { writeHead } = response;
    response.writeHead = ((status: number, headers: Record<string, string>) =>
      writeHead.call(response, status, { ...headers, [name]: value })) as typeof writeHead;
    return false;
  });
}

describe('a push', () => {
  it('with nothing to do takes at most 6 requests', async () => {
    const registry = await start({ auth: { scheme: 'bearer', username: 'u', password: 'p' } });
    const credential = { kind: 'basic', username: 'u', password: 'p' } as const;
    const index = await writeIndex(local);
    for (const text of ['signature', 'provenance', 'sbom']) await writeReferrer(local, index, text);
    await copy(local, remoteOf(registry, { credential }), index, { tags: ['1'] });
    registry.seen.length = 0;
    const again = await copy(local, remoteOf(registry, { credential }), index, { tags: ['1'] });
    expect(again).toMatchObject({ sent: 0, mounted: 0, bytes: 0, referrers: 0 });
    expect(
      registry.seen.length,
      registry.seen.map((one) => `${one.method} ${one.path}`).join('\n'),
    ).toBeLessThanOrEqual(6);
  });

  it('sends nothing that is there, and moves the tag last', async () => {
    const registry = await start();
    const image = await writeImage(local, [2048, 4096]);
    await writeReferrer(local, image, 'signature');
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    const writes = registry.seen.filter((one) => one.method === 'PUT').map((one) => one.path);
    expect(writes.at(-1)).toBe('/v2/team/server/manifests/1');
    const manifest = writes.findIndex((path) => path.endsWith(image.digest));
    expect(writes.slice(0, 3).every((path) => path.includes('/blobs/'))).toBe(true);
    expect(manifest).toBe(3);
    registry.seen.length = 0;
    await copy(local, remoteOf(registry), image, { tags: ['2'] });
    expect(registry.seen.filter((one) => one.method === 'PUT').map((one) => one.path)).toEqual([
      '/v2/team/server/manifests/2',
    ]);
  });

  it('moves no tag when anything before it fails', async () => {
    const registry = await start();
    const image = await writeImage(local);
    await writeReferrer(local, image, 'signature');
    inject(
      registry,
      (seen) => seen.method === 'PUT' && seen.path.includes('/manifests/sha256:'),
      ({ response }) => void response.writeHead(403).end(),
    );
    await expect(copy(local, remoteOf(registry), image, { tags: ['1'] })).rejects.toThrow(code('unauthorized'));
    expect(registry.repository('team/server').tags.size).toBe(0);
    inject(
      registry,
      (seen) => seen.path.includes('/referrers/'),
      ({ response }) => void response.writeHead(500).end(),
      20,
    );
    await expect(copy(local, remoteOf(registry), image, { tags: ['1'] })).rejects.toThrow(
      code('referrers-unavailable'),
    );
    expect(registry.repository('team/server').tags.size).toBe(0);
  });

  it('mounts what another repository of the registry has', async () => {
    const registry = await start({ auth: { scheme: 'bearer', username: 'u', password: 'p' } });
    const credential = { kind: 'basic', username: 'u', password: 'p' } as const;
    const image = await writeImage(local, [2048, 4096]);
    const base = remoteOf(registry, { credential }, 'base');
    await copy(local, base, image);
    const done = await copy(local, remoteOf(registry, { credential }), image, { mountFrom: 'base' });
    expect(done).toMatchObject({ mounted: 3, bytes: 0 });
    const direct = await copy(base, remoteOf(registry, { credential }, 'third'), image, { tags: ['1'] });
    expect(direct).toMatchObject({ mounted: 3, bytes: 0 });
    expect(
      await copy(local, remoteOf(registry, { credential }, 'fourth'), image, { mountFrom: 'nothing' }),
    ).toMatchObject({ mounted: 0 });
    expectSound(registry, 'third');
  });

  it('sends in pieces where the registry will not have it whole', async () => {
    const registry = await start({ bodyLimit: 9 * 1024 * 1024 });
    const image = await writeImage(local, [20 * 1024 * 1024]);
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    expect(registry.seen.filter((one) => one.method === 'PATCH').length).toBe(3);
    expectSound(registry);
  });

  it('sends no smaller pieces than the registry wants', async () => {
    const registry = await start({ chunkMinimum: 100_000 });
    const image = await writeImage(local, [250_000]);
    await copy(local, remoteOf(registry, { chunk: 1000 }), image);
    expect(registry.seen.filter((one) => one.method === 'PATCH').map((one) => one.headers['content-length'])).toContain(
      '100000',
    );
    expectSound(registry);
  });

  it.each([
    ['cut off', (exchange: { request: { destroy(): void } }) => exchange.request.destroy()],
    [
      'answered 500 in the middle',
      ({ response }: { response: import('node:http').ServerResponse }) =>
        void response.writeHead(500, { connection: 'close' }).end(),
    ],
    [
      'read and then answered 503',
      ({
        request,
        response,
      }: {
        request: import('node:http').IncomingMessage;
        response: import('node:http').ServerResponse;
      }) => void request.resume().once('end', () => response.writeHead(503).end()),
    ],
    ['stalled', () => undefined],
  ])('is repeated from the start when an upload is %s', async (_, fault) => {
    const registry = await start();
    const image = await writeImage(local, [3 * 1024 * 1024]);
    inject(registry, isPut, fault as never);
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    expectSound(registry);
    expect(registry.repository('team/server').tags.get('1')).toBe(image.digest);
  });

  it('repeats what the registry says has changed on the way', async () => {
    const registry = await start();
    const image = await writeImage(local);
    const garbled = '{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}';
    inject(
      registry,
      isPut,
      ({ request, response }) => void request.resume().once('end', () => response.writeHead(400).end(garbled)),
    );
    inject(
      registry,
      (seen) => seen.method === 'PUT' && seen.path.includes('/manifests/'),
      ({ request, response }) => void request.resume().once('end', () => response.writeHead(400).end(garbled)),
    );
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    expect(registry.repository('team/server').tags.get('1')).toBe(image.digest);
  });

  it('ends with one error when uploads never come through', async () => {
    const registry = await start();
    const image = await writeImage(local);
    inject(registry, isPut, ({ request }) => void request.destroy(), Number.POSITIVE_INFINITY);
    await expect(copy(local, remoteOf(registry), image, { tags: ['1'] })).rejects.toThrow(code('registry-unavailable'));
    expect(registry.repository('team/server').manifests.size).toBe(0);
  });

  it('does not repeat what can not be read twice', async () => {
    const registry = await start();
    const one = blob('hello');
    inject(registry, isPut, ({ request }) => void request.destroy());
    const once = bytesOf(one.bytes)[Symbol.asyncIterator]() as AsyncGenerator<Uint8Array>;
    await expect(remoteOf(registry).write(one.descriptor, once)).rejects.toThrow(code('not-replayable'));
    expect(registry.repository('team/server').blobs.size).toBe(0);
  });

  it('is stopped by a damaged blob of the layout, which says so and is put aside', async () => {
    const registry = await start();
    const image = await writeImage(local, [100_000]);
    const layer = parseManifest(await bufferOf(local.read(image)), undefined, 'x');
    const digest = layer.kind === 'image' ? layer.layers[0]!.digest : image.digest;
    const bytes = await bufferOf(local.open({ ...image, digest }));
    bytes[50_000]! ^= 1;
    await writeFile(local.pathOf(digest), bytes);
    await expect(copy(local, remoteOf(registry), image, { tags: ['1'] })).rejects.toThrow(code('integrity'));
    expect(await local.has({ ...image, digest, size: bytes.length })).toBe(false);
    expect(registry.repository('team/server').manifests.size).toBe(0);
    expectSound(registry);
  });

  it('can be given up', async () => {
    const registry = await start({ delay: 100 });
    const controller = new AbortController();
    const image = await writeImage(local);
    const pushed = copy(local, remoteOf(registry, { signal: controller.signal }), image, { tags: ['1'] });
    setTimeout(() => controller.abort(), 150);
    await expect(pushed).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    expect(registry.repository('team/server').tags.size).toBe(0);
  });
});

describe('a pull', () => {
  async function pushed(registry: OciRegistry, size = 300_000): Promise<Descriptor> {
    const image = await writeImage(local, [size]);
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    registry.seen.length = 0;
    return image;
  }
  const isBig = (seen: Seen) => isGet(seen) && !seen.headers.range;

  /** Sends the first part of the blob that was asked for, then does `end`. */
  function partly(registry: OciRegistry, end: (response: import('node:http').ServerResponse) => void, times = 1) {
    inject(
      registry,
      (seen) =>
        isBig(seen) &&
        (registry.repository('team/server').blobs.get(seen.path.split('/').at(-1)!)?.length ?? 0) > 100_000,
      ({ path, response }) => {
        const bytes = registry.repository('team/server').blobs.get(path.split('/').at(-1)!)!;
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 70_000), () => end(response));
      },
      times,
    );
  }

  it.each([true, false])('goes on where it was cut off (ranges: %s)', async (ranges) => {
    const registry = await start({ ranges });
    const image = await pushed(registry);
    partly(registry, (response) => response.destroy());
    const back = await openLayout(join(folder, 'back'));
    await copy(remoteOf(registry), back, image, { tags: ['x'] });
    expect(registry.seen.some((one) => /^bytes=[1-9]\d*-$/.test(one.headers.range ?? ''))).toBe(true);
  });

  it('goes on where it stalled', async () => {
    const registry = await start();
    const image = await pushed(registry);
    partly(registry, () => undefined);
    const back = await openLayout(join(folder, 'back'));
    await copy(remoteOf(registry), back, image, { tags: ['x'] });
  });

  it('ends when a registry drips', async () => {
    const registry = await start();
    const image = await pushed(registry);
    inject(
      registry,
      isGet,
      ({ response }) => {
        response.writeHead(200, { 'content-length': 300_000 });
        const timer = setInterval(() => response.write('x'), 50);
        response.once('close', () => clearInterval(timer));
      },
      Number.POSITIVE_INFINITY,
    );
    const back = await openLayout(join(folder, 'back'));
    await expect(copy(remoteOf(registry), back, image, { tags: ['x'] })).rejects.toThrow(code('registry-unavailable'));
    expect(await back.list()).toEqual([]);
  });

  it.each([
    ['other bytes', (bytes: Buffer) => Buffer.from(bytes).fill(0, 100, 200)],
    ['fewer bytes', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['more bytes', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('x')])],
  ])('stores nothing of %s', async (_, change) => {
    const registry = await start();
    const image = await pushed(registry);
    const { blobs } = registry.repository('team/server');
    for (const [digest, bytes] of blobs) if (bytes.length > 100_000) blobs.set(digest, change(bytes));
    const back = await openLayout(join(folder, 'back'));
    await expect(copy(remoteOf(registry), back, image, { tags: ['x'] })).rejects.toThrow(code('integrity'));
    expect(await back.list()).toEqual([]);
    for (const digest of blobs.keys()) {
      const descriptor = { mediaType: 'x/y', digest: digest as Descriptor['digest'], size: blobs.get(digest)!.length };
      if (await back.has(descriptor)) await bufferOf(back.read(descriptor));
    }
  });

  it('refuses a manifest that is not its digest', async () => {
    const registry = await start();
    const image = await pushed(registry);
    const { manifests } = registry.repository('team/server');
    const other = imageManifest({
      config: blob('x').descriptor,
      layers: [],
      annotations: { a: 'x'.repeat(image.size - 300) },
    });
    manifests.set(image.digest, { type: MEDIA.manifest, bytes: Buffer.from(other.bytes) });
    await expect(copy(remoteOf(registry), local, image)).rejects.toThrow(code('integrity'));
  });
});

describe('retries', () => {
  it.each([
    ['seconds', () => '1'],
    ['a date', () => new Date(Date.now() + 1500).toUTCString()],
  ])('wait as long as Retry-After says, in %s', async (_, value) => {
    const registry = await start();
    inject(
      registry,
      () => true,
      ({ response }) => void response.writeHead(429, { 'retry-after': value() }).end(),
    );
    const started = performance.now();
    await remoteOf(registry).ping();
    expect(performance.now() - started).toBeGreaterThan(400);
    expect(registry.seen).toHaveLength(2);
  });

  it('do not wait longer than they may', async () => {
    const registry = await start();
    inject(
      registry,
      () => true,
      ({ response }) => void response.writeHead(429, { 'retry-after': '3600' }).end(),
    );
    const started = performance.now();
    await expect(remoteOf(registry).ping()).rejects.toThrow(code('registry-unavailable'));
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it.each([408, 429, 500, 502, 503, 504])('follow a %s, and end', async (status) => {
    const registry = await start();
    inject(
      registry,
      () => true,
      ({ response }) => void response.writeHead(status).end('x'),
      2,
    );
    await remoteOf(registry).ping();
    inject(
      registry,
      () => true,
      ({ response }) => void response.writeHead(status).end('x'),
      100,
    );
    registry.seen.length = 0;
    await expect(remoteOf(registry).ping()).rejects.toThrow(
      expect.objectContaining({ code: 'registry-unavailable', exit: 5 }),
    );
    expect(registry.seen).toHaveLength(4);
  });

  it.each([400, 405, 418])('do not follow a %s', async (status) => {
    const registry = await start();
    inject(
      registry,
      () => true,
      ({ response }) =>
        void response
          .writeHead(status, { 'content-type': 'application/json' })
          .end('{"errors":[{"code":"DENIED\\u001b[2J","message":"no"}]}'),
    );
    const failed = remoteOf(registry).ping();
    await expect(failed).rejects.toThrow(code('registry-refused'));
    expect(await failed.catch((error: Error) => error.message)).not.toContain('\u001b');
    expect(registry.seen).toHaveLength(1);
  });

  it('end when nothing ever answers', async () => {
    const registry = await start();
    inject(
      registry,
      () => true,
      () => undefined,
      100,
    );
    await expect(remoteOf(registry).ping()).rejects.toThrow(code('registry-unavailable'));
  });

  it('end where nobody listens', async () => {
    const registry = await start();
    await registry[Symbol.asyncDispose]();
    open.length = 0;
    await expect(remoteOf(registry).ping()).rejects.toThrow(code('registry-unavailable'));
  });

  it.each([
    ['garbage', 'garbage\r\n\r\n'],
    ['endless headers', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(20_000)}`],
  ])('meet %s with an error', async (_, text) => {
    const registry = await start();
    inject(
      registry,
      () => true,
      ({ request }) => void request.socket.end(text),
      100,
    );
    await expect(remoteOf(registry).ping()).rejects.toThrow(code('registry-unavailable'));
  });
});

describe('referrers', () => {
  it.each<[string, OciRegistryOptions]>([
    ['with the API', {}],
    ['page by page', { pageSize: 2 }],
    ['with the tag only', { referrers: false }],
    ['with a header and no API', { referrers: false, subjectHeaderOnly: true }],
  ])('come and go %s', async (_, options) => {
    const registry = await start(options);
    const image = await writeImage(local);
    for (const text of ['a', 'b', 'c', 'd', 'e']) await writeReferrer(local, image, text);
    const first = await local.referrers(image.digest);
    await writeReferrer(local, first[0]!, 'counter-signature');
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    const listed = await remoteOf(registry).referrers(image.digest);
    expect(listed).toEqual(first);
    const back = await openLayout(join(folder, 'back'));
    await copy(remoteOf(registry), back, image, { tags: ['x'] });
    expect(await back.referrers(image.digest)).toEqual(first);
    expect(await back.referrers(first[0]!.digest)).toHaveLength(1);
  });

  it('written to the tag before the registry learned the API are found', async () => {
    const old = await start({ referrers: false });
    const image = await writeImage(local);
    await copy(local, remoteOf(old), image);
    const first = await writeReferrer(remoteOf(old), image, 'first');
    const now = await start();
    const [before, after] = [old.repository('team/server'), now.repository('team/server')];
    for (const [digest, bytes] of before.blobs) after.blobs.set(digest, bytes);
    for (const [digest, stored] of before.manifests) if (digest !== first.digest) after.manifests.set(digest, stored);
    for (const [tag, digest] of before.tags) after.tags.set(tag, digest);
    const second = await writeReferrer(remoteOf(now), image, 'second');
    const digests = (await remoteOf(now).referrers(image.digest)).map((one) => one.digest);
    expect(digests).toEqual([first.digest, second.digest].sort());
  });

  it.each([{ conditional: true }, { conditional: false, delay: 5 }])(
    'of writers at the same moment are all kept %j',
    async (options) => {
      const registry = await start({ referrers: false, ...options });
      const image = await writeImage(local);
      await copy(local, remoteOf(registry), image);
      const texts = Array.from({ length: 8 }, (_, at) => `writer ${at}`);
      await Promise.all(texts.map((text) => writeReferrer(remoteOf(registry), image, text)));
      const listed = await remoteOf(registry).referrers(image.digest);
      expect(new Set(listed.map((one) => one.annotations?.['org.example.text']))).toEqual(new Set(texts));
    },
  );

  it('of one writer go into the list together', async () => {
    const registry = await start({ referrers: false });
    const image = await writeImage(local);
    for (let at = 0; at < 8; at++) await writeReferrer(local, image, `text ${at}`);
    await copy(local, remoteOf(registry), image, { tags: ['1'] });
    const writes = registry.seen.filter((one) => one.method === 'PUT' && one.path.endsWith(referrersTag(image.digest)));
    expect(writes.length).toBeLessThanOrEqual(2);
    expect(await remoteOf(registry).referrers(image.digest)).toHaveLength(8);
  });

  it('are not a page of the web that a registry sends us to', async () => {
    const registry = await start({ referrers: false });
    const web = await start();
    const image = await writeImage(local);
    inject(
      registry,
      (seen) => seen.path.includes('/referrers/'),
      ({ response }) => void response.writeHead(303, { location: `http://${web.host}/` }).end(),
      10,
    );
    await copy(local, remoteOf(registry), image);
    expect(await remoteOf(registry).referrers(image.digest)).toEqual([]);
    expect(web.seen).toEqual([]);
  });

  it('are not the images of an index that a registry gives for its referrers tag', async () => {
    const registry = await start({ referrers: false });
    const index = await writeIndex(local);
    await copy(local, remoteOf(registry), index);
    registry.repository('team/server').tags.set(referrersTag(index.digest), index.digest);
    expect(await remoteOf(registry).referrers(index.digest)).toEqual([]);
  });

  it.each<[string, string, number, string]>([
    ['server errors', 'application/json', 500, '{}'],
    ['no JSON', MEDIA.index, 200, '<html>'],
    ['a page of HTML', 'text/html', 200, '{"schemaVersion":2,"manifests":[]}'],
    ['an image', MEDIA.manifest, 200, '{"schemaVersion":2,"config":{},"layers":[]}'],
    ['no list', MEDIA.index, 200, '{"schemaVersion":2}'],
    ['null', MEDIA.index, 200, 'null'],
    [
      'garbage descriptors',
      MEDIA.index,
      200,
      '{"schemaVersion":2,"manifests":[{"mediaType":"x/y","digest":"sha256:1","size":-1}]}',
    ],
  ])('are an error, never nothing, when a registry gives %s', async (_, type, status, body) => {
    for (const where of ['/referrers/', '/manifests/sha256-']) {
      const registry = await start({ referrers: where === '/referrers/' });
      const image = await writeImage(local);
      await copy(local, remoteOf(registry), image);
      inject(
        registry,
        (seen) => seen.path.includes(where),
        ({ response }) => void response.writeHead(status, { 'content-type': type }).end(body),
        100,
      );
      await expect(remoteOf(registry).referrers(image.digest)).rejects.toThrow(code('referrers-unavailable'));
    }
  });

  it('are an error when there is no end of pages', async () => {
    const registry = await start();
    const image = await writeImage(local);
    let page = 0;
    inject(
      registry,
      (seen) => seen.path.includes('/referrers/'),
      ({ path, response }) => {
        const link = `<${path.split('?')[0]}?page=${page++}>; rel="next"`;
        response.writeHead(200, { 'content-type': MEDIA.index, link }).end('{"schemaVersion":2,"manifests":[]}');
      },
      Number.POSITIVE_INFINITY,
    );
    await expect(remoteOf(registry).referrers(image.digest)).rejects.toThrow(code('referrers-unavailable'));
    expect(page).toBeLessThan(200);
  });

  it('that are not there, or speak of something else, are left out of a copy and named', async () => {
    const registry = await start();
    const image = await writeImage(local);
    const other = await writeImage(local);
    const good = await writeReferrer(local, image, 'good');
    const foreign = await writeReferrer(local, other, 'foreign');
    await copy(local, remoteOf(registry), image);
    await copy(local, remoteOf(registry), other);
    const list = [good, foreign, { mediaType: MEDIA.manifest, digest: blob('gone').descriptor.digest, size: 4 }];
    inject(
      registry,
      (seen) => seen.path.includes(`/referrers/${image.digest}`),
      ({ response }) =>
        void response
          .writeHead(200, { 'content-type': MEDIA.index })
          .end(JSON.stringify({ schemaVersion: 2, manifests: list })),
      100,
    );
    const back = await openLayout(join(folder, 'back'));
    const ignored: string[] = [];
    await copy(remoteOf(registry), back, image, {
      tags: ['x'],
      progress: (event) => void (event.kind === 'ignored' && ignored.push(event.descriptor.digest)),
    });
    expect((await back.referrers(image.digest)).map((one) => one.digest)).toEqual([good.digest]);
    expect(ignored.sort()).toEqual([foreign.digest, list[2]!.digest].sort());
  });
});

describe('plain HTTP', () => {
  it('is for this machine, or where it was asked for', async () => {
    const reference = parseRemoteReference('registry.example.test/team/server');
    const proxied = await start();
    // As a proxy a server is asked for whole URLs: that it was asked for one over http is the point.
    const environment = { HTTP_PROXY: `http://${proxied.host}` };
    await openRemote(reference, { ...QUICK, environment, plainHttp: true })
      .ping()
      .catch(() => undefined);
    expect(proxied.seen[0]?.path).toBe('http://registry.example.test/v2/');
  });
});
