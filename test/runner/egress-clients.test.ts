import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROXY_VARIABLES } from '../../runner/forwarder.ts';
import { type Decision, type Egress, serveEgress } from '../../runner/index.ts';
import { commandPath, describeWith } from '../e2e/harness/needs.ts';
import { makeAuthority } from '../fakes/certificates.ts';

/**
 * `through` the proxy with the variables that a server gets; `past` it, which from within a container leads nowhere; or `refused` by the proxy, whatever it is
 * asked for.
 */
type Way = 'through' | 'past' | 'refused';
/** What is written in docs/egress.md, and what becomes of it. */
type Clients = Readonly<Record<string, readonly [as: string, Way]>>;

const NODE: Clients = {
  fetch: ['`fetch`', 'through'],
  websocket: ['`WebSocket`, Node’s own', 'through'],
  https: ['`node:https`', 'through'],
  'https-own-agent': ['`node:https` with an `Agent` of its own', 'past'],
  http2: ['`node:http2`', 'past'],
  tls: ['`node:tls`, `node:net`', 'past'],
  axios: ['axios', 'through'],
  'axios-before': ['axios before 1.16.1', 'refused'],
  got: ['got', 'through'],
  'node-fetch': ['node-fetch', 'through'],
  undici: ['undici', 'through'],
  'undici-own-agent': ['undici with an `Agent` of its own', 'past'],
  ws: ['ws', 'past'],
};

const PYTHON: Clients = {
  urllib: ['`urllib.request`', 'through'],
  'http-client': ['`http.client`', 'past'],
  ssl: ['`ssl`, `socket`', 'past'],
  requests: ['requests', 'through'],
  urllib3: ['urllib3', 'past'],
  httpx: ['httpx', 'through'],
  'httpx-async': ['httpx, asynchronous', 'through'],
  'httpx-no-env': ['httpx with `trust_env=False`', 'past'],
  aiohttp: ['aiohttp', 'past'],
  'aiohttp-trust-env': ['aiohttp with `trust_env=True`', 'through'],
  websockets: ['websockets', 'through'],
};

