import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type CopyEvent,
  copy,
  type Descriptor,
  type LayoutStore,
  MEDIA,
  openLayout,
  openRemote,
  type RemoteOptions,
} from '../../registry/index.ts';
import { type Authority, makeAuthority } from '../fakes/certificates.ts';
import { inject, type OciRegistry, type OciRegistryOptions, startOciRegistry } from '../fakes/oci-registry.ts';
import { writeImage } from './image.ts';

/** In bytes: bodies of this size are taken off the HTTP parser's hands. */
const LARGE = 6_500_000;
const code = (name: string) => expect.objectContaining({ code: name });
const authority: Authority & Disposable = makeAuthority();
const open: AsyncDisposable[] = [];
let sources: string;
let source: LayoutStore;
let image: Descriptor;
let folder: string;

beforeAll(async () => {
  sources = await mkdtemp(join(tmpdir(), 'large-'));
  source = await openLayout(join(sources, 'source'));
  image = await writeImage(source, [LARGE, 300_000, 4_300_000]);
});
afterAll(async () => {
  authority[Symbol.dispose]();
  await rm(sources, { recursive: true, force: true });
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'large-'));
});
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describe.each([false, true])('a large pull (TLS: %s)', (tls) => {
  async function start(options: OciRegistryOptions = {}): Promise<OciRegistry> {
    const registry = await startOciRegistry({ ...(tls ? { tls: authority.issue(['127.0.0.1']) } : {}), ...options });
    open.push(registry);
    await copy(source, remoteOf(registry), image, { tags: ['1'] });
    registry.seen.length = 0;
    return registry;
  }
  const remoteOf = (registry: OciRegistry, options: RemoteOptions = {}) =>
    openRemote(
      { registry: registry.host, repository: 'team/server' },
      { certificates: { ca: authority.ca }, persistence: { attempts: 3, total: 30_000, pause: 5 }, ...options },
    );
  const pull = async (registry: OciRegistry, options: RemoteOptions = {}, progress?: (event: CopyEvent) => void) => {
    const back = await openLayout(join(folder, 'back'));
    await copy(remoteOf(registry, options), back, image, { tags: ['x'], ...(progress ? { progress } : {}) });
    return back;
  };
  const largest = (registry: OciRegistry) =>
    [...registry.repository('team/server').blobs].reduce((a, b) => (a[1].length >= b[1].length ? a : b));

  /** Answers the first requests for the largest blob with its first `size` bytes, then does `end`. */
  function partly(registry: OciRegistry, size: number, end: (response: ServerResponse) => void, times = 1): void {
    const [digest, bytes] = largest(registry);
    inject(
      registry,
      (seen) => seen.method === 'GET' && seen.path.endsWith(digest) && !seen.headers.range,
      ({ response }) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, size), () => end(response));
      },
      times,
    );
  }
  const ranges = (registry: OciRegistry) => registry.seen.flatMap((one) => one.headers.range ?? []);

  /** Everything is there, and is what its digest says; nothing else was left. */
  async function expectWhole(back: LayoutStore): Promise<void> {
    expect(await back.resolve('x')).toEqual(image);
    await copy(back, await openLayout(join(folder, 'checked')), image, { tags: ['y'] });
    expect(await readdir(join(folder, 'back', '.ingest'))).toEqual([]);
  }
  async function expectNothing(): Promise<void> {
    const back = await openLayout(join(folder, 'back'));
    expect(await back.list()).toEqual([]);
    expect(await readdir(join(folder, 'back', '.ingest'))).toEqual([]);
  }

  it('is whole, and its progress adds up', async () => {
    const registry = await start();
    let bytes = 0;
    const back = await pull(registry, {}, (event) => {
      if (event.kind === 'bytes') bytes += event.bytes;
    });
    await expectWhole(back);
    expect(bytes).toBe(
      [...registry.repository('team/server').blobs.values()].reduce((sum, one) => sum + one.length, 0),
    );
    expect(ranges(registry)).toEqual([]);
  });

  it('is whole where the registry does not say how long a blob is', async () => {
    const registry = await start();
    const [digest, bytes] = largest(registry);
    inject(
      registry,
      (seen) => seen.method === 'GET' && seen.path.endsWith(digest),
      ({ response }) => void response.writeHead(200).end(bytes),
    );
    await expectWhole(await pull(registry));
  });

  it.each([70_000, 2_500_000, LARGE - 1])('goes on where it was cut off after %i bytes', async (size) => {
    const registry = await start();
    partly(registry, size, (response) => response.destroy());
    await expectWhole(await pull(registry));
    expect(ranges(registry).length).toBeLessThanOrEqual(1);
    for (const range of ranges(registry)) expect(range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('begins again where the registry knows no ranges', async () => {
    const registry = await start({ ranges: false });
    partly(registry, 2_500_000, (response) => response.destroy());
    await expectWhole(await pull(registry));
  });

  it('goes on where it stalled', async () => {
    const registry = await start();
    partly(registry, 2_500_000, () => undefined);
    await expectWhole(await pull(registry, { patience: { stall: 1500 } }));
    expect(ranges(registry)).not.toEqual([]);
  });

  it('ends when a registry never gets on', async () => {
    const registry = await start();
    partly(
      registry,
      2_500_000,
      (response) => {
        const timer = setInterval(() => response.write('x'), 50);
        response.once('close', () => clearInterval(timer));
      },
      Number.POSITIVE_INFINITY,
    );
    inject(
      registry,
      (seen) => seen.method === 'GET' && seen.headers.range !== undefined,
      ({ response }) => void response.writeHead(503).end(),
      Number.POSITIVE_INFINITY,
    );
    await expect(pull(registry, { patience: { stall: 1500 } })).rejects.toThrow(code('registry-unavailable'));
    await expectNothing();
  });

  it.each([
    ['other bytes', (bytes: Buffer) => Buffer.from(bytes).fill(0, LARGE - 5000, LARGE - 4000)],
    ['fewer bytes', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['more bytes', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('x')])],
  ])('stores nothing of %s', async (_, change) => {
    const registry = await start();
    const [digest, bytes] = largest(registry);
    registry.repository('team/server').blobs.set(digest, change(bytes));
    await expect(pull(registry)).rejects.toThrow(code('integrity'));
    await expectNothing();
    const back = await openLayout(join(folder, 'back'));
    expect(await back.has({ mediaType: 'x/y', digest: digest as Descriptor['digest'], size: bytes.length })).toBe(
      false,
    );
  });

  it('waits for a slow reader, and keeps what it has lent until the next chunk is asked for', async () => {
    const registry = await start();
    const [digest, bytes] = largest(registry);
    const descriptor = { mediaType: MEDIA.layer, digest: digest as Descriptor['digest'], size: bytes.length };
    const hash = createHash('sha256');
    for await (const chunk of remoteOf(registry).open(descriptor, { lent: true })) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      hash.update(chunk);
    }
    expect(`sha256:${hash.digest('hex')}`).toBe(digest);
    expect(ranges(registry)).toEqual([]);
  });

  it('stops at once when it is told to', async () => {
    const registry = await start();
    partly(registry, 2_500_000, () => undefined);
    const stop = new AbortController();
    let bytes = 0;
    const pulling = pull(registry, { signal: stop.signal }, (event) => {
      if (event.kind === 'bytes') bytes += event.bytes;
      if (bytes > 2_000_000) stop.abort(new Error('enough'));
    });
    await expect(pulling).rejects.toThrow('enough');
    await expectNothing();
  });

  it('goes on to a registry that sends each blob elsewhere, without credentials', async () => {
    const registry = await start();
    const storage = await start();
    const shown: (string | undefined)[] = [];
    storage.faults.push(({ headers }) => {
      shown.push(headers.authorization);
      return false;
    });
    inject(
      registry,
      (seen) => seen.method === 'GET' && seen.path.includes('/blobs/'),
      ({ path, response }) =>
        void response.writeHead(307, { location: `http${tls ? 's' : ''}://${storage.host}${path}` }).end(),
      Number.POSITIVE_INFINITY,
    );
    await expectWhole(await pull(registry, { credential: { kind: 'basic', username: 'u', password: 'p' } }));
    expect(shown.length).toBeGreaterThan(0);
    expect(new Set(shown)).toEqual(new Set([undefined]));
  });
});
