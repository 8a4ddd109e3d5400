import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hostName, isPublicAddress, permitted } from '../../runner/destination.ts';
import { serverName } from '../../runner/hello.ts';
import { type Decision, type Egress, type EgressOptions, serveEgress } from '../../runner/index.ts';

describe('addresses', () => {
  test.each(['1.1.1.1', '11.0.0.1', '93.184.216.34', '172.32.0.1', '2606:4700::1111', '2a00:1450::1'])(
    '%s is of the internet',
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
    },
  );

  test.each([
    ...[
      '127.0.0.1',
      '127.255.255.254',
      '0.0.0.0',
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '100.64.0.1',
    ],
    ...[
      '169.254.169.254',
      '169.254.170.2',
      '168.63.129.16',
      '100.100.100.200',
      '224.0.0.1',
      '255.255.255.255',
      '198.18.0.1',
    ],
    ...[
      '::1',
      '::',
      'fe80::1',
      'fe80::1%eth0',
      'fc00::1',
      'fd00:ec2::254',
      'ff02::1',
      '::ffff:127.0.0.1',
      '::ffff:a9fe:a9fe',
      '::127.0.0.1',
    ],
    ...[
      '64:ff9b::7f00:1',
      '64:ff9b:1::a00:1',
      '2002:7f00:1::',
      '2001::1',
      '2001:db8::1',
      '',
      'localhost',
      '1.1.1',
      '0x7f000001',
    ],
  ])('%s is not', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});

describe('names', () => {
  test.each([
    ['API.Example.TEST', 'api.example.test'],
    ['example.test.', 'example.test'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['a_b.example.test', 'a_b.example.test'],
  ])('%s is %s', (text, name) => {
    expect(hostName(text)).toBe(name);
  });

  test.each([
    '',
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '[::1]',
    '::1',
    '1.2.3.4.',
    'a b',
    'a/b',
    'a..b',
    'exa\nmple.test',
    '１２７.０.０.１',
    'x'.repeat(64),
    `${'a.'.repeat(130)}b`,
  ])('"%s" is none', (text) => {
    expect(hostName(text)).toBeUndefined();
  });

  test('are permitted with their port, and below a star', () => {
    const list = ['api.example.test:443', '*.cdn.example.test:8443'];
    expect(permitted(list, 'api.example.test', 443)).toBe(true);
    expect(permitted(list, 'a.cdn.example.test', 8443)).toBe(true);
    expect(permitted(list, 'a.b.cdn.example.test', 8443)).toBe(true);
    for (const [host, port] of [
      ['api.example.test', 80],
      ['x.api.example.test', 443],
      ['cdn.example.test', 8443],
      ['evilcdn.example.test', 8443],
      ['api.example.test.evil.test', 443],
    ] as const) {
      expect(permitted(list, host, port)).toBe(false);
    }
  });
});

describe('the name in a TLS greeting', () => {
  async function greeting(servername: string): Promise<Buffer> {
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    const server = net
      .createServer((socket) =>
        socket.once('data', (bytes) => {
          resolve(bytes);
          socket.destroy();
        }),
      )
      .listen(0, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    const client = tls
      .connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername })
      .on('error', () => undefined);
    const bytes = await promise;
    client.destroy();
    server.close();
    return bytes;
  }

  test('is found once the greeting is whole', async () => {
    const bytes = await greeting('api.example.test');
    expect(serverName(bytes)).toBe('api.example.test');
    expect(serverName(bytes.subarray(0, 3))).toBe('more');
    expect(serverName(bytes.subarray(0, bytes.length - 1))).toBe('more');
    expect(serverName(await greeting(''))).toBeUndefined();
    expect(serverName(Buffer.from('GET / HTTP/1.1'))).toBeUndefined();
  });

  test('is looked for without trust in any length', async () => {
    const bytes = await greeting('api.example.test');
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 5 }), (changes) => {
        const changed = Buffer.from(bytes);
        for (const [at, value] of changes) changed[at] = value;
        const name = serverName(changed);
        expect(name === undefined || typeof name === 'string').toBe(true);
      }),
    );
  });
});

