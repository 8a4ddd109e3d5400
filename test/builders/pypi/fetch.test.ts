import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { FetchOptions } from '../../../builders/adapter.ts';
import type { WheelArtifact } from '../../../builders/lock.ts';
import { pypi } from '../../../builders/pypi/index.ts';
import { integrityFromHex, verified } from '../../../digest/index.ts';
import { type FakeIndex, type IndexOptions, pypiIndex } from '../../fakes/pypi-index.ts';
import { type Wheel, wheel } from './wheel.ts';

const made = wheel({ name: 'pkg', version: '1.0', files: { 'data.bin': Buffer.alloc(300_000, 'abc') } });
const open: FakeIndex[] = [];
let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'pypi-fetch-'));
});
afterAll(() => rm(home, { recursive: true }));
afterEach(async () => {
  await Promise.all(open.splice(0).map((index) => index.close()));
});

async function index(options: IndexOptions = {}, file: Wheel | null = made): Promise<FakeIndex> {
  const started = await pypiIndex(options);
  open.push(started);
  if (file) started.add('pkg', file);
  return started;
}

function artifact(changes: Partial<WheelArtifact> = {}): WheelArtifact {
  return {
    kind: 'wheel',
    name: 'pkg',
    version: '1.0',
    file: made.file,
    integrity: integrityFromHex('sha256', made.sha256),
    size: made.bytes.length,
    index: 'default',
    ...changes,
  };
}

function options(environment: Record<string, string>): FetchOptions {
  return {
    cache: home,
    workspace: undefined,
    environment: {
      HOME: home,
      XDG_CONFIG_DIRS: home,
      PIP_CONFIG_FILE: '/dev/null',
      UV_HTTP_TIMEOUT: '1',
      UV_HTTP_RETRIES: '2',
      ...environment,
    },
  };
}

async function fetch(environment: Record<string, string>, wanted = artifact()): Promise<Buffer> {
  const parts: Buffer[] = [];
  const { file: name, integrity } = wanted;
  for await (const part of verified(pypi.fetch(wanted, options(environment)), { name, integrity })) {
    parts.push(Buffer.from(part));
  }
  return Buffer.concat(parts);
}

