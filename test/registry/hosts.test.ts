import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { LookupFunction } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { copy, documentOf, openLayout, openRemote, type RemoteOptions } from '../../registry/index.ts';
import { isPrivateAddress, publicOnly } from '../../registry/remote/address.ts';
import { isExempt, proxyFor } from '../../registry/remote/proxy.ts';
import { type Authority, makeAuthority } from '../fakes/certificates.ts';
import { type ConnectProxy, startConnectProxy } from '../fakes/connect-proxy.ts';
import {
  inject,
  type OciAuth,
  type OciRegistry,
  type OciRegistryOptions,
  startOciRegistry,
} from '../fakes/oci-registry.ts';
import { bufferOf, bytesOf, put, writeImage } from './image.ts';

const QUICK: RemoteOptions = {
  patience: { connect: 2000, stall: 500 },
  persistence: { attempts: 1, total: 500, pause: 5 },
};
const code = (name: string) => expect.objectContaining({ code: name });
const one = documentOf(Buffer.from('hello'), 'text/plain');
const PASSWORD = 'correct-horse';
const credential = { kind: 'basic', username: 'user', password: PASSWORD } as const;
const BASIC: OciAuth = { scheme: 'basic', username: 'user', password: PASSWORD };
const BEARER: OciAuth = { scheme: 'bearer', username: 'user', password: PASSWORD };

let authority: Authority & Disposable;
let folder: string;
const open: AsyncDisposable[] = [];

beforeAll(async () => {
  authority = makeAuthority();
  folder = await mkdtemp(join(tmpdir(), 'hosts-'));
});
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});
afterAll(async () => {
  authority[Symbol.dispose]();
  await rm(folder, { recursive: true, force: true });
});

async function start(options: OciRegistryOptions = {}): Promise<OciRegistry> {
  const registry = await startOciRegistry(options);
  open.push(registry);
  return registry;
}
async function proxyTo(ports: Record<string, number>): Promise<ConnectProxy> {
  const proxy = await startConnectProxy(ports);
  open.push(proxy);
  return proxy;
}
const remoteOf = (host: string, options: RemoteOptions = {}) =>
  openRemote({ registry: host, repository: 'team/server' }, { ...QUICK, ...options });

/** No secret, and no token made from it, in anything a host was sent. */
function expectNoCredentials(registry: OciRegistry): void {
  for (const seen of registry.seen) {
    expect(seen.headers.authorization, `${seen.method} ${seen.path}`).toBeUndefined();
    expect(JSON.stringify(seen)).not.toContain(PASSWORD);
    expect(JSON.stringify(seen)).not.toContain(Buffer.from(`user:${PASSWORD}`).toString('base64'));
  }
}

describe.each([
  ['Basic', BASIC],
  ['Bearer', BEARER],
])('credentials (%s)', (_, auth) => {
  it('do not follow a redirect to another host', async () => {
    const registry = await start({ auth });
    const storage = await start();
    await put(remoteOf(registry.host, { credential }), one);
    storage.repository('team/server').blobs.set(one.descriptor.digest, Buffer.from(one.bytes));
    const location = `http://${storage.host}/v2/team/server/blobs/${one.descriptor.digest}?signed=yes`;
    inject(
      registry,
      (seen) => seen.method === 'GET' && seen.headers.authorization !== undefined && seen.path.includes('/blobs/'),
      ({ response }) => void response.writeHead(307, { location }).end(),
    );
    expect((await bufferOf(remoteOf(registry.host, { credential }).read(one.descriptor))).toString()).toBe('hello');
    expect(storage.seen).toHaveLength(1);
    expectNoCredentials(storage);
  });

  it('are not given to the host a redirect leads to, when it asks for them', async () => {
    const registry = await start({ auth });
    const thief = await start({ auth: BASIC });
    inject(
      registry,
      (seen) => seen.headers.authorization !== undefined && seen.path.includes('/blobs/'),
      ({ response }) => void response.writeHead(302, { location: `http://${thief.host}/v2/` }).end(),
      10,
    );
    await expect(bufferOf(remoteOf(registry.host, { credential }).read(one.descriptor))).rejects.toThrow(
      code('unauthorized'),
    );
    expect(thief.seen.length).toBeGreaterThan(0);
    expectNoCredentials(thief);
  });

  it('do not follow the Location of an upload', async () => {
    const registry = await start({ auth });
    const storage = await start();
    inject(
      registry,
      (seen) => seen.method === 'POST' && seen.headers.authorization !== undefined && seen.path.includes('uploads'),
      ({ response }) => {
        response
          .writeHead(202, { location: `http://${storage.host}/v2/team/server/blobs/uploads/x?_state=a%2Bb%3D` })
          .end();
      },
    );
    await expect(put(remoteOf(registry.host, { credential }), one)).rejects.toThrow(code('not-found'));
    expect(storage.seen.map((seen) => seen.method)).toEqual(['PUT']);
    expectNoCredentials(storage);
  });

  it('do not follow a Link', async () => {
    const registry = await start({ auth });
    const other = await start();
    const local = await openLayout(join(folder, `link-${auth.scheme}`));
    const image = await writeImage(local);
    await copy(local, remoteOf(registry.host, { credential }), image);
    inject(
      registry,
      (seen) => seen.path.includes('/referrers/') && seen.headers.authorization !== undefined,
      ({ path, response }) => {
        const headers = {
          'content-type': 'application/vnd.oci.image.index.v1+json',
          link: `<http://${other.host}${path}?next>; rel="next"`,
        };
        response.writeHead(200, headers).end('{"schemaVersion":2,"manifests":[]}');
      },
      10,
    );
    await expect(remoteOf(registry.host, { credential }).referrers(image.digest)).rejects.toThrow(
      code('referrers-unavailable'),
    );
    expect(other.seen).toEqual([]);
  });
});

