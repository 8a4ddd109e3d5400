import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { LookupFunction } from 'node:net';
import { McpBuildError } from '../../errors/index.ts';
import { plainHttpRefused, protocolFault, TransientError } from './fault.ts';
import { divert, type Source } from './tap.ts';

export interface Outgoing {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** `size` in bytes; `bytes` gives exactly so many or throws before the last. A chunk need be good only until the next is asked for. */
  readonly body?: { readonly size: number; readonly bytes: AsyncIterable<Uint8Array> };
}

export interface Incoming {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Where it came from, after redirects. */
  readonly url: URL;
  /** Fails with `registry-unavailable` when it stalls or is cut off. Read it, or `discard` it. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The same, read in large pieces into memory that is used again: a chunk is good until the next one is asked for. */
  readonly lent: AsyncIterable<Uint8Array>;
  /** Lets the connection go, reading on for a little so that it can be used again. */
  discard(): Promise<void>;
}

/** How requests to one host travel. */
export interface Channel {
  readonly agent: http.Agent;
  readonly lookup?: LookupFunction;
}

/** In milliseconds. */
export interface Patience {
  /** Until there is a connection. */
  readonly connect: number;
  /** Without a byte either way, or with hardly any. */
  readonly stall: number;
}

/** In bytes per `stall`: a body that drips slower than that counts as stalled. */
const FLOOR = 4096;
const DISCARDED = 64 * 1024;

/**
 * One HTTP exchange, without redirects, credentials or repetition.
 * @throws McpBuildError `registry-unavailable` (a `TransientError` where trying again may help), `tls`, `plain-http-refused`; what
 * the body throws
 */
export function exchange(
  outgoing: Outgoing,
  channel: Channel,
  patience: Patience,
  signal?: AbortSignal,
): Promise<Incoming> {
  const { url, body } = outgoing;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const request = (url.protocol === 'https:' ? https : http).request(url, {
      method: outgoing.method,
      headers: { ...outgoing.headers, ...(body ? { 'content-length': String(body.size) } : {}) },
      agent: channel.agent,
      ...(channel.lookup ? { lookup: channel.lookup } : {}),
    });
    let timer: NodeJS.Timeout | undefined;
    const arm = (milliseconds: number, what: string) => {
      clearTimeout(timer);
      timer = setTimeout(() => fail(new TransientError(`${url.host} ${what}`, url.host)), milliseconds);
    };
    let settled = false;
    const fail = (error: unknown) => {
      clearTimeout(timer);
      request.destroy();
      if (settled) return;
      settled = true;
      signal?.removeEventListener('abort', onAbort);
      reject(error);
    };
    const onAbort = () => fail(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    arm(patience.connect, 'took too long to connect');
    request.once('socket', (socket) => {
      if (!socket.connecting) return arm(patience.stall, 'did not answer in time');
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        if (!settled && timer) arm(patience.stall, 'did not answer in time');
      });
    });
    request.on('error', (error) => fail(networkFault(error, url)));
    request.once('response', (message) => {
      clearTimeout(timer);
      if (settled) return;
      settled = true;
      signal?.removeEventListener('abort', onAbort);
      // Answered before it has read everything: the rest is for nobody, and the connection can't be used again.
      if (!request.writableFinished) message.once('end', () => request.destroy());
      resolve(incoming(message, url, patience, signal));
    });
    if (!body) {
      request.end();
      return;
    }
    pump(body.bytes, request, {
      waiting: () => arm(patience.stall, 'stopped taking what is sent to it'),
      reading: () => clearTimeout(timer),
      stopped: () => settled,
    }).then(
      () => {
        if (!settled) arm(patience.stall, 'did not answer in time');
      },
      (error) => fail(error instanceof McpBuildError ? error : networkFault(error as Error, url)),
    );
  });
}

/** A small body. */
export async function* onceOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

/** The whole of a small answer. @param limit in bytes. @throws McpBuildError `registry-unavailable` */
export async function readBody(answer: Incoming, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body) {
    size += chunk.length;
    if (size > limit)
      throw protocolFault(answer.url.host, `sends more than ${limit} bytes where a short document belongs`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function pump(
  bytes: AsyncIterable<Uint8Array>,
  request: http.ClientRequest,
  on: { waiting(): void; reading(): void; stopped(): boolean },
): Promise<void> {
  on.reading();
  for await (const chunk of bytes) {
    if (on.stopped()) return;
    on.waiting();
    await flushed(request, chunk);
    // The source may be slow without the registry being at fault.
    on.reading();
  }
  if (!on.stopped()) request.end();
}

/** Until the system has the chunk: its memory may be used again when the next is asked for. */
function flushed(request: http.ClientRequest, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      request.off('close', done);
      resolve();
    };
    // Its error is told by the request's own handler.
    request.once('close', done);
    request.write(chunk, done);
    if (request.destroyed) done();
  });
}