describe('finding a locked wheel', () => {
  test.each(['json', 'html'] as const)('on a page in %s', async (format) => {
    const { url, asked } = await index({ format });
    expect((await fetch({ UV_DEFAULT_INDEX: url })).equals(made.bytes)).toBe(true);
    expect(asked.map(({ path }) => path)).toEqual(['/simple/pkg/', `/files/pkg/${made.file}`]);
    expect(asked[0]?.accept).toContain('application/vnd.pypi.simple.v1+json');
  });

  test('a page is read once for all its files', async () => {
    const { url, asked } = await index();
    const shared = options({ UV_DEFAULT_INDEX: url });
    for (let time = 0; time < 3; time += 1) for await (const _ of pypi.fetch(artifact(), shared));
    expect(asked.filter(({ path }) => path === '/simple/pkg/')).toHaveLength(1);
  });

  test('the index the lock names is asked first, the others when it has not the file', async () => {
    const first = await index({}, null);
    const second = await index();
    const environment = { UV_INDEX: `corp=${first.url}`, UV_DEFAULT_INDEX: second.url };
    await fetch(environment);
    expect(first.asked).toHaveLength(0);
    await fetch(environment, artifact({ index: 'corp' }));
    expect(first.asked).toHaveLength(1);
    await fetch(environment, artifact({ index: 'named-otherwise-here' }));
    expect(first.asked).toHaveLength(2);
  });

  test('a file that no index has', async () => {
    const { url } = await index({}, null);
    await expect(fetch({ UV_DEFAULT_INDEX: url })).rejects.toMatchObject({ code: 'artifact-unavailable', exit: 5 });
    const other = await index({}, wheel({ name: 'pkg', version: '2.0' }));
    await expect(fetch({ UV_DEFAULT_INDEX: other.url })).rejects.toMatchObject({ code: 'artifact-unavailable' });
  });

  test('other bytes behind the same name, told by the index or not', async () => {
    const swapped = wheel({ name: 'pkg', version: '1.0', files: { 'evil.py': 'x' } });
    const honest = await index({}, swapped);
    await expect(fetch({ UV_DEFAULT_INDEX: honest.url })).rejects.toMatchObject({ code: 'integrity' });
    expect(honest.asked).toHaveLength(1);
    const lying = await pypiIndex();
    open.push(lying);
    lying.add('pkg', { file: made.file, bytes: swapped.bytes, sha256: made.sha256 });
    await expect(fetch({ UV_DEFAULT_INDEX: lying.url })).rejects.toMatchObject({ code: 'integrity' });
    const silent = await pypiIndex();
    open.push(silent);
    silent.add('pkg', { file: made.file, bytes: swapped.bytes, sha256: null });
    await expect(fetch({ UV_DEFAULT_INDEX: silent.url })).rejects.toMatchObject({ code: 'integrity' });
  });

  test('more bytes than the lock allows are cut off', async () => {
    const { url } = await index();
    await expect(fetch({ UV_DEFAULT_INDEX: url }, artifact({ size: 1000 }))).rejects.toMatchObject({
      code: 'integrity',
    });
  });

  test('an index that is down is the error, when no other has the file', async () => {
    const down = await index({ fault: () => ({ kind: 'status', status: 503, headers: { 'retry-after': '0' } }) });
    const empty = await index({}, null);
    const environment = { UV_INDEX: `corp=${down.url}`, UV_DEFAULT_INDEX: empty.url };
    await expect(fetch(environment)).rejects.toMatchObject({ code: 'registry-unavailable', exit: 5 });
    expect(down.asked).toHaveLength(3);
    const has = await index();
    await fetch({ UV_INDEX: `corp=${down.url}`, UV_DEFAULT_INDEX: has.url }, artifact({ index: 'corp' }));
  });
});