describe('redirects', () => {
  it('in a circle end', async () => {
    const registry = await start();
    inject(
      registry,
      () => true,
      ({ path, response }) => void response.writeHead(307, { location: path }).end(),
      100,
    );
    await expect(bufferOf(remoteOf(registry.host).read(one.descriptor))).rejects.toThrow(code('registry-unavailable'));
    expect(registry.seen.length).toBeLessThan(10);
  });

  it.each(['file:///etc/passwd', 'http://user:pass@127.0.0.1/', 'http://[', ''])(
    'to %j are refused',
    async (location) => {
      const registry = await start();
      inject(
        registry,
        () => true,
        ({ response }) => void response.writeHead(307, { location }).end(),
        100,
      );
      await expect(bufferOf(remoteOf(registry.host).read(one.descriptor))).rejects.toThrow(
        code('registry-unavailable'),
      );
    },
  );

  it('to plain HTTP elsewhere are refused', async () => {
    const registry = await start();
    inject(
      registry,
      () => true,
      ({ response }) => void response.writeHead(307, { location: 'http://storage.example.test/x' }).end(),
      100,
    );
    await expect(bufferOf(remoteOf(registry.host).read(one.descriptor))).rejects.toThrow(code('plain-http-refused'));
  });

  it('of a registry with TLS to its own name without are taken as with', async () => {
    const registry = await start({ tls: authority.issue(['127.0.0.1']) });
    await put(remoteOf(registry.host, { certificates: { ca: authority.ca } }), one);
    inject(
      registry,
      (seen) => seen.method === 'GET',
      ({ path, response }) => void response.writeHead(307, { location: `http://127.0.0.1${path}` }).end(),
    );
    const remote = remoteOf(registry.host, { certificates: { ca: authority.ca } });
    expect((await bufferOf(remote.read(one.descriptor))).toString()).toBe('hello');
  });
});

