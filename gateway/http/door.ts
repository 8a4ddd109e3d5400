import type { IncomingMessage } from 'node:http';
import type { Bearer } from '../access/bearer.ts';
import { certificateOf } from '../access/certificate.ts';
import { claimOf, granted, scopesOf } from '../access/grants.ts';
import type { ResourceServer } from '../config/access.ts';
import type { Grant } from '../config/schema.ts';
import { ANYBODY, has, type Identity, mayUse, type Power } from '../identity.ts';
import { hashToken } from '../tokens.ts';
import { metadataAddress, type Places } from './metadata.ts';

/** Who may come in to which server. */
export interface Door {
  /** To call a server, or with undefined all that they may use. @returns who it is, or with which status and why not */
  enter(request: IncomingMessage, server: string | undefined): Entered | Promise<Entered>;
  /** To what is about the gateway itself. */
  admit(request: IncomingMessage, power: Power): Entered | Promise<Entered>;
}

export type Entered = Identity | Refused;

export interface Refused {
  readonly status: 401 | 403 | 429 | 503;
  readonly why: string;
  /** Seconds. */
  readonly retryAfter?: number;
  /** The header that tells a client what to show instead. */
  readonly challenge?: string;
}

export interface DoorOptions {
  /** Whether who has no token may come in where none is set: never where others than this machine's programs get to. */
  readonly anybody: () => boolean;
  /** By the hash of the token: those made by `token create`. */
  readonly stored: () => ReadonlyMap<string, Identity>;
  /** Hashes of the tokens that the configuration names for a server. */
  readonly configured: (server: string) => ReadonlySet<string> | undefined;
  /** Names of all servers. */
  readonly servers: () => readonly string[];
  /** Of each token; undefined for no limit. */
  readonly requestsPerSecond: number | undefined;
  /** A provider whose access tokens count, too. */
  readonly oauth?: { readonly settings: ResourceServer; readonly bearer: Bearer } | undefined;
  /** Whether certificates of clients count. */
  readonly certificates: boolean;
  readonly grants: readonly Grant[] | undefined;
  readonly places: () => Places;
}

export function isRefused(value: Entered): value is Refused {
  return 'status' in value;
}

