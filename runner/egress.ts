import { lookup } from 'node:dns/promises';
import { chmod } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import { makeFolders } from '../files/index.ts';
import { hostName, isPublicAddress, permitted } from './destination.ts';
import { serverName } from './hello.ts';
import { relay } from './relay.ts';

/** What was decided about one attempt to reach something. */
export interface Decision {
  readonly at: string;
  readonly host: string;
  readonly port: number;
  readonly allowed: boolean;
  /** `permitted` and `learned` are let through. */
  readonly reason:
    | 'permitted'
    | 'learned'
    | 'not-permitted'
    | 'not-a-name'
    | 'internal-address'
    | 'unresolved'
    | 'unreachable'
    | 'other-name'
    | 'no-tunnel'
    | 'malformed'
    | 'too-many';
  /** What it was connected to. */
  readonly address?: string;
}

export interface EgressOptions {
  /** As in `Permissions`: `api.example.com:443`, `*.example.com:443`. */
  readonly destinations: readonly string[];
  /** Lets every destination on the internet through and reports it: how a list of permissions is found. */
  readonly learn?: boolean;
  readonly onDecision: (decision: Decision) => void;
  /** The system's resolver by default. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** How an address that has been judged is connected to, and read where that is given; directly by default. Undefined where it can't be. */
  readonly dial?: (address: string, port: number, onread?: net.OnReadOpts) => Promise<net.Socket | undefined>;
}

export interface Egress {
  /** Settles when the forwarder in the container has reached the proxy. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

const CONNECTIONS = 256;
/** In milliseconds. */
const CONNECT_TIMEOUT = 15_000;
const IDLE_TIMEOUT = 600_000;
/** For a client to say what it wants through a tunnel, in milliseconds. Most speak first at once; a protocol in which the server does is let through. */
const HELLO_TIMEOUT = 10_000;
/** What the forwarder asks for once it listens. */
export const READY_PATH = '/mcp-build/ready';

/**
 * An HTTP proxy on a Unix socket, the only thing a server with a list of destinations can reach. Names are resolved here, once, and what they resolved
 * to is judged and connected to: a name that answers differently the next time changes nothing.
 */
export async function serveEgress(socket: string, options: EgressOptions): Promise<Egress> {
  const { promise: ready, resolve: isReady } = Promise.withResolvers<void>();
  const open = new Set<Duplex>();
  const gate = gateOf(options);

  const server = http.createServer({ maxHeaderSize: 16 * 1024, headersTimeout: 10_000, requestTimeout: 0 });
  server.on('connection', (connection: net.Socket) => {
    open.add(connection);
    connection.setTimeout(IDLE_TIMEOUT, () => connection.destroy());
    connection.on('close', () => open.delete(connection)).on('error', () => undefined);
    if (open.size > CONNECTIONS) {
      options.onDecision(decision('', 0, 'too-many'));
      connection.destroy();
    }
  });
  server.on('clientError', (_error, connection) => {
    if (connection.writable) connection.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
  });
  server.on('request', (request, response) => {
    if (request.url === READY_PATH) {
      isReady();
      response.end();
      return;
    }
    void forward(request, response, gate).catch(() => response.destroy());
  });
  server.on('connect', (request, connection: Duplex, head) => {
    void tunnel(request.url ?? '', connection, head, gate).catch(() => connection.destroy());
  });

  await makeFolders(dirname(socket), 0o700);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socket, resolve));
  // The folder is its user's alone; the forwarder comes in by a mount of the socket itself, as somebody else.
  await chmod(socket, 0o666);
  return {
    ready,
    async close() {
      for (const connection of open) connection.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Gate {
  /** @returns a connection, or why there is none */
  connect(host: string, port: number, onread?: net.OnReadOpts): Promise<net.Socket | Decision>;
  report(decision: Decision): void;
}

function gateOf({ destinations, learn, onDecision, resolve = systemResolve, dial = direct }: EgressOptions): Gate {
  const refuse = (host: string, port: number, reason: Decision['reason'], address?: string): Decision => {
    const refused = decision(host, port, reason, address);
    onDecision(refused);
    return refused;
  };
  return {
    report: onDecision,
    async connect(asked, port, onread) {
      const host = hostName(asked);
      if (host === undefined) return refuse(asked.slice(0, 253), port, 'not-a-name');
      const known = permitted(destinations, host, port);
      // Before it is resolved: a question to a resolver already carries data out.
      if (!known && !learn) return refuse(host, port, 'not-permitted');
      const addresses = await resolve(host).catch(() => []);
      if (addresses.length === 0) return refuse(host, port, 'unresolved');
      const internal = addresses.find((address) => !isPublicAddress(address));
      // One internal address among public ones is not a mistake that happens to honest names.
      if (internal !== undefined) return refuse(host, port, 'internal-address', internal);
      for (const address of addresses.slice(0, 4)) {
        const connection = await dial(address, port, onread);
        if (!connection) continue;
        onDecision(decision(host, port, known ? 'permitted' : 'learned', address));
        return connection;
      }
      return refuse(host, port, 'unreachable', addresses[0]);
    },
  };
}

async function systemResolve(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);
}

function direct(address: string, port: number, onread?: net.OnReadOpts): Promise<net.Socket | undefined> {
  return new Promise((resolve) => {
    const connection = net.connect({ host: address, port, allowHalfOpen: true, ...(onread ? { onread } : {}) });
    connection.setTimeout(CONNECT_TIMEOUT, () => connection.destroy());
    connection.once('error', () => resolve(undefined)).once('close', () => resolve(undefined));
    connection.once('connect', () => {
      connection.setTimeout(IDLE_TIMEOUT);
      resolve(connection);
    });
  });
}

/** `CONNECT host:port`: bytes both ways. */
async function tunnel(target: string, client: Duplex, head: Buffer, gate: Gate): Promise<void> {
  const match = /^(.{1,255}):([0-9]{1,5})$/s.exec(target);
  const port = Number(match?.[2]);
  if (!match?.[1] || port < 1 || port > 65535) {
    gate.report(decision(target.slice(0, 253), 0, 'malformed'));
    return refuseTunnel(client, 400, 'malformed');
  }
  const answers = relay();
  const upstream = await gate.connect(match[1], port, answers.onread);
  if ('reason' in upstream) return refuseTunnel(client, upstream.reason === 'unreachable' ? 502 : 403, upstream.reason);
  client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
  upstream.on('error', () => client.destroy()).on('close', () => client.destroy());
  client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
  answers.into(upstream, client);
  if (head.length > 0) client.unshift(head);
  const first = await firstBytes(client);
  const named = typeof first.name === 'string' ? hostName(first.name) : undefined;
  // Behind one address of a large host are many names: what is asked for inside must be what was asked for outside.
  if (first.name !== undefined && named !== hostName(match[1])) {
    gate.report(decision(first.name.slice(0, 253), port, 'other-name', upstream.remoteAddress));
    upstream.destroy();
    client.destroy();
    return;
  }
  upstream.write(first.bytes);
  client.pipe(upstream);
}

/** What the client says first, and the name in it where it is the beginning of TLS. */
function firstBytes(client: Duplex): Promise<{ readonly bytes: Buffer; readonly name: string | undefined }> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const end = (name: string | undefined) => {
      clearTimeout(timer);
      client.off('data', onData).off('end', onEnd).off('close', onEnd);
      client.pause();
      resolve({ bytes, name });
    };
    const onEnd = () => end(undefined);
    const timer = setTimeout(onEnd, HELLO_TIMEOUT);
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const name = serverName(bytes);
      if (name !== 'more') end(name);
    };
    client.on('data', onData).on('end', onEnd).on('close', onEnd);
  });
}

