import { mkdtemp, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { frameHeader, unframe } from '../../gateway/daemon/wire.ts';
import {
  type Daemon,
  daemonClient,
  type Offered,
  type OpenChannel,
  parseConfig,
  serveDaemon,
} from '../../gateway/index.ts';
import { fakeServer, runGateway, textOf, until } from './gateway.ts';

let folder: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-daemon-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Started {
  readonly daemon: Daemon;
  readonly socket: string;
  readonly said: string[];
  readonly pids: number[];
  [Symbol.asyncDispose](): Promise<void>;
}

async function started(more: Partial<Offered> = {}): Promise<Started> {
  const socket = join(folder, `${++count}.sock`);
  const said: string[] = [];
  const pids: number[] = [];
  const daemon = await serveDaemon({
    place: { kind: 'path', path: socket, gid: process.getgid?.() },
    async find(name) {
      if (name === 'fake') return { open: fakeServer({}, pids), digest: 'sha256:one', most: 3, ...more };
      throw new McpBuildError({ code: 'server-unknown', message: `no ${name}` });
    },
    say: (line) => said.push(line),
  });
  return { daemon, socket, said, pids, [Symbol.asyncDispose]: () => daemon.close() };
}

/** Speaks to the socket as somebody does who isn't `mcp-build serve`. */
function raw(socketPath: string, method: string, path: string, headers: object = {}, body?: string) {
  return new Promise<{ readonly status: number; readonly code: string }>((resolve, reject) => {
    const request = http.request({ socketPath, method, path, headers: { ...headers }, agent: false }, (response) => {
      let text = '';
      response.on('data', (part) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, code: JSON.parse(text || '{}').code }));
    });
    request.on('upgrade', (_response, connection) => {
      connection.destroy();
      resolve({ status: 101, code: '' });
    });
    request.on('error', reject);
    request.end(body);
  });
}

const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

const UPGRADE = { connection: 'Upgrade', upgrade: 'mcp-build-stdio' };

describe('a gateway without Docker', () => {
  test('serves what a daemon starts, and says which image it is', async () => {
    await using from = await started();
    const channel = daemonClient(from.socket);
    await using running = await runGateway({ prepare: () => ({ open: channel.channel('fake', {}), digest: 'x' }) });
    const session = await running.session('fake');
    expect(textOf(await running.call('fake', session, 'echo', { message: 'hello' }))).toBe('hello');
    const long = 'x'.repeat(3_000_000);
    expect(textOf(await running.call('fake', session, 'echo', { message: long }))).toBe(long);
    expect(from.daemon.count().get('fake')).toBe(1);
    expect(await channel.verified('fake')).toBe('sha256:one');
    let digest = '';
    const told = await channel.channel('fake', { onDigest: (is) => (digest = is) })(() => undefined);
    expect(digest).toBe('sha256:one');
    await told.close();
  });

  test('a server that dies is started again; one whose gateway goes away ends', async () => {
    await using from = await started();
    const open = daemonClient(from.socket).channel('fake', {});
    {
      await using running = await runGateway({ prepare: () => ({ open }) });
      const session = await running.session('fake');
      const dead = await running.call('fake', session, 'die');
      expect(dead.error?.code).toBe(-32000);
      await until(async () => (await running.call('fake', session, 'echo', {})).error === undefined, 30_000);
    }
    await until(() => from.pids.every((pid) => !alive(pid)), 30_000);
    expect(from.pids.length).toBeGreaterThan(1);
    expect(from.daemon.count().get('fake')).toBe(0);
  });

  test('is told why a server ended, and what it tried', async () => {
    await using from = await started();
    const incidents: unknown[] = [];
    const open = daemonClient(from.socket).channel('fake', { onIncident: (incident) => incidents.push(incident) });
    const channel = await open(() => undefined);
    from.daemon.incident('fake', { kind: 'egress-refused', host: 'elsewhere.example.test', port: 443 });
    await until(() => incidents.length === 1, 30_000);
    from.daemon.end('fake', 'its image has changed');
    expect(await channel.ended).toBe('its image has changed');
    await channel.close();
    const second = await open(() => undefined);
    await from.daemon.close();
    expect(await second.ended).toBe('the daemon was stopped');
  });

  test('a daemon that isn’t there, or forbids it, is named', async () => {
    const missing = join(folder, 'nobody.sock');
    const fault = await daemonClient(missing)
      .verified('fake')
      .catch((error: unknown) => error);
    expect(isFault(fault, 'daemon-unavailable') && fault.input).toBe(missing);
    await expect(daemonClient(missing).channel('fake', {})(() => undefined)).rejects.toMatchObject({
      code: 'daemon-unavailable',
    });
  });
});