describe('connections', () => {
  test('credentials go to the index, and to files of its own origin only', async () => {
    const files = await index();
    const auth = { username: 'me', password: 'p@ss' };
    const own = await index({ auth, authFiles: true });
    await fetch({ UV_DEFAULT_INDEX: own.url.replace('//', '//me:p%40ss@') });
    expect(own.asked.every(({ authorization }) => authorization !== undefined)).toBe(true);
    const elsewhere = await index({ auth, filesAt: files.origin });
    await fetch({ UV_DEFAULT_INDEX: elsewhere.url.replace('//', '//me:p%40ss@') });
    expect(elsewhere.asked[0]?.authorization).toBeDefined();
    expect(files.asked).toHaveLength(1);
    expect(files.asked[0]?.authorization).toBeUndefined();
  });

  test("netrc counts, and a redirect to another origin carries nothing, not even netrc's", async () => {
    const netrc = join(home, 'netrc');
    await writeFile(netrc, 'machine 127.0.0.1 login me password secret\n');
    const auth = { username: 'me', password: 'secret' };
    const own = await index({ auth, authFiles: true });
    await fetch({ UV_DEFAULT_INDEX: own.url, NETRC: netrc });
    const storage = await index();
    const redirecting = await index({
      auth,
      fault: ({ path }) =>
        path.startsWith('/files/') ? { kind: 'redirect', to: `${storage.origin}${path}?signature=x` } : undefined,
    });
    await fetch({ UV_DEFAULT_INDEX: redirecting.url, NETRC: netrc });
    expect(redirecting.asked.every(({ authorization }) => authorization !== undefined)).toBe(true);
    expect(storage.asked).toHaveLength(1);
    expect(storage.asked[0]?.authorization).toBeUndefined();
  });

  test('a password from the keyring, where uv is set to ask it', async () => {
    const bin = await mkdtemp(join(home, 'bin-'));
    const { url, asked } = await index({ auth: { username: 'me', password: 'from the ring' } });
    const script = `#!/bin/sh\n[ "$1 $2 $3" = "get ${url} me" ] && echo 'from the ring'\n`;
    await writeFile(join(bin, 'keyring'), script, { mode: 0o755 });
    const environment = { UV_DEFAULT_INDEX: url.replace('//', '//me@'), PATH: bin };
    await expect(fetch(environment)).rejects.toMatchObject({ code: 'registry-unauthorized' });
    await fetch({ ...environment, UV_KEYRING_PROVIDER: 'subprocess' });
    expect(asked[1]?.authorization).toBe(`Basic ${Buffer.from('me:from the ring').toString('base64')}`);
  });

  test('a file of certificates that is not there is said, not passed over', async () => {
    const { url } = await index();
    const secure = { UV_DEFAULT_INDEX: url.replace('http:', 'https:'), SSL_CERT_FILE: join(home, 'gone.pem') };
    await expect(fetch(secure)).rejects.toMatchObject({ code: 'certificate-unreadable', exit: 2 });
  });

  test.each([401, 403])('%i is told as what it is, without the credentials', async (status) => {
    const { url } = await index({ fault: () => ({ kind: 'status', status }) });
    const error = await fetch({ UV_DEFAULT_INDEX: url.replace('//', '//me:hunter2@') }).catch(
      (found: unknown) => found,
    );
    expect(error).toMatchObject({ code: 'registry-unauthorized', exit: 5 });
    expect(JSON.stringify(error) + String((error as Error).stack)).not.toContain('hunter2');
  });

  test('what passes is tried again: 500, 429, a closed connection', async () => {
    const faults = [
      { kind: 'status', status: 500 },
      { kind: 'status', status: 429, headers: { 'retry-after': '0' } },
      { kind: 'cut', after: 0 },
    ] as const;
    const { url, asked } = await index({
      fault: ({ path }, count) => (path === '/simple/pkg/' && count <= 2 ? faults[count - 1] : undefined),
    });
    await fetch({ UV_DEFAULT_INDEX: url });
    expect(asked).toHaveLength(4);
  });

  test.each(['cut', 'stall'] as const)('a file that is %s is taken up where it broke off', async (kind) => {
    const { url, asked } = await index({
      fault: ({ path }, count) => (path.startsWith('/files/') && count <= 2 ? { kind, after: 100_000 } : undefined),
    });
    const big = wheel({ name: 'big', version: '1', files: { x: noise(400_000) } });
    open.at(-1)!.add('big', big);
    const wanted = artifact({
      name: 'big',
      version: '1',
      file: big.file,
      integrity: integrityFromHex('sha256', big.sha256),
      size: big.bytes.length,
    });
    expect((await fetch({ UV_DEFAULT_INDEX: url }, wanted)).equals(big.bytes)).toBe(true);
    const ranges = asked.filter(({ path }) => path.startsWith('/files/')).map(({ range }) => range);
    expect(ranges).toEqual([undefined, 'bytes=100000-', 'bytes=200000-']);
  });

  test('a silent index is given up', async () => {
    const { url } = await index({ fault: () => ({ kind: 'silent' }) });
    const started = Date.now();
    await expect(fetch({ UV_DEFAULT_INDEX: url })).rejects.toMatchObject({ code: 'registry-unavailable', exit: 5 });
    expect(Date.now() - started).toBeLessThan(15_000);
  });

  test('nobody there', async () => {
    const gone = await index();
    await gone.close();
    open.pop();
    await expect(fetch({ UV_DEFAULT_INDEX: gone.url })).rejects.toMatchObject({ code: 'registry-unavailable' });
  });

  test.each<[string, IndexOptions['fault']]>([
    ['garbage as JSON', () => ({ kind: 'body', type: 'application/vnd.pypi.simple.v1+json', text: '{"files": [' })],
    ['another JSON', () => ({ kind: 'body', type: 'application/json', text: '{"detail": "no"}' })],
    [
      'a newer API',
      () => ({ kind: 'body', type: 'application/json', text: '{"meta":{"api-version":"2.0"},"files":[]}' }),
    ],
    ['a picture', () => ({ kind: 'body', type: 'image/png', text: 'x' })],
    ['redirects without end', ({ path }) => ({ kind: 'redirect', to: path })],
    ['a redirect to a file', () => ({ kind: 'redirect', to: 'file:///etc/passwd' })],
    ['418', () => ({ kind: 'status', status: 418 })],
  ])('%s', async (_, fault) => {
    const { url } = await index({ ...(fault ? { fault } : {}) });
    await expect(fetch({ UV_DEFAULT_INDEX: url })).rejects.toMatchObject({ code: 'registry-invalid', exit: 5 });
  });

  test('a login page instead of the index has no files', async () => {
    const { url } = await index({
      fault: () => ({ kind: 'body', type: 'text/html', text: '<html><a href="javascript:x()">log in</a></html>' }),
    });
    await expect(fetch({ UV_DEFAULT_INDEX: url })).rejects.toMatchObject({ code: 'artifact-unavailable' });
  });

  test('an abort ends it at once', async () => {
    const { url } = await index({ fault: ({ path }) => (path.startsWith('/files/') ? { kind: 'silent' } : undefined) });
    const signal = AbortSignal.timeout(150);
    const started = Date.now();
    const chunks = pypi.fetch(artifact(), { ...options({ UV_DEFAULT_INDEX: url, UV_HTTP_TIMEOUT: '60' }), signal });
    const drain = async () => {
      for await (const _ of chunks);
    };
    await expect(drain()).rejects.toThrow();
    expect(Date.now() - started).toBeLessThan(20_000);
  });
});

