import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig, remoteChannel } from '../../gateway/index.ts';
import { configText, lastMessage, runGateway, textOf, until } from './gateway.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gateway-listening-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function get(options: http.RequestOptions | https.RequestOptions): Promise<number> {
  const ask = 'rejectUnauthorized' in options ? https.get : http.get;
  return new Promise((resolve, reject) => {
    ask(options, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).on('error', reject);
  });
}

describe('where the gateway listens', () => {
  test('on a socket of its owner alone, which a killed gateway’s leftover doesn’t block', async () => {
    const path = join(folder, 'socket');
    const first = await runGateway({ proxy: { addr: `unix:${path}` } });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await get({ socketPath: path, path: '/_healthz', headers: { host: 'whatever.example.test' } })).toBe(200);
    await expect(runGateway({ proxy: { addr: `unix:${path}` } })).rejects.toMatchObject({
      code: 'address-unavailable',
    });
    await first.gateway.close();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('an address that is taken is said', async () => {
    await using running = await runGateway();
    const { port } = new URL(running.url);
    await expect(runGateway({ proxy: { addr: `127.0.0.1:${port}` } })).rejects.toMatchObject({
      code: 'address-unavailable',
      input: `127.0.0.1:${port}`,
    });
  });

  test('by TLS, with a new certificate from the next connection on', async () => {
    const [first, second] = [await certificate('first'), await certificate('second')];
    await using running = await runGateway({ options: { tls: first } });
    const port = Number(new URL(running.url).port);
    const presented = () =>
      new Promise<string>((resolve, reject) => {
        const request = https.get({
          host: '127.0.0.1',
          port,
          path: '/_healthz',
          rejectUnauthorized: false,
          agent: false,
        });
        request.on('error', reject).on('response', (response) => {
          const { subject } = (
            response.socket as unknown as { getPeerCertificate(): { subject: { CN: string } } }
          ).getPeerCertificate();
          response.resume();
          resolve(subject.CN);
        });
      });
    expect(await presented()).toBe('first');
    await running.gateway.reload(parseConfig(configText({}), 'c', {}), second);
    expect(await presented()).toBe('second');
  });

  test('under the path of a reverse proxy, which HTTP+SSE names to its clients', async () => {
    await using running = await runGateway({ proxy: { baseURL: 'https://mcp.example.test/base/' } });
    const headers = { host: 'mcp.example.test', accept: 'text/event-stream' };
    const { port } = new URL(running.url);
    const endpoint = await new Promise<string>((resolve) => {
      const request = http.get({ host: '127.0.0.1', port, path: '/base/fake/sse', headers }, (response) => {
        response.once('data', (chunk: Buffer) => {
          resolve(chunk.toString());
          request.destroy();
        });
      });
      request.on('error', () => undefined);
    });
    expect(endpoint).toMatch(/^event: endpoint\ndata: \/base\/fake\/message\?sessionId=/);
    expect(await get({ host: '127.0.0.1', port, path: '/other/fake/mcp', headers: { host: 'mcp.example.test' } })).toBe(
      404,
    );
  });

  test('a client that takes nothing is cut off, and others are served meanwhile', async () => {
    await using running = await runGateway({ options: { stalled: 300 } });
    const session = await running.session('fake');
    const { port } = new URL(running.url);
    const slow = connectTcp(Number(port), '127.0.0.1');
    let closed = false;
    slow.on('close', () => {
      closed = true;
    });
    slow.on('error', () => undefined);
    const call = {
      jsonrpc: '2.0',
      id: 'slow',
      method: 'tools/call',
      params: { name: 'flood', arguments: { bytes: 40 << 20 } },
    };
    const body = JSON.stringify(call);
    slow.write(
      `POST /fake/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: ${session}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    slow.pause();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(textOf(await running.call('fake', session, 'echo', { message: 'others' }))).toBe('others');
    slow.resume();
    await until(() => closed);
    expect(slow.bytesRead).toBeLessThan(40 << 20);
  });
});

describe('a server elsewhere', () => {
  test.each([
    ['streamable-http', 'mcp'],
    ['sse', 'sse'],
  ] as const)(
    'is served by %s, with the headers of the configuration and without the client’s token',
    async (transport, path) => {
      await using far = await runGateway({
        servers: { fake: { options: { authTokens: ['far-token'], sessions: 'shared' } } },
      });
      const url = `${far.url}/fake/${path}`;
      const headers = { authorization: 'Bearer far-token' };
      await using near = await runGateway({
        servers: {
          far: { command: undefined, args: undefined, url, headers, options: { authTokens: ['near-token'] } },
        },
        prepare: () => ({ open: remoteChannel({ name: 'far', url, headers, transport, oauth: undefined }) }),
      });
      const mine = { authorization: 'Bearer near-token' };
      const session = await near.session('far', mine);
      const call = {
        jsonrpc: '2.0',
        id: 'x',
        method: 'tools/call',
        params: { name: 'echo', arguments: { message: 'far away' } },
      };
      const answer = lastMessage(await (await near.post('far', call, { ...mine, 'mcp-session-id': session })).text());
      expect(answer.id).toBe('x');
      expect(textOf(answer)).toBe('far away');
    },
  );

  test('that speaks HTTP+SSE alone is found out, where no transport is named', async () => {
    await using far = await runGateway({ servers: { fake: { options: { sessions: 'shared' } } } });
    // Its address tells nothing, and a POST to it is refused, as servers of that transport do.
    await using front = await httpServer((request, response) => {
      if (request.method === 'POST' && request.url === '/events') return response.writeHead(405).end();
      const to = `${far.url}/fake${request.url === '/events' ? '/sse' : (request.url ?? '').replace(/^\/fake/, '')}`;
      const passed = http.request(to, { method: request.method ?? 'GET', headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      passed.on('error', () => response.destroy());
      request.pipe(passed);
      return undefined;
    });
    const url = `${front.url}/events`;
    await using near = await runGateway({
      servers: { far: { command: undefined, args: undefined, url } },
      prepare: () => ({
        open: remoteChannel({ name: 'far', url, headers: {}, transport: undefined, oauth: undefined }),
      }),
    });
    const session = await near.session('far');
    expect(textOf(await near.call('far', session, 'echo', { message: 'by events' }))).toBe('by events');
  });

  test('that can’t be reached is an error for its callers only', async () => {
    const url = 'http://127.0.0.1:9/mcp';
    await using near = await runGateway({
      servers: { far: { command: undefined, args: undefined, url }, fake: {} },
      prepare: (name) =>
        name === 'far'
          ? { open: remoteChannel({ name: 'far', url, headers: {}, transport: undefined, oauth: undefined }) }
          : undefined,
    });
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } };
    const answer = await near.post('far', { jsonrpc: '2.0', id: 1, method: 'initialize', params });
    expect(lastMessage(await answer.text()).error?.code).toBe(-32000);
    const session = await near.session('fake');
    expect(textOf(await near.call('fake', session, 'echo', { message: 'near' }))).toBe('near');
  });
});

async function certificate(name: string): Promise<{ readonly cert: Buffer; readonly key: Buffer }> {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const out = ['-keyout', key, '-out', cert, '-days', '2', '-subj', `/CN=${name}`];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...out], {
    stdio: 'ignore',
  });
  return { cert: await readFile(cert), key: await readFile(key) };
}

async function httpServer(handle: http.RequestListener) {
  const server = http.createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
