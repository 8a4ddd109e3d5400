import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { McpBuildError } from '../../errors/index.ts';
import { type Agent, createAgents } from './agents.ts';
import { type Configuration, type Credentials, credentialsIn } from './config/index.ts';

const REDIRECTS = 5;
const LONGEST_WAIT = 20_000;

export interface Get {
  readonly accept: string;
  /** Sent to the origin of the URL that is asked for and to no other; without them netrc has a say, for that host only. */
  readonly credentials?: Credentials | undefined;
  /** First byte wanted: asks for the rest of a file. */
  readonly from?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Response {
  /** 200, 206, 404, 410 or 416: every other one is an error. */
  readonly status: number;
  /** Where the bytes came from, after redirects; may hold a signed query. */
  readonly url: string;
  readonly type: string;
  /** First byte of a 206, as the server says. */
  readonly from: number | undefined;
  /** Uncompressed; ends with an error when the server stops early or is silent for too long. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Lets the connection go without reading the body. */
  discard(): void;
}

export interface Client {
  readonly configuration: Configuration;
  /** @throws McpBuildError `registry-unavailable`, `registry-unauthorized`, `registry-invalid`, all with exit 5 */
  get(url: string, options: Get): Promise<Response>;
}

/** GETs by the user's connection settings: proxies, certificates, netrc, time-outs, retries with back-off. */
export function createClient(configuration: Configuration): Client {
  const agentFor = createAgents(configuration);
  const once = async (url: URL, headers: Record<string, string>, signal: AbortSignal | undefined) =>
    send(url, headers, await agentFor(url), configuration.timeout * 1000, signal);

  return {
    configuration,
    async get(address, options) {
      let url = new URL(address);
      // Redirects carry no credentials at all to another origin, not even netrc's: a signed link must arrive without any.
      const credentials = options.credentials ?? credentialsIn(configuration.netrc, url.hostname);
      const origin = url.origin;
      for (let hop = 0; hop <= REDIRECTS; hop += 1) {
        const headers = headersFor(options, url.origin === origin ? credentials : undefined);
        const message = await withRetries(
          () => once(url, headers, options.signal),
          url,
          configuration.retries,
          options.signal,
        );
        const status = message.statusCode ?? 0;
        if ([301, 302, 303, 307, 308].includes(status)) {
          message.destroy();
          url = redirect(url, message.headers.location);
          continue;
        }
        return respond(message, status, url, configuration.timeout);
      }
      throw invalid(url, `redirects more than ${REDIRECTS} times`);
    },
  };
}

/** What may be shown of a URL: no credentials, no query (storage links carry their signature there). */
export function shown(url: string | URL): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

function headersFor(options: Get, credentials: Credentials | undefined): Record<string, string> {
  return {
    accept: options.accept,
    'user-agent': 'mcp-build',
    // Ranges count bytes of the coded form: where one is asked for, nothing may code it.
    'accept-encoding': options.from === undefined ? 'gzip' : 'identity',
    ...(options.from ? { range: `bytes=${options.from}-` } : {}),
    ...(credentials
      ? {
          authorization: `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`,
        }
      : {}),
  };
}

function send(
  url: URL,
  headers: Record<string, string>,
  agent: Agent,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const make = url.protocol === 'https:' ? requestHttps : requestHttp;
    const request = make(url, { headers, agent, timeout, ...(signal ? { signal } : {}) });
    // The socket's own time-out counts silence, and stays on while the body is read.
    request.on('timeout', () => request.destroy(new Error(`silent for ${timeout / 1000} s`)));
    request.on('error', reject);
    request.on('response', resolve);
    request.end();
  });
}