describe('a public registry', () => {
  /** Reached through a proxy, since nothing public can be reached here; a name that isn't private is a public one. */
  async function publicRegistry(options: OciRegistryOptions = {}, hosts: Record<string, number> = {}) {
    const registry = await start({ ...options, tls: authority.issue(['registry.example.test', 'token.example.test']) });
    const proxy = await proxyTo({
      'registry.example.test': registry.port,
      'token.example.test': registry.port,
      ...hosts,
    });
    const remote = remoteOf('registry.example.test', {
      credential,
      certificates: { ca: authority.ca },
      environment: { HTTPS_PROXY: proxy.url },
    });
    return { registry, proxy, remote };
  }

  it('is reached through the proxy', async () => {
    const { proxy, remote, registry } = await publicRegistry();
    await put(remote, one);
    expect((await bufferOf(remote.read(one.descriptor))).toString()).toBe('hello');
    expect(new Set(proxy.tunnels)).toEqual(new Set(['registry.example.test:443']));
    expect(registry.seen.every((seen) => seen.headers.host === 'registry.example.test')).toBe(true);
  });

  it('is not shown what the proxy is for', async () => {
    const registry = await start({ tls: authority.issue(['registry.example.test']) });
    const proxy = await proxyTo({ 'registry.example.test': registry.port });
    const environment = { HTTPS_PROXY: proxy.url.replace('//', `//user:${PASSWORD}@`) };
    await remoteOf('registry.example.test', { certificates: { ca: authority.ca }, environment }).ping();
    expect(proxy.headers[0]?.['proxy-authorization']).toBe(
      `Basic ${Buffer.from(`user:${PASSWORD}`).toString('base64')}`,
    );
    expect(JSON.stringify(registry.seen)).not.toContain(proxy.headers[0]?.['proxy-authorization']);
    expectNoCredentials(registry);
  });

  it('may have its token server on another host', async () => {
    const { remote, proxy } = await publicRegistry({ auth: { ...BEARER, realm: 'https://token.example.test/token' } });
    await put(remote, one);
    expect(proxy.tunnels).toContain('token.example.test:443');
  });

  it.each([
    'https://127.0.0.1:1/token',
    'https://10.0.0.1/token',
    'https://192.168.1.1/token',
    'https://169.254.169.254/latest/meta-data',
    'https://[::1]/token',
    'https://[fd00::1]/token',
    'https://[::ffff:10.0.0.1]/token',
    'https://localhost/token',
    'https://2130706433/token',
    'https://0x7f.1/token',
  ])('may not have it at %s', async (realm) => {
    const { remote, proxy } = await publicRegistry({ auth: { ...BEARER, realm } });
    await expect(put(remote, one)).rejects.toThrow(code('address-refused'));
    expect(new Set(proxy.tunnels)).toEqual(new Set(['registry.example.test:443']));
  });

  it.each([
    ['http://token.example.test/token', 'plain-http-refused'],
    ['https://user:pass@token.example.test/token', 'registry-unavailable'],
    ['file:///etc/passwd', 'registry-unavailable'],
    ['token', 'registry-unavailable'],
  ])('may not have it at %s', async (realm, expected) => {
    const { remote, proxy } = await publicRegistry({ auth: { ...BEARER, realm } });
    await expect(put(remote, one)).rejects.toThrow(code(expected));
    expect(new Set(proxy.tunnels)).toEqual(new Set(['registry.example.test:443']));
  });

  it('may not redirect into this network, nor send uploads there', async () => {
    const inside = await start();
    const { remote, registry } = await publicRegistry();
    await put(remote, one);
    inject(
      registry,
      (seen) => seen.method === 'GET',
      ({ response }) => void response.writeHead(307, { location: `https://${inside.host}/` }).end(),
      10,
    );
    await expect(bufferOf(remote.read(one.descriptor))).rejects.toThrow(code('address-refused'));
    inject(
      registry,
      (seen) => seen.method === 'POST',
      ({ response }) => void response.writeHead(202, { location: `https://${inside.host}/` }).end(),
      10,
    );
    await expect(put(remote, one)).rejects.toThrow(code('address-refused'));
    expect(inside.seen).toEqual([]);
  });

  it('is not talked to without TLS', async () => {
    const registry = await start();
    const proxy = await proxyTo({ 'registry.example.test': registry.port });
    const remote = remoteOf('registry.example.test', { environment: { HTTPS_PROXY: proxy.url } });
    await expect(remote.ping()).rejects.toThrow(code('plain-http-refused'));
    expect(registry.seen).toEqual([]);
  });

  it('is out of reach when the proxy refuses', async () => {
    const proxy = await proxyTo({});
    const remote = remoteOf('registry.example.test', { environment: { HTTPS_PROXY: proxy.url } });
    await expect(remote.ping()).rejects.toThrow(code('registry-unavailable'));
  });
});

describe('addresses', () => {
  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.0.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '::1',
    '::',
    'fe80::1%eth0',
    'fd12::1',
    '::ffff:127.0.0.1',
    '64:ff9b::a00:1',
  ])('of this network: %s', (ip) => expect(isPrivateAddress(ip)).toBe(true));
  it.each([
    '1.1.1.1',
    '172.32.0.1',
    '192.169.0.1',
    '100.128.0.1',
    '2606:4700::1111',
    '::ffff:1.1.1.1',
    '64:ff9b::101:101',
  ])('of the world: %s', (ip) => expect(isPrivateAddress(ip)).toBe(false));

  it('are looked at when a name is resolved, where it can not change any more', async () => {
    const lookup: LookupFunction = publicOnly('registry.example.test');
    const error = await new Promise((resolve) => lookup('localhost', { all: true }, (failure) => resolve(failure)));
    expect(error).toMatchObject({ code: 'address-refused' });
  });
});

