import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { download } from '../../../builders/debian/download.ts';
import { fetchDeb } from '../../../builders/debian/index.ts';
import type { DebArtifact } from '../../../builders/index.ts';
import { integrityFromHex } from '../../../digest/index.ts';
import { DebianMirror } from '../../fakes/debian-mirror.ts';

const FILE = 'pool/main/g/g++/libc++1_1.0+x~y-1_amd64.deb';
const BYTES = Buffer.alloc(100_000, 'deb');

let mirror: DebianMirror;

beforeEach(async () => {
  mirror = await DebianMirror.start();
});

afterEach(async () => {
  await mirror.close();
});

function artifact(more: Partial<DebArtifact> = {}): DebArtifact {
  return {
    kind: 'deb',
    name: 'libc++1',
    version: '1.0+x~y-1',
    file: FILE,
    integrity: integrityFromHex('sha256', '00'.repeat(32)),
    index: 'trixie',
    architecture: 'amd64',
    ...more,
  };
}

async function bytesOf(one: DebArtifact, environment: Record<string, string> = {}): Promise<Buffer> {
  return buffer(fetchDeb(one, { environment: { ...mirror.environment, ...environment } }));
}

describe('fetchDeb', () => {
  test('finds a deb by its path in the pool', async () => {
    mirror.files.set(`/debian/${FILE}`, BYTES);
    expect((await bytesOf(artifact())).equals(BYTES)).toBe(true);
  });

  test('takes those of a security suite from the security archive', async () => {
    mirror.files.set(`/debian-security/${FILE}`, BYTES);
    expect((await bytesOf(artifact({ index: 'trixie-security' }))).equals(BYTES)).toBe(true);
    await expect(bytesOf(artifact())).rejects.toMatchObject({ code: 'artifact-unavailable' });
  });

  test('says what to do about a superseded one', async () => {
    await expect(bytesOf(artifact())).rejects.toMatchObject({
      code: 'artifact-unavailable',
      exit: 5,
      input: 'libc++1@1.0+x~y-1',
      fix: expect.stringMatching(/mcp-build base update.*MCP_BUILD_DEBIAN_SNAPSHOT/),
    });
  });

  test('asks a snapshot service for the day after it was seen, then for that time', async () => {
    const uploaded = '2026-09-12T07:55:41.000Z';
    const environment = { MCP_BUILD_DEBIAN_SNAPSHOT: `http://${mirror.host}/snapshot` };
    mirror.files.set(`/snapshot/archive/debian/20260912T075541Z/${FILE}`, BYTES);
    expect((await bytesOf(artifact({ uploaded }), environment)).equals(BYTES)).toBe(true);
    expect(mirror.requests.map(({ path }) => path)).toEqual([
      `/debian/${FILE}`,
      `/snapshot/archive/debian/20260913T075541Z/${FILE}`,
      `/snapshot/archive/debian/20260912T075541Z/${FILE}`,
    ]);
    await expect(bytesOf(artifact(), environment)).rejects.toMatchObject({ code: 'artifact-unavailable' });
  });

  test('takes a snapshot that names its time as it stands, and the security one beside it', async () => {
    mirror.files.set(`/snapshot/archive/debian-security/20260101T000000Z/${FILE}`, BYTES);
    const environment = {
      MCP_BUILD_DEBIAN_SNAPSHOT: `http://${mirror.host}/snapshot/archive/debian/20260101T000000Z/`,
    };
    expect((await bytesOf(artifact({ index: 'trixie-security' }), environment)).equals(BYTES)).toBe(true);
  });

  test.each([
    '../etc/passwd.deb',
    'pool/../../x.deb',
    '/pool/main/x.deb',
    'pool/main/x.deb?y',
    'pool/main//x.deb',
    'pool/main/x.deb#.deb',
    'pool/main/%2e%2e/x.deb',
    'pool/main/x.tar',
    'dists/x.deb',
  ])('asks nobody for %s', async (file) => {
    await expect(bytesOf(artifact({ file }))).rejects.toMatchObject({ code: 'artifact-invalid', input: 'libc++1' });
    expect(mirror.requests).toEqual([]);
  });

  test('continues a broken transfer where it broke', async () => {
    mirror.files.set(`/debian/${FILE}`, BYTES);
    mirror.faults.set(`/debian/${FILE}`, { kind: 'break', after: 30_000, times: 2 });
    expect((await bytesOf(artifact())).equals(BYTES)).toBe(true);
    expect(mirror.requests.map(({ range }) => range)).toEqual([undefined, 'bytes=30000-', 'bytes=60000-']);
  });

  test('gives up on a transfer that keeps breaking', async () => {
    mirror.files.set(`/debian/${FILE}`, BYTES);
    mirror.faults.set(`/debian/${FILE}`, { kind: 'break', after: 10, times: 100 });
    await expect(bytesOf(artifact())).rejects.toMatchObject({ code: 'mirror-unavailable', exit: 5 });
  });

  test('cuts off what is longer than the lock says', async () => {
    mirror.files.set(`/debian/${FILE}`, BYTES);
    await expect(bytesOf(artifact({ size: 99_999 }))).rejects.toMatchObject({ code: 'too-large' });
  });

  test.each([401, 403, 400])('an answer of %i is no absence', async (status) => {
    mirror.faults.set(`/debian/${FILE}`, { kind: 'status', status });
    await expect(bytesOf(artifact())).rejects.toMatchObject({ code: 'mirror-unavailable', exit: 5 });
  });

  test('sends the credentials of the URL and prints none', async () => {
    const environment = { MCP_BUILD_DEBIAN_MIRROR: `http://user:s%40cret@${mirror.host}/debian` };
    mirror.files.set(`/debian/${FILE}`, BYTES);
    await bytesOf(artifact(), environment);
    expect(mirror.requests[0]?.authorization).toBe(`Basic ${Buffer.from('user:s@cret').toString('base64')}`);
    mirror.faults.set(`/debian/${FILE}`, { kind: 'status', status: 403 });
    const error = await bytesOf(artifact(), environment).catch((caught: unknown) => caught);
    expect(JSON.stringify({ ...(error as object), message: String(error) })).not.toMatch(/cret|user:/);
  });
});

describe('download', () => {
  const options = { mirror: { proxy: undefined, noProxy: undefined }, limit: 1_000_000, retries: 1 };

  test('gives up on a server that sends nothing more', async () => {
    mirror.files.set('/x', BYTES);
    mirror.faults.set('/x', { kind: 'stall', after: 10 });
    const chunks = await download(`http://${mirror.host}/x`, { ...options, retries: 0, stall: 100 });
    await expect(buffer(chunks!)).rejects.toMatchObject({ code: 'mirror-unavailable' });
  });

  test('tries again after a 5xx, but not for ever', async () => {
    mirror.faults.set('/x', { kind: 'status', status: 503 });
    await expect(download(`http://${mirror.host}/x`, options)).rejects.toMatchObject({ code: 'mirror-unavailable' });
    expect(mirror.requests).toHaveLength(2);
  });

  test('a host that is not there is a network error', async () => {
    await expect(download('http://127.0.0.1:1/x', options)).rejects.toMatchObject({
      code: 'mirror-unavailable',
      exit: 5,
    });
  });

  test('goes through the proxy that is set', async () => {
    mirror.files.set('http://mirror.example.test/x', BYTES);
    const proxied = { ...options, mirror: { proxy: `http://${mirror.host}`, noProxy: undefined } };
    const chunks = await download('http://mirror.example.test/x', proxied);
    expect((await buffer(chunks!)).equals(BYTES)).toBe(true);
  });
});