async function withRetries(
  work: () => Promise<IncomingMessage>,
  url: URL,
  retries: number,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  for (let attempt = 0; ; attempt += 1) {
    let wait = 500 * 2 ** attempt;
    try {
      const message = await work();
      const status = message.statusCode ?? 0;
      if (status !== 408 && status !== 429 && status < 500) return message;
      message.destroy();
      const after = Number(message.headers['retry-after']);
      if (Number.isFinite(after) && after >= 0) wait = after * 1000;
      if (attempt === retries || wait > LONGEST_WAIT) throw unavailable(url, `answers ${status}`);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof McpBuildError) throw error;
      if (attempt === retries || !isPassing(error)) throw unavailable(url, reasonOf(error), error);
    }
    await sleep(wait, undefined, signal ? { signal } : {});
  }
}

const PERMANENT = /^(?:CERT_|ERR_TLS|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HOSTNAME|ERR_INVALID|ERR_SSL|ENOTFOUND)/;

function isPassing(error: unknown): boolean {
  return !PERMANENT.test((error as NodeJS.ErrnoException).code ?? '');
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  // Node's text for a refused connection names nothing but the address; anything longer could repeat a URL.
  return code ? `can't be reached (${code})` : `can't be reached: ${String(message).slice(0, 100)}`;
}

function redirect(from: URL, location: string | undefined): URL {
  let next: URL;
  try {
    next = new URL(location ?? '', from);
  } catch {
    throw invalid(from, 'redirects to what is no URL');
  }
  if (!location || (next.protocol !== 'https:' && next.protocol !== 'http:')) {
    throw invalid(from, 'redirects to what is no http or https URL');
  }
  if (from.protocol === 'https:' && next.protocol === 'http:') throw invalid(from, 'redirects from https to http');
  next.username = '';
  next.password = '';
  return next;
}

function respond(message: IncomingMessage, status: number, url: URL, timeout: number): Response {
  if (status === 401 || status === 403) {
    message.destroy();
    throw new McpBuildError({
      code: 'registry-unauthorized',
      message: `${shown(url)} answers ${status}: the index wants other credentials`,
      input: shown(url),
      fix: 'Give them by UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD, in the URL of the index, or in netrc.',
      exit: 5,
    });
  }
  if (![200, 206, 404, 410, 416].includes(status)) {
    message.destroy();
    throw invalid(url, `answers ${status}`);
  }
  const coding = message.headers['content-encoding'] ?? 'identity';
  const range = /^bytes ([0-9]+)-/.exec(message.headers['content-range'] ?? '');
  return {
    status,
    url: url.href,
    type: (message.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '',
    from: range ? Number(range[1]) : undefined,
    body: bodyOf(message, coding, url, timeout),
    discard: () => message.destroy(),
  };
}

async function* bodyOf(
  message: IncomingMessage,
  coding: string,
  url: URL,
  timeout: number,
): AsyncGenerator<Uint8Array> {
  const plain = coding === 'identity' || coding === '';
  if (!plain && coding !== 'gzip') throw invalid(url, 'answers in a coding that was not asked for');
  const stream = plain ? message : message.pipe(createGunzip());
  if (!plain) message.on('error', (error) => stream.destroy(error));
  // A server that closes early ends the message without an error of its own.
  message.on('close', () => {
    if (!message.complete) stream.destroy(new Error('closed early'));
  });
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (error) {
    if (error instanceof McpBuildError) throw error;
    if ((error as Error).name === 'AbortError') throw error;
    throw unavailable(url, `stops in the middle of its answer, or is silent for ${timeout} s`, error);
  } finally {
    message.destroy();
  }
}

function unavailable(url: URL, what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'registry-unavailable',
    message: `${shown(url)} ${what}`,
    input: shown(url),
    fix: 'Check the network, the proxy and the address of the index, then try again.',
    exit: 5,
    ...(cause === undefined ? {} : { cause }),
  });
}

function invalid(url: URL, what: string): McpBuildError {
  return new McpBuildError({
    code: 'registry-invalid',
    message: `${shown(url)} ${what}`,
    input: shown(url),
    fix: 'Check that the address is that of an index with the simple API.',
    exit: 5,
  });
}
