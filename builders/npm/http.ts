import { get as httpGet, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import npmFetch from 'npm-registry-fetch';
import { McpBuildError } from '../../errors/index.ts';
import type { FlatOptions, NpmConfiguration } from './configuration.ts';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Where it came from in the end, for an error: without credentials or query. */
  readonly url: string;
  /** Must be consumed or destroyed. Bytes are as sent: an encoding is not undone. */
  readonly body: IncomingMessage;
}

export interface RequestOptions {
  readonly configuration: NpmConfiguration;
  readonly headers?: Readonly<Record<string, string>>;
  /** The registry whose credentials also count for other paths of its host, as npm has it. */
  readonly registry: string;
  readonly signal?: AbortSignal | undefined;
}

/** A silent peer is given up after this, in milliseconds, or after npm's own `fetch-timeout` where that is shorter. */
const STALL = 30_000;
/** Nor may one answer take longer than this, in milliseconds, however steadily it drips. */
const DEADLINE = 15 * 60_000;
const REDIRECTS = 5;

/**
 * One GET with retries. Redirects are followed by hand: each hop gets the credentials npm's configuration holds for that very host
 * and no others, and never leads from TLS to plain text. A status is an answer here, not an error.
 * @throws McpBuildError `registry-unavailable` when there was no answer, or only 5xx and 429
 */
export async function request(url: string, options: RequestOptions): Promise<Reply> {
  const { retries, pause } = retryPlan(options.configuration.flat);
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted();
    let failure: { what: string; cause?: unknown; after?: number };
    try {
      const reply = await follow(url, options);
      if (!isTemporary(reply.status)) return reply;
      reply.body.destroy();
      failure = { what: `answered ${reply.status}`, after: retryAfter(reply.headers) };
    } catch (cause) {
      options.signal?.throwIfAborted();
      if (cause instanceof McpBuildError) throw cause;
      failure = { what: reasonOf(cause), cause };
      if (isHopeless(cause)) throw unavailable(url, failure.what, cause);
    }
    if (attempt >= retries) throw unavailable(url, failure.what, failure.cause);
    await sleep(Math.max(failure.after ?? 0, pause(attempt)), undefined, { signal: options.signal });
  }
}

/** The body as one buffer. @throws McpBuildError `registry-invalid` above `limit` bytes */
export async function readBody(reply: Reply, body: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) {
      reply.body.destroy();
      throw new McpBuildError({
        code: 'registry-invalid',
        message: `${reply.url} sends more than ${limit} bytes`,
        input: reply.url,
        fix: 'Check that this is an npm registry.',
        exit: 5,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

export function unavailable(url: string, what: string, cause?: unknown): McpBuildError {
  const shown = redact(url);
  return new McpBuildError({
    code: 'registry-unavailable',
    message: `${shown} ${what}`,
    input: shown,
    fix: "Check the network and npm's configuration (registry, proxy, cafile), then try again.",
    exit: 5,
    cause,
  });
}

/** Milliseconds to wait before the given retry, and how many there are: npm's settings, but never its minute-long pauses. */
export function retryPlan(flat: FlatOptions): { retries: number; pause: (attempt: number) => number } {
  const retry = flat.retry as { retries?: number; minTimeout?: number } | undefined;
  const first = Math.min(retry?.minTimeout ?? 500, 500);
  return {
    retries: Math.min(Math.max(retry?.retries ?? 2, 0), 10),
    pause: (attempt) => Math.min(first * 3 ** attempt, 5_000),
  };
}

export function redact(url: string): string {
  try {
    const { origin, pathname } = new URL(url);
    return `${origin}${pathname}`;
  } catch {
    return 'an unreadable URL';
  }
}

async function follow(url: string, options: RequestOptions): Promise<Reply> {
  let at = parse(url);
  for (let hop = 0; ; hop++) {
    const body = await send(at, options);
    const status = body.statusCode ?? 0;
    const { location } = body.headers;
    if (![301, 302, 303, 307, 308].includes(status) || location === undefined) {
      const timer = setTimeout(
        () => body.destroy(new Error(`took longer than ${DEADLINE / 60_000} min`)),
        DEADLINE,
      ).unref();
      body.once('close', () => clearTimeout(timer));
      return { status, headers: body.headers, url: redact(at.href), body };
    }
    body.destroy();
    const next = URL.canParse(location, at) ? new URL(location, at) : undefined;
    if (!next || hop >= REDIRECTS || (at.protocol === 'https:' && next.protocol !== 'https:')) {
      throw unavailable(at.href, `redirects ${hop >= REDIRECTS ? 'in circles' : 'to where nothing is fetched from'}`);
    }
    at = parse(next.href);
  }
}

function parse(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol === 'https:' || parsed?.protocol === 'http:') return parsed;
  throw new McpBuildError({
    code: 'registry-invalid',
    message: `${redact(url)} is not an address of a registry`,
    input: redact(url),
    fix: "Set npm's `registry` to an http(s) URL.",
    exit: 5,
  });
}

function send(url: URL, { configuration, headers, registry, signal }: RequestOptions): Promise<IncomingMessage> {
  const { flat, agents } = configuration;
  const secure = url.protocol === 'https:';
  const auth = credentialsFor(url.href, registry, flat);
  const stall = Math.min(typeof flat.timeout === 'number' && flat.timeout > 0 ? flat.timeout : STALL, STALL);
  return new Promise((resolve, reject) => {
    const outgoing = (secure ? httpsGet : httpGet)(
      url,
      {
        agent: secure ? agents.https : agents.http,
        ...(auth.cert && auth.key ? { cert: auth.cert, key: auth.key } : {}),
        ...(signal ? { signal } : {}),
        headers: {
          'user-agent': String(flat.userAgent ?? 'mcp-build'),
          ...headers,
          ...(auth.token ? { authorization: `Bearer ${auth.token}` } : {}),
          ...(auth.auth ? { authorization: `Basic ${auth.auth}` } : {}),
        },
      },
      resolve,
    );
    outgoing.setTimeout(stall, () => outgoing.destroy(new Error(`said nothing for ${stall / 1000} s`)));
    outgoing.on('error', reject);
  });
}

interface Credentials {
  readonly token?: string | null;
  readonly auth?: string | null;
  readonly cert?: string | null;
  readonly key?: string | null;
}

function credentialsFor(url: string, registry: string, flat: FlatOptions): Credentials {
  const { getAuth } = npmFetch as unknown as { getAuth(uri: string, options: FlatOptions): Credentials };
  return getAuth(url, { ...flat, registry, spec: undefined });
}

function isTemporary(status: number): boolean {
  return status >= 500 || [408, 420, 429].includes(status);
}

/** Names that don't exist and certificates that don't match won't do so a second later. */
function isHopeless(cause: unknown): boolean {
  const code = (cause as NodeJS.ErrnoException)?.code ?? '';
  return code === 'ENOTFOUND' || code === 'EINVALIDPROXY' || /CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO/.test(code);
}

function retryAfter(headers: IncomingHttpHeaders): number {
  const seconds = Number(headers['retry-after']);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 30) * 1000 : 0;
}

export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'could not be read';
  const { code } = cause as NodeJS.ErrnoException;
  return `could not be read: ${cause.message || (code ?? 'no connection')}`;
}