describe('the proxy', () => {
  let folder: string;
  let upstream: http.Server;
  let port: number;
  let open: Egress[] = [];
  const seen: string[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'egress-'));
    upstream = http.createServer((request, response) => {
      seen.push(`${request.method} ${request.headers.host} ${request.url}`);
      response.setHeader('x-upstream', 'yes');
      request.pipe(response);
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    port = (upstream.address() as AddressInfo).port;
  });
  afterEach(async () => {
    await Promise.all(open.map((one) => one.close()));
    open = [];
    seen.length = 0;
  });
  afterAll(async () => {
    upstream.closeAllConnections();
    upstream.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function proxy(options: Partial<EgressOptions> = {}) {
    const socket = join(folder, `${Math.random()}.sock`);
    const decisions: Decision[] = [];
    const dialled: string[] = [];
    const resolved: string[] = [];
    const egress = await serveEgress(socket, {
      destinations: [
        'ok.example.test:443',
        'ok.example.test:80',
        'rebound.example.test:443',
        'mixed.example.test:443',
        'gone.example.test:443',
      ],
      onDecision: (decision) => decisions.push(decision),
      async resolve(host) {
        resolved.push(host);
        if (host.startsWith('rebound')) return ['169.254.169.254'];
        if (host.startsWith('mixed')) return ['11.0.0.1', '10.0.0.1'];
        if (host.startsWith('gone')) throw new Error('ENOTFOUND');
        return ['11.0.0.1'];
      },
      async dial(address, to, onread) {
        dialled.push(`${address}:${to}`);
        const connection = net.connect({ port, host: '127.0.0.1', ...(onread ? { onread } : {}) });
        await new Promise((resolve) => connection.once('connect', resolve));
        return connection;
      },
      ...options,
    });
    open.push(egress);
    return { socket, egress, decisions, dialled, resolved };
  }

  /** What comes back for raw bytes. */
  function raw(socket: string, ...writes: (string | Buffer)[]): Promise<string> {
    return new Promise((resolve) => {
      const connection = net.connect(socket);
      let text = '';
      connection.on('data', (chunk) => {
        text += chunk.toString('latin1');
        const next = writes.shift();
        if (next !== undefined) connection.write(next);
      });
      connection.on('error', () => undefined).on('close', () => resolve(text));
      connection.write(writes.shift() ?? '');
    });
  }

  const connect = (target: string) => `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`;
  const ask = 'GET /x HTTP/1.1\r\nhost: ok.example.test\r\nconnection: close\r\n\r\n';

  test('tunnels to what is permitted, at the address that was judged', async () => {
    const { socket, decisions, dialled } = await proxy();
    const answer = await raw(socket, connect('OK.example.test.:443'), ask);
    expect(answer).toMatch(/^HTTP\/1\.1 200 Connection Established\r\n\r\nHTTP\/1\.1 200 OK/);
    expect(dialled).toEqual(['11.0.0.1:443']);
    expect(decisions).toMatchObject([
      { host: 'ok.example.test', port: 443, allowed: true, reason: 'permitted', address: '11.0.0.1' },
    ]);
  });

  test('passes plain requests on, with the host of their address and no other', async () => {
    const { socket, decisions } = await proxy();
    const answer = await raw(
      socket,
      'POST http://ok.example.test/a?b=c HTTP/1.1\r\nhost: evil.example.test\r\nproxy-authorization: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*x-upstream: yes[\s\S]*body/);
    expect(seen).toEqual(['POST ok.example.test /a?b=c']);
    expect(decisions).toMatchObject([{ host: 'ok.example.test', port: 80, allowed: true }]);
  });

  test.each<[string, string, Decision['reason']]>([
    ['another host', 'other.example.test:443', 'not-permitted'],
    ['another port', 'ok.example.test:22', 'not-permitted'],
    ['an address', '93.184.216.34:443', 'not-a-name'],
    ['the metadata address', '169.254.169.254:80', 'not-a-name'],
    ['an address in disguise', '0xa9fea9fe:80', 'not-a-name'],
    ['loopback', '[::1]:443', 'not-a-name'],
    ['localhost', 'localhost:443', 'not-permitted'],
    ['a name that leads inside', 'rebound.example.test:443', 'internal-address'],
    ['a name that leads inside and outside', 'mixed.example.test:443', 'internal-address'],
    ['a name without address', 'gone.example.test:443', 'unresolved'],
    ['a port of nothing', 'ok.example.test:0', 'malformed'],
    ['no port', 'ok.example.test', 'malformed'],
  ])('refuses a tunnel to %s, and says so', async (_name, target, reason) => {
    const { socket, decisions, dialled } = await proxy();
    const answer = await raw(socket, connect(target));
    expect(answer).toMatch(/^HTTP\/1\.1 40[03] /);
    expect(decisions).toMatchObject([{ allowed: false, reason }]);
    expect(dialled).toEqual([]);
  });

  test.each<[string, string, Decision['reason']]>([
    ['another host', 'http://other.example.test/', 'not-permitted'],
    ['the metadata service', 'http://169.254.169.254/latest/meta-data/', 'not-a-name'],
    ['https without a tunnel', 'https://ok.example.test/?token=x', 'no-tunnel'],
    ['a file', 'file:///etc/passwd', 'malformed'],
    ['the proxy itself', '/', 'malformed'],
    ['a name behind a user', 'http://ok.example.test@evil.example.test/', 'not-permitted'],
  ])('refuses a request to %s', async (_name, target, reason) => {
    const { socket, decisions, dialled } = await proxy();
    expect(await raw(socket, `GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 40[03] /,
    );
    expect(decisions).toMatchObject([{ allowed: false, reason }]);
    expect(JSON.stringify(decisions)).not.toContain('token');
    expect(dialled).toEqual([]);
  });

  test('asks no resolver for a name that is not permitted, as the question would carry data', async () => {
    const { socket, resolved } = await proxy();
    await raw(socket, connect('stolen-data.evil.example.test:443'));
    expect(resolved).toEqual([]);
  });

  test('resolves once: a second answer of a name has no effect', async () => {
    let turn = 0;
    const { socket, dialled } = await proxy({
      resolve: async () => {
        turn += 1;
        return turn === 1 ? ['11.0.0.1'] : ['127.0.0.1'];
      },
    });
    await raw(socket, connect('ok.example.test:443'), ask);
    expect(dialled).toEqual(['11.0.0.1:443']);
    expect(turn).toBe(1);
    expect(await raw(socket, connect('ok.example.test:443'))).toMatch(/ 403 /);
  });

  test('ends a tunnel in which another name is asked for', async () => {
    const { socket, decisions } = await proxy();
    const tunnelled = (servername: string) =>
      new Promise<Error>((resolve) => {
        const outer = net.connect(socket, () => outer.write(connect('ok.example.test:443')));
        outer.once('data', () => {
          const inner = tls.connect({ socket: outer, servername });
          inner.on('error', resolve).on('close', () => resolve(new Error('closed')));
        });
      });
    await tunnelled('fronted.example.test');
    expect(decisions.map(({ reason }) => reason)).toEqual(['permitted', 'other-name']);
    expect(seen).toEqual([]);
    decisions.length = 0;
    await tunnelled('ok.example.test');
    expect(decisions.map(({ reason }) => reason)).toEqual(['permitted']);
  });

  test('lets everything of the internet through to learn from it, and nothing else', async () => {
    const { socket, decisions, dialled } = await proxy({ learn: true, destinations: [] });
    expect(await raw(socket, connect('anything.example.test:443'), ask)).toMatch(/Connection Established/);
    await raw(socket, connect('rebound.example.test:443'));
    await raw(socket, connect('10.0.0.1:443'));
    expect(decisions.map(({ reason }) => reason)).toEqual(['learned', 'internal-address', 'not-a-name']);
    expect(dialled).toHaveLength(1);
  });

  test('says when the forwarder has reached it', async () => {
    const { socket, egress } = await proxy();
    await raw(socket, 'GET /mcp-build/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    await egress.ready;
  });

  test('outlives garbage', async () => {
    const { socket } = await proxy();
    for (const bytes of [
      '\0\0\0\0\r\n\r\n',
      'GET\r\n\r\n',
      `GET http://${'x'.repeat(30_000)}/ HTTP/1.1\r\n\r\n`,
      'CONNECT \r\n\r\n',
    ]) {
      await raw(socket, bytes);
    }
    expect(await raw(socket, connect('ok.example.test:443'), ask)).toMatch(/Connection Established/);
  });

  test('bounds connections', async () => {
    const { socket, decisions } = await proxy();
    const connections = Array.from({ length: 300 }, () => net.connect(socket).on('error', () => undefined));
    const deadline = Date.now() + 5_000;
    while (decisions.length < 44 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(decisions.every(({ reason }) => reason === 'too-many')).toBe(true);
    expect(decisions.length).toBe(44);
    for (const connection of connections) connection.destroy();
  });
});