describe('proxies', () => {
  const to = (url: string, environment: Record<string, string>) => proxyFor(new URL(url), environment);
  it('are taken by scheme, lower case first, and never for this machine', () => {
    expect(to('https://a.test', { HTTPS_PROXY: 'http://p:1' })).toBe('http://p:1');
    expect(to('https://a.test', { HTTPS_PROXY: 'http://p:1', https_proxy: 'http://q:1' })).toBe('http://q:1');
    expect(to('https://a.test', { HTTPS_PROXY: 'p:1' })).toBe('http://p:1');
    expect(to('http://a.test', { HTTPS_PROXY: 'http://p:1' })).toBeUndefined();
    expect(to('https://127.0.0.1', { HTTPS_PROXY: 'http://p:1' })).toBeUndefined();
    expect(to('https://localhost:5000', { HTTPS_PROXY: 'http://p:1' })).toBeUndefined();
    expect(() => to('https://a.test', { HTTPS_PROXY: 'socks5://p:1' })).toThrow(code('proxy-invalid'));
    expect(() => to('https://a.test', { HTTPS_PROXY: 'http://' })).toThrow(code('proxy-invalid'));
  });

  it.each([
    ['*', 'https://a.test', true],
    ['a.test', 'https://a.test', true],
    ['a.test', 'https://b.a.test', true],
    ['.a.test', 'https://b.a.test', true],
    ['*.a.test', 'https://b.a.test', true],
    ['a.test', 'https://ba.test', false],
    ['a.test:8443', 'https://a.test', false],
    ['a.test:443', 'https://a.test', true],
    ['x, A.TEST', 'https://a.test', true],
    ['10.0.0.0/8', 'https://10.1.2.3', true],
    ['10.0.0.0/8', 'https://11.1.2.3', false],
    ['10.0.0.1', 'https://10.0.0.1:5000', true],
    ['fd00::/8', 'https://[fd00::1]', true],
    ['10.0.0.0/99', 'https://10.0.0.1', false],
    ['', 'https://a.test', false],
  ])('NO_PROXY=%s for %s: %s', (list, url, expected) => {
    expect(isExempt(new URL(url), list)).toBe(expected);
  });
});

describe('TLS', () => {
  it('is refused where nobody vouches for the certificate, and never done without', async () => {
    const registry = await start({ tls: authority.issue(['127.0.0.1']) });
    await expect(remoteOf(registry.host).ping()).rejects.toThrow(expect.objectContaining({ code: 'tls', exit: 5 }));
    expect(registry.seen).toEqual([]);
  });

  it('is refused where the certificate is for another host', async () => {
    const registry = await start({ tls: authority.issue(['registry.example.test']) });
    await expect(remoteOf(registry.host, { certificates: { ca: authority.ca } }).ping()).rejects.toThrow(code('tls'));
  });

  it('takes authorities and client certificates from certs.d', async () => {
    const registry = await start({ tls: { ...authority.issue(['127.0.0.1']), clientCa: authority.ca } });
    const certificates = { folders: [join(folder, 'certs.d')] };
    await mkdir(join(folder, 'certs.d', registry.host), { recursive: true });
    await writeFile(join(folder, 'certs.d', registry.host, 'ca.crt'), authority.ca);
    await expect(remoteOf(registry.host, { certificates }).ping()).rejects.toThrow(/./);
    const client = authority.issue(['client.example.test']);
    await writeFile(join(folder, 'certs.d', registry.host, 'client.cert'), client.certificate);
    await writeFile(join(folder, 'certs.d', registry.host, 'client.key'), client.key);
    await put(remoteOf(registry.host, { certificates }), one);
    await put(remoteOf(registry.host, { certificates: { ca: authority.ca, client } }), one);
  });

  it('shows the client certificate to the registry only', async () => {
    const client = authority.issue(['client.example.test']);
    const registry = await start({ tls: { ...authority.issue(['127.0.0.1']), clientCa: authority.ca } });
    const storage = await start({ tls: authority.issue(['127.0.0.1']) });
    const shown: boolean[] = [];
    inject(
      registry,
      (seen) => seen.method === 'GET',
      ({ path, response }) => void response.writeHead(307, { location: `https://${storage.host}${path}` }).end(),
    );
    storage.faults.push(({ request }) => {
      shown.push(Object.keys((request.socket as import('node:tls').TLSSocket).getPeerCertificate()).length > 0);
      return false;
    });
    const remote = remoteOf(registry.host, { certificates: { ca: authority.ca, client } });
    await expect(bufferOf(remote.read(one.descriptor))).rejects.toThrow(code('not-found'));
    expect(shown).toEqual([false]);
  });

  it('says when the configured certificates are none', async () => {
    const registry = await start({ tls: authority.issue(['127.0.0.1']) });
    await expect(
      remoteOf(registry.host, { certificates: { client: { certificate: 'x', key: 'y' } } }).ping(),
    ).rejects.toThrow(code('certificate-invalid'));
  });
});

it('an upload of a stream that is not ours to repeat is closed when it fails', async () => {
  const registry = await start();
  let closed = false;
  const bytes = {
    async *[Symbol.asyncIterator]() {
      try {
        yield* bytesOf(Buffer.from('hel'), Buffer.from('lo'));
        yield Buffer.from('!');
      } finally {
        closed = true;
      }
    },
  };
  await expect(remoteOf(registry.host).write(one.descriptor, bytes)).rejects.toThrow(code('integrity'));
  expect(closed).toBe(true);
});