export function door(options: DoorOptions): Door {
  const rate = options.requestsPerSecond === undefined ? undefined : limiter(options.requestsPerSecond);
  const { oauth, grants } = options;
  /** Of a token that the configuration names, and of nobody in particular: both by what they are let in to. */
  const identities = new Map<string, Identity>();

  function who(request: IncomingMessage, server: string | undefined, own: boolean): Entered | Promise<Entered> {
    const nobodyToldApart = options.stored().size === 0 && !oauth && !options.certificates;
    if (own && nobodyToldApart && isThisMachine(request)) return OPERATOR;
    const free = own ? [] : unprotected(server);
    if (server !== undefined && free.length > 0) return ANYBODY;
    const { authorization } = request.headers;
    // Clients of TBXark's mcp-proxy were told to send it without the word before it.
    const token = authorization === undefined ? undefined : /^(?:bearer +)?(\S+) *$/i.exec(authorization)?.[1];
    if (token !== undefined) return holder(request, token, server, own);
    const certificate = options.certificates ? certificateOf(request.socket) : undefined;
    if (certificate) {
      const identity = granted({ kind: 'certificate', certificate }, grants);
      return identity ?? { status: 403, why: 'Nothing is granted to this certificate' };
    }
    if (free.length > 0) return limited(ANYBODY, free);
    return { status: 401, why: 'A token is needed: Authorization: Bearer …' };
  }

  /** Of one server or of all: where nobody has to show anything. */
  function unprotected(server: string | undefined): readonly string[] {
    if (options.stored().size > 0 || oauth || options.certificates || !options.anybody()) return [];
    const names = server === undefined ? options.servers() : [server];
    return names.filter((name) => (options.configured(name)?.size ?? 0) === 0);
  }

  function holder(
    request: IncomingMessage,
    token: string,
    server: string | undefined,
    own: boolean,
  ): Entered | Promise<Entered> {
    // By its hash: how long the comparison takes tells nothing about the token.
    const hash = hashToken(token);
    const found = options.stored().get(hash);
    if (found) {
      if (found.expires === undefined || found.expires > Date.now()) return found;
      return { status: 401, why: 'The token has expired' };
    }
    const named = own ? undefined : configured(hash, server);
    if (named) return named;
    if (!oauth || !token.includes('.')) return { status: 401, why: 'The token is not known' };
    const known = oauth.bearer.known(token);
    if (known) return judged(request, known, server, own);
    return oauth.bearer.verify(token).then((verified) => judged(request, verified, server, own));
  }

  function configured(hash: string, server: string | undefined): Identity | undefined {
    const names = server === undefined ? options.servers() : [server];
    const named = names.filter((name) => options.configured(name)?.has(hash));
    if (named.length === 0) return undefined;
    const good = [...named, ...(server === undefined ? unprotected(undefined) : [])];
    const key = server === undefined ? `${hash} ${good.join(' ')}` : hash;
    let identity = identities.get(key);
    if (!identity) {
      if (identities.size >= 10_000) identities.clear();
      const base = { ...ANYBODY, id: hash.slice(0, 16), name: `config ${hash.slice(0, 8)}` };
      identity = server === undefined ? limited(base, good) : base;
      identities.set(key, identity);
    }
    return identity;
  }

  function judged(
    request: IncomingMessage,
    verified: Awaited<ReturnType<Bearer['verify']>>,
    server: string | undefined,
    own: boolean,
  ): Entered {
    if (verified.kind === 'unavailable') {
      return { status: 503, why: `The provider of tokens can't be asked: ${verified.why}`, retryAfter: 5 };
    }
    if (verified.kind === 'invalid') return { status: 401, why: verified.why };
    const { claims } = verified;
    const { settings } = oauth as NonNullable<typeof oauth>;
    // RFC 8707: a token that was got for something else is not passed around here.
    const meant = [claims.aud].flat();
    const { whole, of } = options.places();
    const accepted = [...settings.audiences, whole, `${whole}/`, ...(own ? [] : [of(server)])];
    if (!accepted.some((each) => meant.includes(each))) return { status: 401, why: 'The token is for another service' };
    const bound = boundTo(claims.cnf);
    if (bound === 'unknown' || (bound !== undefined && bound !== certificateOf(request.socket)?.thumbprint)) {
      return { status: 401, why: 'The token is bound to a key that was not shown' };
    }
    const scopes = scopesOf(claims);
    const missing = settings.requiredScopes.filter((scope) => !scopes.has(scope));
    const challenge = () => needed(server, own, settings.requiredScopes);
    if (missing.length > 0)
      return { status: 403, why: `The token lacks the scope ${missing.join(' ')}`, challenge: challenge() };
    const named = claimOf(claims, settings.nameClaim);
    const name = typeof named === 'string' ? named : claims.sub;
    const identity = granted({ kind: 'claims', claims, scopes, name }, grants);
    return identity ?? { status: 403, why: 'Nothing is granted to this token', challenge: challenge() };
  }

  /** RFC 6750 and RFC 9728: what to get, and where it says from whom. */
  function needed(server: string | undefined, own: boolean, scopes: readonly string[]): string {
    const scope = scopes.length > 0 ? `, scope="${scopes.join(' ')}"` : '';
    return `Bearer realm="mcp-build", error="insufficient_scope"${scope}${described(server, own)}`;
  }

  function described(server: string | undefined, own: boolean): string {
    return oauth ? `, resource_metadata="${metadataAddress(options.places(), own ? 'whole' : server)}"` : '';
  }

  function finish(
    entered: Entered,
    request: IncomingMessage,
    server: string | undefined,
    power: Power,
    own: boolean,
  ): Entered {
    if (isRefused(entered)) {
      if (entered.status !== 401) return entered;
      const sent = request.headers.authorization !== undefined;
      const error = sent ? `, error="invalid_token", error_description="${plain(entered.why)}"` : '';
      const scopes =
        oauth && oauth.settings.requiredScopes.length > 0 ? `, scope="${oauth.settings.requiredScopes.join(' ')}"` : '';
      return { ...entered, challenge: `Bearer realm="mcp-build"${error}${scopes}${described(server, own)}` };
    }
    if (!has(entered, power)) {
      const why = power === 'call' ? 'This role calls no servers' : `This role may not ${power}`;
      return { status: 403, why };
    }
    if (server !== undefined && power === 'call' && !mayUse(entered, server)) {
      return { status: 403, why: 'The token is not for this server' };
    }
    if (!rate) return entered;
    const wait = rate(entered.id === ANYBODY.id ? (request.socket.remoteAddress ?? '') : entered.id);
    return wait === 0 ? entered : { status: 429, why: 'Too many requests', retryAfter: Math.ceil(wait) };
  }

  function look(request: IncomingMessage, server: string | undefined, power: Power, own: boolean) {
    const entered = who(request, server, own);
    // Most callers are known at once, and then nobody waits for a turn of the event loop.
    if (!(entered instanceof Promise)) return finish(entered, request, server, power, own);
    return entered.then((found) => finish(found, request, server, power, own));
  }

  return {
    enter: (request, server) => look(request, server, 'call', false),
    admit: (request, power) => look(request, undefined, power, true),
  };
}