function incoming(message: IncomingMessage, url: URL, patience: Patience, signal: AbortSignal | undefined): Incoming {
  const pace = { message, url, stall: patience.stall, signal };
  const body = paced(pace, () => parsed(message));
  return {
    status: message.statusCode ?? 0,
    headers: message.headers,
    url,
    body,
    lent: paced(pace, () => diverted(message) ?? { ...parsed(message), chunks: gathered(message) }),
    discard: async () => {
      let seen = 0;
      try {
        for await (const chunk of body) {
          seen += chunk.length;
          if (seen > DISCARDED) break;
        }
      } catch {
        // Nobody wanted it.
      }
      if (!message.complete) message.destroy();
    },
  };
}

function parsed(message: IncomingMessage): Source {
  return {
    chunks: message,
    complete: () => message.complete,
    destroy: (error) => {
      message.destroy(error);
    },
  };
}

/** In bytes: a body shorter than this is not worth its connection, which can't be used again when a body was diverted. */
const DIVERTED = 4 * 1024 * 1024;

function diverted(message: IncomingMessage): Source | undefined {
  const length = Number(message.headers['content-length'] ?? 0);
  if (message.headers['transfer-encoding'] !== undefined || !Number.isSafeInteger(length) || length < DIVERTED)
    return undefined;
  return divert(message, length);
}

/** In bytes. */
const GATHERED = 512 * 1024;

/** Larger chunks: who has been lent one is waited for. What came before a failure is given out before it is told. */
async function* gathered(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let size = 0;
  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const chunk of chunks) {
      held.push(chunk);
      size += chunk.length;
      if (size < GATHERED) continue;
      yield Buffer.concat(held);
      held = [];
      size = 0;
    }
  } catch (error) {
    failure = { error };
  }
  if (size > 0) yield Buffer.concat(held);
  if (failure) throw failure.error;
}

/** How often per `stall` a body is looked at. */
const LOOKS = 4;

interface Pace {
  readonly message: IncomingMessage;
  readonly url: URL;
  /** In milliseconds. */
  readonly stall: number;
  readonly signal: AbortSignal | undefined;
}

/** Only the time spent waiting for the registry counts: a slow reader is no stall. */
async function* paced({ message, url, stall, signal }: Pace, start: () => Source): AsyncGenerator<Uint8Array> {
  const { socket } = message;
  const source = start();
  let waiting = true;
  let looks = 0;
  let seen = socket.bytesRead;
  // One timer a body, not one a chunk: there are sixteen chunks to a megabyte.
  const watch = setInterval(() => {
    looks = waiting ? looks + 1 : 0;
    if (looks < LOOKS) return;
    if (socket.bytesRead - seen < FLOOR) source.destroy(stalled(url));
    looks = 0;
    seen = socket.bytesRead;
  }, stall / LOOKS);
  const onAbort = () => source.destroy(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    for await (const chunk of source.chunks) {
      waiting = false;
      yield chunk;
      waiting = true;
    }
    if (!source.complete()) throw new TransientError(`${url.host} cut the connection`, url.host);
  } catch (error) {
    throw error instanceof McpBuildError || signal?.aborted ? error : networkFault(error as Error, url);
  } finally {
    clearInterval(watch);
    signal?.removeEventListener('abort', onAbort);
    if (!source.complete()) source.destroy();
  }
}

function stalled(url: URL): TransientError {
  return new TransientError(`${url.host} stopped in the middle of its answer`, url.host);
}

// Node names failed checks of a certificate by OpenSSL's reasons, and what is no TLS at all by ERR_SSL_ and EPROTO.
const CERTIFICATE =
  /^(?:CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|ERR_TLS_CERT)/;

export function networkFault(error: Error, url: URL): McpBuildError {
  if (error instanceof McpBuildError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (isPlainHttp(error)) return plainHttpRefused(url.host);
  if (CERTIFICATE.test(code) || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO') {
    return new McpBuildError({
      code: 'tls',
      message: `The certificate or TLS of ${url.host} is not accepted (${code})`,
      input: url.host,
      fix: `Put the authority that signed it into ~/.docker/certs.d/${url.host}/ca.crt, or name another folder with --certs; verification can't be switched off.`,
      exit: 5,
      cause: error,
    });
  }
  if (code.startsWith('HPE_')) return protocolFault(url.host, 'does not answer in HTTP', error);
  return new TransientError(`${url.host} can't be reached (${code || error.message})`, url.host, undefined, error);
}

/** Whether a TLS handshake met a server that speaks HTTP without it. */
export function isPlainHttp(error: unknown): boolean {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return (
    code === 'ERR_SSL_WRONG_VERSION_NUMBER' ||
    code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG' ||
    /wrong version number|packet length too long/.test(message)
  );
}
