import http from 'node:http';
import type { Duplex } from 'node:stream';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { type Channel, LONGEST_MESSAGE, type OpenChannel } from '../upstream/channel.ts';
import { lines } from '../upstream/lines.ts';
import { closeUnix, openUnix, type UnixPlace } from './socket.ts';
import { type DaemonIncident, type FrameKind, frameHeader, PROTOCOL, SERVER_NAME } from './wire.ts';

export interface DaemonOptions {
  readonly place: UnixPlace;
  /** A server of the daemon's own configuration, verified; waits until it is. @throws McpBuildError why it can't be started; `server-unknown` */
  readonly find: (name: string) => Promise<Offered>;
  /** For a log. */
  readonly say: (line: string) => void;
}

export interface Offered {
  readonly open: OpenChannel;
  readonly digest?: string | undefined;
  /** How many of it may run at once. */
  readonly most: number;
}

export interface Daemon {
  /** Ends what runs of a server: its configuration has changed, or it is gone. */
  end(name: string, why: string): void;
  /** Has the gateway record what happened to a server. */
  incident(name: string, incident: DaemonIncident): void;
  /** How many of each run. */
  count(): ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** What a gateway doesn't read has at most so much waiting for it, in bytes. */
const MOST_WAITING = 64 * 1024 * 1024;
const MOST_CONNECTIONS = 4096;
const LIMITS: http.ServerOptions = {
  maxHeaderSize: 4 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 2_000,
};

interface Running {
  write(kind: FrameKind, bytes: Uint8Array): void;
  end(why: string): void;
  readonly over: Promise<void>;
}

/**
 * Starts servers for whoever may open its socket, by name: which image, which arguments, permissions and secrets a name has is said by the daemon's
 * own configuration, and by nothing that is asked here. @throws McpBuildError `address-unavailable`
 */
export async function serveDaemon(options: DaemonOptions): Promise<Daemon> {
  const { say } = options;
  const running = new Map<string, Set<Running>>();
  const server = http.createServer(LIMITS);
  server.maxConnections = MOST_CONNECTIONS;

  server.on('request', async (request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify(body));
    };
    try {
      refuseMore(request);
      if (request.method === 'GET' && request.url === '/_ping') return answer(200, {});
      const name = nameIn(request);
      if (request.method !== 'GET') throw invalid('a server is asked for by an upgrade of the connection');
      const { digest } = await options.find(name);
      answer(200, { name, ...(digest ? { digest } : {}) });
    } catch (error) {
      const { status, body } = refusal(error);
      answer(status, body);
    }
  });

  server.on('upgrade', (request: http.IncomingMessage, connection: Duplex, head: Buffer) => {
    connection.on('error', () => undefined);
    start(request, connection, head).catch((error: unknown) => {
      const { status, body } = refusal(error);
      say(`refused ${printable(request.url)}: ${body.message}`);
      const text = JSON.stringify(body);
      const lines = [`HTTP/1.1 ${status} Refused`, 'Content-Type: application/json', 'Connection: close'];
      connection.end(`${[...lines, `Content-Length: ${Buffer.byteLength(text)}`].join('\r\n')}\r\n\r\n${text}`);
    });
  });

  async function start(request: http.IncomingMessage, connection: Duplex, head: Buffer): Promise<void> {
    refuseMore(request);
    const name = nameIn(request);
    if (request.method !== 'POST' || request.headers.upgrade !== PROTOCOL || head.length > 0) {
      throw invalid(`what is asked for is POST with the upgrade ${PROTOCOL}`);
    }
    const { open, digest, most } = await options.find(name);
    const all = running.get(name) ?? new Set();
    running.set(name, all);
    if (all.size >= most) throw tooMany(name, most);
    const one = begin(connection, open, digest);
    all.add(one.running);
    one.running.over.then(() => all.delete(one.running));
    await one.up;
    say(`${name}: started (${all.size} running)`);
    void one.running.over.then(() => say(`${name}: ended (${all.size} running)`));
  }

  function begin(
    connection: Duplex,
    open: OpenChannel,
    digest: string | undefined,
  ): { readonly running: Running; readonly up: Promise<void> } {
    let channel: Channel | undefined;
    let ending = false;
    const over = Promise.withResolvers<void>();
    const put = (kind: FrameKind, bytes: Uint8Array) => {
      connection.cork();
      connection.write(frameHeader(kind, bytes.length));
      connection.write(bytes);
      connection.uncork();
    };
    const write = (kind: FrameKind, bytes: Uint8Array) => {
      if (ending || !connection.writable) return;
      if (connection.writableLength > MOST_WAITING) end('the gateway stopped reading');
      else put(kind, bytes);
    };
    const end = (why: string) => {
      if (ending) return;
      ending = true;
      // One that is only being started is ended when it has been: it counts until then.
      if (!channel) return void connection.destroy();
      if (connection.writableLength > MOST_WAITING) connection.destroy();
      else if (connection.writable) put('end', Buffer.from(JSON.stringify({ why: why.slice(0, 5_000) })));
      connection.end();
      // One that doesn't read its end.
      setTimeout(() => connection.destroy(), 5_000).unref();
      void channel
        .close()
        .catch((error: unknown) => say(`could not be ended as it should: ${(error as Error).message}`))
        .then(() => over.resolve());
    };
    connection.once('close', () => end('the gateway went away'));
    const up = (async () => {
      try {
        const begun = await open((message) => write('message', message));
        channel = begun;
        // The gateway went away, or the daemon was stopped, while it started.
        if (ending) return void begun.close().then(over.resolve, over.resolve);
        connection.write(
          `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PROTOCOL}\r\n${digest ? `Digest-Of-Image: ${digest}\r\n` : ''}\r\n`,
        );
        const input = lines(
          LONGEST_MESSAGE,
          (line) => {
            if (!begun.send(line.toString('utf8'))) end('it stopped reading');
          },
          () => end(`it was sent a message of more than ${LONGEST_MESSAGE} bytes`),
        );
        connection.on('data', (chunk: Buffer) => input.push(chunk));
        connection.on('end', () => end('the gateway went away'));
        connection.resume();
        void begun.ended.then(end);
      } catch (error) {
        ending = true;
        over.resolve();
        throw error;
      }
    })();
    return { running: { write, end, over: over.promise }, up };
  }

  await openUnix(server, options.place);
  return {
    end(name, why) {
      for (const one of running.get(name) ?? []) one.end(why);
    },
    incident(name, incident) {
      // One is told of it: the gateway that has the server records it once.
      const [one] = running.get(name) ?? [];
      one?.write('incident', Buffer.from(JSON.stringify(incident)));
    },
    count: () => new Map([...running].map(([name, all]) => [name, all.size])),
    async close() {
      const all = [...running.values()].flatMap((some) => [...some]);
      for (const one of all) one.end('the daemon was stopped');
      await Promise.all(all.map(({ over }) => over));
      await closeUnix(server, options.place);
    },
  };
}