/** Who sits at the machine, where nobody else was ever told apart. */
const OPERATOR: Identity = {
  ...ANYBODY,
  id: 'this-machine',
  name: 'this machine',
  powers: new Map([
    ['watch', undefined],
    ['control', undefined],
  ]),
};

function isThisMachine({ headers, socket }: IncomingMessage): boolean {
  const local = socket.remoteAddress === undefined || /^(?:::ffff:)?127\.|^::1$/.test(socket.remoteAddress);
  // What a reverse proxy on this machine passes on comes from elsewhere.
  const direct = headers['x-forwarded-for'] === undefined && headers.forwarded === undefined;
  const own = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i.test(headers.host ?? '');
  return local && direct && (own || socket.remoteAddress === undefined);
}

function limited(identity: Identity, servers: readonly string[]): Identity {
  return { ...identity, servers: new Set(servers) };
}

/** RFC 8705: the certificate that must have been shown with a token. What is bound in another way can't be checked here. */
function boundTo(cnf: unknown): string | 'unknown' | undefined {
  if (cnf === undefined) return undefined;
  if (typeof cnf !== 'object' || cnf === null) return 'unknown';
  const thumbprint = (cnf as Record<string, unknown>)['x5t#S256'];
  return typeof thumbprint === 'string' && Object.keys(cnf).length === 1 ? thumbprint : 'unknown';
}

/** What a quoted string of a header may hold. */
function plain(text: string): string {
  return text.replace(/[’]/g, "'").replace(/[^\x20-\x7e]|["\\]/g, '');
}

/** A bucket for each client, which holds a second's requests. @returns seconds to wait, 0 for none */
function limiter(perSecond: number): (who: string) => number {
  const size = Math.max(1, perSecond);
  let buckets = new Map<string, { left: number; at: number }>();
  return (who) => {
    const now = Date.now();
    // Those that have been full again for long are as good as new ones.
    if (buckets.size > 10_000) buckets = new Map([...buckets].filter(([, { at }]) => now - at < 2000));
    const bucket = buckets.get(who) ?? { left: size, at: now };
    bucket.left = Math.min(size, bucket.left + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    buckets.set(who, bucket);
    if (bucket.left < 1) return (1 - bucket.left) / perSecond;
    bucket.left -= 1;
    return 0;
  };
}