describe('a daemon', () => {
  test('gives a server for its name, and nothing for anything else', async () => {
    await using from = await started();
    const { socket } = from;
    expect(await raw(socket, 'POST', '/servers/fake', UPGRADE)).toEqual({ status: 101, code: '' });
    expect(await raw(socket, 'POST', '/servers/other', UPGRADE)).toEqual({ status: 404, code: 'server-unknown' });
    const invalid = { status: 400, code: 'request-invalid' };
    // Another image, arguments, permissions: there is no way to say them.
    const image = JSON.stringify({ image: 'evil', args: ['--root'], permissions: { network: 'all' } });
    expect(await raw(socket, 'POST', '/servers/fake', { 'content-length': image.length }, image)).toEqual(invalid);
    expect(await raw(socket, 'POST', '/servers/fake', { 'transfer-encoding': 'chunked' }, image)).toEqual(invalid);
    for (const path of [
      '/servers/fake?image=evil',
      '/servers/fake/',
      '/servers/../fake',
      '/servers/npm:evil',
      '/servers/fake%20--x',
      '/',
    ]) {
      expect(await raw(socket, 'POST', path, UPGRADE), path).toEqual(invalid);
      expect(await raw(socket, 'GET', path), path).toEqual(invalid);
    }
    for (const method of ['PUT', 'DELETE', 'POST']) expect(await raw(socket, method, '/servers/fake')).toEqual(invalid);
    expect(await raw(socket, 'POST', '/servers/fake', { ...UPGRADE, upgrade: 'tcp' })).toEqual(invalid);
    // Docker's own requests mean nothing here.
    expect((await raw(socket, 'POST', '/v1.41/containers/create')).status).toBe(400);
    await until(() => from.daemon.count().get('fake') === 0, 30_000);
    expect(from.pids).toHaveLength(1);
  });

  test('keeps its socket from everybody but its owner and a group', async () => {
    await using from = await started();
    expect((await stat(from.socket)).mode & 0o777).toBe(0o660);
    // Whoever may write to the folder could put a socket of their own in its place.
    const place = { kind: 'path', path: join(tmpdir(), 'mcp-build-daemon-open.sock') } as const;
    const opened = serveDaemon({ place, find: () => Promise.reject(), say: () => undefined });
    await expect(opened).rejects.toMatchObject({ code: 'address-unavailable' });
    const second = serveDaemon({
      place: { kind: 'path', path: from.socket },
      find: () => Promise.reject(),
      say: () => undefined,
    });
    await expect(second).rejects.toMatchObject({ code: 'address-unavailable' });
  });

  test('starts no more than may run at once, those that are being started included', async () => {
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const slow: OpenChannel = async (receive) => {
      await gate;
      return fakeServer()(receive);
    };
    await using from = await started({ open: slow, most: 2 });
    const open = daemonClient(from.socket).channel('fake', {});
    const all = [1, 2, 3, 4].map(() => open(() => undefined).catch((error: unknown) => error));
    const busy = await Promise.race(all);
    expect(isFault(busy, 'server-busy')).toBe(true);
    expect(from.daemon.count().get('fake')).toBe(2);
    go();
    const ends = await Promise.all(all);
    expect(ends.filter((end) => isFault(end, 'server-busy'))).toHaveLength(2);
  });

  test('ends a server whose gateway left while it was started', async () => {
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const pids: number[] = [];
    await using from = await started({
      async open(receive) {
        await gate;
        return fakeServer({}, pids)(receive);
      },
    });
    const socket = net.connect(from.socket);
    socket.write('POST /servers/fake HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: mcp-build-stdio\r\n\r\n');
    await until(() => from.daemon.count().get('fake') === 1, 30_000);
    socket.destroy();
    go();
    await until(() => from.daemon.count().get('fake') === 0, 30_000);
    expect(pids).toHaveLength(1);
    expect(pids.some(alive)).toBe(false);
  });

  test('ends a server whose gateway doesn’t read what it says', async () => {
    const closed = Promise.withResolvers<void>();
    await using from = await started({
      async open(receive) {
        const flood = setInterval(() => receive(Buffer.alloc(8_000_000)), 1);
        return {
          send: () => true,
          ended: new Promise(() => undefined),
          async close() {
            clearInterval(flood);
            closed.resolve();
          },
        };
      },
    });
    const socket = net.connect(from.socket);
    socket.write('POST /servers/fake HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: mcp-build-stdio\r\n\r\n');
    socket.pause();
    await closed.promise;
    socket.destroy();
  });
});