describe('clients, given what a server is given', () => {
  // Loopback, and yet not what NO_PROXY names: a client that heeds the variables goes through, and one that doesn't arrives.
  const ADDRESS = '127.0.0.2';
  const authority = makeAuthority();
  let folder: string;
  let upstream: http2.Http2SecureServer;
  let port: number;
  let egress: Egress;
  let front: net.Server;
  let environment: NodeJS.ProcessEnv;
  const decisions: Decision[] = [];
  const arrived: string[] = [];
  const open = new Set<net.Socket>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'egress-clients-'));
    const { certificate: cert, key } = authority.issue(['*.example.test', ADDRESS]);
    upstream = http2.createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
      arrived.push(request.url ?? '');
      response.end('from outside');
    });
    upstream.on('upgrade', (request: IncomingMessage, socket: net.Socket) => {
      arrived.push(request.url ?? '');
      const accept = createHash('sha1')
        .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64');
      socket.on('error', () => undefined);
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
      );
    });
    upstream.on('connection', (connection: net.Socket) => open.add(connection));
    await new Promise<void>((resolve) => upstream.listen(0, ADDRESS, resolve));
    port = (upstream.address() as AddressInfo).port;
    const socket = join(folder, 'egress.sock');
    egress = await serveEgress(socket, {
      destinations: ['*.example.test:443'],
      onDecision: (decision) => decisions.push(decision),
      resolve: async () => ['11.0.0.1'],
      async dial(_address, _port, onread) {
        const connection = net.connect({ port, host: ADDRESS, allowHalfOpen: true, ...(onread ? { onread } : {}) });
        await new Promise((resolve) => connection.once('connect', resolve));
        return connection;
      },
    });
    front = net.createServer((inside) => {
      const outside = net.connect(socket);
      inside.on('error', () => outside.destroy()).pipe(outside);
      outside.on('error', () => inside.destroy()).pipe(inside);
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    const at = `127.0.0.1:${(front.address() as AddressInfo).port}`;
    const ca = join(folder, 'ca.pem');
    await writeFile(ca, authority.ca);
    environment = {
      PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
      // All that the runner says, with the port of this test.
      ...Object.fromEntries(
        Object.entries(PROXY_VARIABLES).map(([name, value]) => [name, value.replace('127.0.0.1:3128', at)]),
      ),
      NODE_EXTRA_CA_CERTS: ca,
      SSL_CERT_FILE: ca,
      REQUESTS_CA_BUNDLE: ca,
    };
    expect(environment.https_proxy).toBe(`http://${at}`);
  });
  afterAll(async () => {
    await egress?.close();
    front?.close();
    for (const connection of open) connection.destroy();
    upstream?.close();
    authority[Symbol.dispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** Has every client ask for an address of its own; what it came to, by client. */
  async function ask(command: string, script: string, clients: Clients): Promise<Record<string, string>> {
    const addresses = Object.entries(clients).map(([client, [, way]]) => [
      client,
      // A name that nobody but the proxy knows; what is said to go past it gets an address that it can reach without.
      way === 'past' ? `${ADDRESS}:${port}` : `${client}.example.test:443`,
    ]);
    const program = fileURLToPath(new URL(`./egress-clients/${script}`, import.meta.url));
    const args = [program, JSON.stringify(Object.fromEntries(addresses))];
    const child = spawn(commandPath(command) ?? command, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors += chunk;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    if (code !== 0) throw new Error(`${command} ended with ${code}: ${errors}`);
    return JSON.parse(out) as Record<string, string>;
  }

  for (const [title, command, script, clients] of [
    ['Node', 'node-http-clients', 'node.cjs', NODE],
    ['Python', 'python-http-clients', 'python.py', PYTHON],
  ] as const) {
    describeWith([command], title, () => {
      test('go through the proxy, past it or nowhere, as the documentation says', { timeout: 120_000 }, async () => {
        arrived.length = 0;
        decisions.length = 0;
        const results = await ask(command, script, clients);
        const seen = Object.keys(clients).map((client) => {
          const named = decisions.filter(({ host }) => host.split('.')[0] === client);
          return [client, { result: results[client], proxy: named.map(({ reason }) => reason) }];
        });
        const expected = Object.entries(clients).map(([client, [, way]]) => [
          client,
          {
            result: expect.stringMatching(
              way === 'refused' ? /^failed: .*\b400\b/ : /^(from outside|opened|connected)$/,
            ),
            proxy: { through: ['permitted'], past: [], refused: ['no-tunnel'] }[way],
          },
        ]);
        expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(expected));
        // Nothing came to the proxy that none of them is known to have asked for.
        expect(decisions).toHaveLength(Object.values(clients).filter(([, way]) => way !== 'past').length);
        for (const [client, [, way]] of Object.entries(clients)) {
          if (way === 'refused') expect(arrived).not.toContain(`/${client}`);
        }
      });
    });
  }

  test('are in the documentation', async () => {
    const page = await readFile(new URL('../../docs/egress.md', import.meta.url), 'utf8');
    const table = page.split('<!-- clients: begin -->')[1]?.split('<!-- clients: end -->')[0] ?? '';
    const said: Readonly<Record<Way, string>> = {
      through: 'works',
      past: 'fails: no route',
      refused: 'fails: refused',
    };
    const rows = Object.entries({ Node: NODE, Python: PYTHON }).flatMap(([language, clients]) =>
      Object.values(clients).map(([as, way]) => `${language}: ${as}: ${said[way]}`),
    );
    const written = table
      .split('\n')
      .map((line) => line.split('|').map((cell) => cell.trim()))
      .filter(([, language]) => language === 'Node' || language === 'Python')
      .map(([, language, as, becomes]) => `${language}: ${as}: ${becomes}`);
    expect(written).toEqual(rows);
  });
});
