import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { faultOf } from '../rpc/fault.ts';
import { type Message, readMessage } from '../rpc/message.ts';
import type { Service } from '../service.ts';
import { metaFromHeaders, withMeta } from '../tracing/context.ts';
import type { Observer } from '../watching/observer.ts';
import { readBody } from './body.ts';
import { type Door, isRefused, type Refused } from './door.ts';
import { listeners } from './events.ts';
import { type Guard, preflight } from './guard.ts';
import { speaksModern } from './headers.ts';
import { metadataPath } from './metadata.ts';
import { refuse, sendFault, sendJson } from './reply.ts';
import { postModern } from './stateless.ts';
import { deleteLegacy, type Exchange, getLegacy, postLegacy } from './streamable.ts';

export interface FrontOptions {
  readonly guard: () => Guard;
  readonly door: () => Door;
  /** One server, or with undefined all of them under one address. */
  readonly service: (name: string | undefined) => Service | undefined;
  readonly health: () => Health;
  /** Path under which a reverse proxy passes requests on, without a slash at its end. */
  readonly base: () => string;
  /** In bytes. */
  readonly maxBody: () => number;
  readonly pages?: Pages;
  readonly observer?: Observer;
  /** Answers a path of RFC 9728; undefined where no provider's tokens count. */
  readonly metadata: () => ((path: string, response: ServerResponse) => boolean) | undefined;
}

/** Answers paths of the gateway's own, which begin with `/_`. @returns false for those it doesn't know */
export type Pages = (path: string, request: IncomingMessage, response: ServerResponse, door: Door) => boolean;

export interface Health {
  /** Whether each server that should run does. */
  readonly ready: boolean;
  readonly servers: Readonly<Record<string, { readonly state: string; readonly trouble?: string }>>;
}

type Kind = 'mcp' | 'sse' | 'message';

/** Answers every HTTP request. */
export function front(options: FrontOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const older = listeners(() => randomBytes(16).toString('base64url'));

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const refused = options.guard()(request, response);
    if (refused !== undefined) return drop(request, response, 403, refused);
    const [path = '/', query = ''] = splitUrl(request.url ?? '/');
    if (path === '/_healthz' || path === '/_readyz') return health(options.health(), path, response);
    if (path.startsWith('/_') && options.pages?.(path, request, response, options.door())) return;
    const resource = metadataPath(path);
    if (resource !== undefined && request.method === 'OPTIONS') return preflight(request, response);
    if (resource !== undefined && request.method === 'GET' && options.metadata()?.(resource, response)) return;
    const route = routeOf(path, options.base(), (name) => options.service(name) !== undefined);
    const service = route && options.service(route.server);
    if (!route || !service) return drop(request, response, 404, 'There is no such server here');
    // Browsers ask without a token; the answer tells nothing.
    if (request.method === 'OPTIONS' && request.headers.origin !== undefined) return preflight(request, response);
    const entered = options.door().enter(request, route.server);
    const identity = entered instanceof Promise ? await entered : entered;
    if (isRefused(identity)) {
      options.observer?.incident({ kind: 'entry-refused', server: service.name, status: identity.status });
      return drop(request, response, identity.status, identity.why, refusalHeaders(identity));
    }
    await answer(route, { request, response, service, identity }, query);
  }

  async function answer({ kind, server }: Route, exchange: Exchange, query: string): Promise<void> {
    const { request, response } = exchange;
    if (kind === 'sse' && request.method === 'GET') {
      return older.get(exchange, `${options.base()}${server === undefined ? '' : `/${server}`}/message`);
    }
    if (kind === 'mcp' && request.method === 'GET') return getLegacy(exchange);
    if (kind === 'mcp' && request.method === 'DELETE') return deleteLegacy(exchange);
    if (request.method !== 'POST' || kind === 'sse') {
      const allow = { mcp: 'GET, POST, DELETE', sse: 'GET', message: 'POST' }[kind];
      return drop(request, response, 405, `${request.method} is not for this address`, { allow });
    }
    const read = await messageOf(request, response);
    if (!read) return;
    const message = options.observer?.trace ? traced(read, request.headers) : read;
    if (kind === 'message') return older.post(exchange, new URLSearchParams(query).get('sessionId') ?? '', message);
    if (speaksModern(request.headers, message)) return postModern(exchange, message);
    return postLegacy(exchange, message);
  }

  async function messageOf(request: IncomingMessage, response: ServerResponse): Promise<Message | undefined> {
    const type = request.headers['content-type'];
    if (type === undefined || !/^application\/json\s*(?:;|$)/i.test(type)) {
      drop(request, response, 415, 'The body must be application/json');
      return undefined;
    }
    try {
      const message = await readBody(request, options.maxBody(), readMessage);
      if (message === 'gone') return undefined;
      if (message !== 'too-large') return message;
      drop(request, response, 413, `A body may have ${options.maxBody()} bytes at most`);
    } catch (error) {
      sendFault(response, 400, faultOf(error));
    }
    return undefined;
  }

  return (request, response) => {
    // A client that went away is no error of ours.
    response.on('error', () => undefined);
    handle(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendFault(response, 500, faultOf(error));
    });
  };
}

/** The trace that HTTP's headers speak of is the message's, too, where it doesn't say itself. */
function traced(message: Message, headers: IncomingHttpHeaders): Message {
  if (message.kind !== 'request' || headers.traceparent === undefined) return message;
  const meta = metaFromHeaders(headers, message.params);
  return meta ? readMessage(Buffer.from(withMeta(message.text, meta))) : message;
}

/** What tells a refused client what to do about it. */
export function refusalHeaders({ challenge, retryAfter }: Refused): Readonly<Record<string, string>> {
  return {
    ...(challenge === undefined ? {} : { 'www-authenticate': challenge }),
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  };
}

/** Refuses without reading what comes. */
function drop(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  why: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const unread = request.method === 'POST' && !request.complete;
  refuse(response, status, why, unread ? { ...headers, connection: 'close' } : headers);
}

function health(state: Health, path: string, response: ServerResponse): void {
  // Healthy is that it answers; ready is that calls would be. Why not is told to whoever reads the log.
  const ok = path === '/_healthz' || state.ready;
  const servers = Object.fromEntries(Object.entries(state.servers).map(([name, each]) => [name, each.state]));
  const body = path === '/_healthz' ? { status: 'ok' } : { status: ok ? 'ready' : 'not ready', servers };
  sendJson(response, ok ? 200 : 503, JSON.stringify(body), { 'cache-control': 'no-store' });
}

function splitUrl(url: string): readonly string[] {
  const at = url.indexOf('?');
  return at < 0 ? [url] : [url.slice(0, at), url.slice(at + 1)];
}

interface Route {
  /** Undefined for all servers together. */
  readonly server: string | undefined;
  readonly kind: Kind;
}

/** `/<name>/mcp` and `/mcp`, with or without the path that a reverse proxy adds. A trailing slash makes no difference. */
function routeOf(path: string, base: string, exists: (server: string) => boolean): Route | undefined {
  const match = /^(.*)\/(mcp|sse|message)\/?$/.exec(path);
  if (!match) return undefined;
  const [, before = '', kind] = match;
  const one = /^(.*)\/([\w.-]{1,64})$/.exec(before);
  if (one && (one[1] === '' || one[1] === base)) {
    const server = one[2] as string;
    // A proxy's path may be called as a server is, or else stand for all of them.
    if (before !== base || exists(server)) return { server, kind: kind as Kind };
  }
  return before === '' || before === base ? { server: undefined, kind: kind as Kind } : undefined;
}