function refuseTunnel(client: Duplex, status: number, reason: string): void {
  client.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nx-mcp-build-egress: ${reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
  );
}

/** What belongs to one connection and not to the request (RFC 9110, section 7.6.1). */
const HOP = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-authorization',
  'host',
]);

/** `GET http://host/path`: a plain request, passed on with the host it names and no other. */
async function forward(request: http.IncomingMessage, response: http.ServerResponse, gate: Gate): Promise<void> {
  const url = URL.parse(request.url ?? '');
  if (url?.protocol === 'https:') {
    // Only where to: what else is in the address was meant to be read at the other end alone.
    gate.report(decision(url.hostname.slice(0, 253), Number(url.port || 443), 'no-tunnel'));
    response.writeHead(400, { 'x-mcp-build-egress': 'no-tunnel' }).end();
    return;
  }
  if (url?.protocol !== 'http:') {
    gate.report(decision((request.url ?? '').slice(0, 253), 0, 'malformed'));
    response.writeHead(400, { 'x-mcp-build-egress': 'malformed' }).end();
    return;
  }
  const upstream = await gate.connect(url.hostname, Number(url.port || 80));
  if ('reason' in upstream) {
    response.writeHead(upstream.reason === 'unreachable' ? 502 : 403, { 'x-mcp-build-egress': upstream.reason }).end();
    return;
  }
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOP.has(name)));
  const onward = http.request({
    method: request.method ?? 'GET',
    path: `${url.pathname}${url.search}`,
    headers: { ...headers, host: url.host, connection: 'close' },
    createConnection: () => upstream,
  });
  onward.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
  onward.on('response', (answer) => {
    const passed = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !HOP.has(name)));
    response.writeHead(answer.statusCode ?? 502, passed);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}

function decision(host: string, port: number, reason: Decision['reason'], address?: string): Decision {
  return {
    at: new Date().toISOString(),
    host,
    port,
    allowed: reason === 'permitted' || reason === 'learned',
    reason,
    ...(address === undefined ? {} : { address }),
  };
}