describe('proxies', () => {
  let proxy: Server;
  const through: string[] = [];
  beforeAll(async () => {
    // Forwards plain requests in absolute form and tunnels, as curl's -x expects.
    proxy = createServer(async (request, response) => {
      through.push(request.url ?? '');
      const answer = await globalThis.fetch(request.url ?? '', {
        headers: { accept: request.headers.accept ?? '*/*' },
      });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
      response.end(Buffer.from(await answer.arrayBuffer()));
    });
    proxy.on('connect', (request, socket, head) => {
      through.push(request.url ?? '');
      const [host = '', port = ''] = (request.url ?? '').split(':');
      const target = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        target.write(head);
        target.pipe(socket).pipe(target);
      });
      target.on('error', () => socket.destroy());
      socket.on('error', () => target.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    proxy.closeAllConnections();
    proxy.close();
  });

  test('are used as the environment says, and not for NO_PROXY', async () => {
    const { url } = await index();
    const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    through.length = 0;
    await fetch({ UV_DEFAULT_INDEX: url, HTTP_PROXY: address });
    expect(through.length).toBeGreaterThan(0);
    through.length = 0;
    await fetch({ UV_DEFAULT_INDEX: url, PIP_PROXY: address });
    expect(through.length).toBeGreaterThan(0);
    through.length = 0;
    await fetch({ UV_DEFAULT_INDEX: url, HTTP_PROXY: address, NO_PROXY: '127.0.0.1' });
    expect(through).toEqual([]);
  });

  test('a SOCKS proxy is refused, not ignored', async () => {
    const { url } = await index();
    const error = fetch({ UV_DEFAULT_INDEX: url, ALL_PROXY: 'socks5://127.0.0.1:1' });
    await expect(error).rejects.toMatchObject({ code: 'proxy-unsupported', exit: 2 });
  });
});

/** Bytes that do not compress. */
function noise(length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update('noise').digest();
}