describe('frames', () => {
  const bytes = Buffer.concat([
    ...[frameHeader('message', 5), Buffer.from('hello')],
    ...[frameHeader('incident', 2), Buffer.from('{}')],
    ...[frameHeader('message', 1), Buffer.from('x')],
  ]);

  test('are read the same however they are cut', () => {
    for (let first = 0; first <= bytes.length; first += 1) {
      for (let second = first; second <= bytes.length; second += 1) {
        const seen: string[] = [];
        const take = unframe((kind, body) => seen.push(`${kind} ${body}`));
        for (const part of [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]) {
          expect(take(part)).toBe(true);
        }
        expect(seen).toEqual(['message hello', 'incident {}', 'message x']);
      }
    }
  });

  test('of another kind, or longer than anything may be, are refused before memory is taken for them', () => {
    const take = (...header: number[]) => unframe(() => undefined)(Buffer.from(header));
    expect(take(0, 0, 0, 0, 1)).toBe(false);
    expect(take(4, 0, 0, 0, 1)).toBe(false);
    expect(take(1, 0xff, 0, 0, 0)).toBe(false);
    expect(take(3, 0, 2, 0, 0)).toBe(false);
  });
});

describe('configurations', () => {
  const parse = (entry: object, role: 'gateway' | 'daemon', mcpProxy: object | undefined = { addr: ':1' }) =>
    parseConfig(JSON.stringify({ mcpProxy, mcpServers: { it: entry } }), 'c.json', {}, role).servers;

  test('of a gateway name servers only', () => {
    expect(parse({}, 'gateway')[0]?.behind).toEqual({ kind: 'named' });
    expect(parse({ url: 'https://mcp.example.test' }, 'gateway')[0]?.behind.kind).toBe('remote');
    const run = { command: 'npx', args: ['-y', 'evil'] };
    for (const more of [
      run,
      { env: { A: '1' } },
      { permissions: { network: 'all' } },
      { args: ['x'] },
      { secrets: {} },
    ]) {
      expect(() => parse(more, 'gateway')).toThrow(/is the daemon’s to say/);
    }
  });

  test('of a daemon need nothing of the gateway’s, and what is elsewhere isn’t theirs', () => {
    const entry = { command: 'npx', args: ['-y', 'pkg@1'] };
    expect(parse(entry, 'daemon', undefined)[0]?.behind.kind).toBe('contained');
    expect(parse(entry, 'daemon')[0]?.behind.kind).toBe('contained');
    expect(parse({ url: 'https://mcp.example.test' }, 'daemon')).toEqual([]);
    expect(() => parse({}, 'daemon')).toThrow();
  });
});
