import { constants } from 'node:crypto';
import { chmod, lstat, rm } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { connect, type Socket } from 'node:net';
import { McpBuildError } from '../../errors/index.ts';
import type { Address } from '../config/address.ts';

export interface Listening {
  readonly url: string;
  /** For new connections from now on. */
  renew(tls: TlsMaterial): void;
  /** Takes no new connections, and ends those there are after `grace` milliseconds. */
  close(grace: number): Promise<void>;
}

export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Of the authority that signs clients' certificates; nobody is asked for one without. */
  readonly clientCA?: Buffer;
  /** Whether who has no certificate of it is let in to show a token. */
  readonly clientCertificates?: 'required' | 'optional';
}

/** A client that takes nothing for so long, while there is something for it, is cut off; in milliseconds. */
const STALLED = 30_000;

const LIMITS: http.ServerOptions = {
  // In bytes, of all headers.
  maxHeaderSize: 16 * 1024,
  headersTimeout: 15_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 5_000,
  noDelay: true,
};

/** Opens the gateway's one address. @throws McpBuildError `address-unavailable` */
export async function listenOn(
  address: Address,
  handler: http.RequestListener,
  tls: TlsMaterial | undefined,
  stalled = STALLED,
): Promise<Listening> {
  const server = tls
    ? https.createServer({ ...LIMITS, ...tlsOptions(tls) }, handler)
    : http.createServer(LIMITS, handler);
  server.maxRequestsPerSocket = 0;
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  });
  const sockets = new Map<Socket, { written: number; at: number }>();
  server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.set(socket, { written: 0, at: Date.now() });
    socket.once('close', () => sockets.delete(socket));
  });
  const sweep = setInterval(
    () => {
      for (const [socket, seen] of sockets) {
        const written = socket.bytesWritten - socket.writableLength;
        if (socket.writableLength === 0 || written !== seen.written) {
          seen.written = written;
          seen.at = Date.now();
        } else if (Date.now() - seen.at > stalled) socket.destroy();
      }
    },
    Math.max(50, stalled / 6),
  );
  sweep.unref();
  await open(server, address);
  return {
    url: urlOf(server, address, tls !== undefined),
    renew(material) {
      if (server instanceof https.Server) server.setSecureContext(tlsOptions(material));
    },
    async close(grace) {
      clearInterval(sweep);
      const done = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), grace);
      await done;
      clearTimeout(timer);
      if (address.kind === 'unix') await rm(address.path, { force: true });
    },
  };
}

function tlsOptions({ cert, key, clientCA, clientCertificates }: TlsMaterial): https.ServerOptions {
  if (clientCA === undefined) return { cert, key };
  // A resumed connection shows no certificate, so that none is resumed.
  const asked = { requestCert: true, rejectUnauthorized: clientCertificates !== 'optional' };
  return { cert, key, ca: clientCA, ...asked, secureOptions: constants.SSL_OP_NO_TICKET, minVersion: 'TLSv1.2' };
}

async function open(server: http.Server, address: Address): Promise<void> {
  if (address.kind === 'unix') await removeDead(address.path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(unavailable(address, cause)));
    const listening = () => resolve();
    if (address.kind === 'unix') server.listen(address.path, listening);
    else server.listen(address.port, address.host === '' ? undefined : address.host, listening);
  });
  // Whoever may connect to it is whoever may write to it: its owner.
  if (address.kind === 'unix') await chmod(address.path, 0o600);
}

/** A socket that nobody listens on is left from a gateway that was killed. */
async function removeDead(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isSocket()) return;
  const alive = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
  if (!alive) await rm(path, { force: true });
}

function urlOf(server: http.Server, address: Address, secure: boolean): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const bound = server.address();
  const port = typeof bound === 'object' && bound ? bound.port : address.port;
  const host = address.host === '' ? 'localhost' : address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${secure ? 'https' : 'http'}://${host}:${port}`;
}

function unavailable(address: Address, cause: NodeJS.ErrnoException): McpBuildError {
  const input = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
  return new McpBuildError({
    code: 'address-unavailable',
    message: `The gateway can't listen on ${input}: ${cause.code ?? cause.message}`,
    input,
    fix:
      cause.code === 'EADDRINUSE'
        ? 'Stop what listens there, or set another "addr" in the configuration.'
        : 'Set another "addr" in the configuration.',
    cause,
  });
}