/** Nothing beside a name is taken from a gateway: what it can't say, it can't widen. */
function refuseMore(request: http.IncomingMessage): void {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  if ((length !== undefined && length !== '0') || encoding !== undefined) {
    throw invalid('a request has no body: image, arguments and permissions are said by the daemon’s configuration');
  }
}

function nameIn(request: http.IncomingMessage): string {
  const name = /^\/servers\/([^/]+)$/.exec(request.url ?? '')?.[1] ?? '';
  if (!SERVER_NAME.test(name)) throw invalid(`${printable(request.url)} is not /servers/<name>`);
  return name;
}

function refusal(error: unknown): { readonly status: number; readonly body: { readonly message: string } } {
  const { message, fix, code } = error as Partial<McpBuildError>;
  const known = isFault(error);
  const status =
    code === 'request-invalid' ? 400 : code === 'server-unknown' ? 404 : code === 'server-busy' ? 429 : 409;
  return {
    status: known ? status : 500,
    body: {
      message: message ?? String(error),
      ...{ code: known ? code : 'unexpected' },
      ...(fix ? { fix } : {}),
    },
  };
}

function invalid(why: string): McpBuildError {
  return new McpBuildError({
    code: 'request-invalid',
    message: `The daemon was asked for something else than a server by name: ${why}`,
    fix: 'Use `mcp-build serve --daemon`.',
    exit: 2,
  });
}

function tooMany(name: string, most: number): McpBuildError {
  return new McpBuildError({
    code: 'server-busy',
    message: `${most} of ${name} run already, and no more may`,
    input: name,
    fix: 'Set another options.maxContainers in the daemon’s configuration.',
  });
}

/** Of somebody else's, for a log. */
function printable(text: string | undefined): string {
  return (text ?? '').slice(0, 100).replace(/[^\x20-\x7e]/g, '?');
}
