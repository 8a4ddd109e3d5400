import type { IncomingMessage } from 'node:http';
import { ANYBODY, type Identity, mayUse } from '../identity.ts';
import { hashToken } from '../tokens.ts';

/** Who may come in to which server. */
export interface Door {
  /** @returns who it is, or with which status and why not */
  enter(request: IncomingMessage, server: string): Identity | Refused;
}

export interface Refused {
  readonly status: 401 | 403 | 429;
  readonly why: string;
  /** Seconds. */
  readonly retryAfter?: number;
}

export interface DoorOptions {
  /** Whether who has no token may come in where none is set: never where others than this machine's programs get to. */
  readonly anybody: () => boolean;
  /** By the hash of the token: those made by `token create`. */
  readonly stored: () => ReadonlyMap<string, Identity>;
  /** Hashes of the tokens that the configuration names for a server. */
  readonly configured: (server: string) => ReadonlySet<string> | undefined;
  /** Of each token; undefined for no limit. */
  readonly requestsPerSecond: number | undefined;
}

export function isRefused(value: Identity | Refused): value is Refused {
  return 'status' in value;
}

export function door(options: DoorOptions): Door {
  const rate = options.requestsPerSecond === undefined ? undefined : limiter(options.requestsPerSecond);
  const identities = new Map<string, Identity>();
  const who = (request: IncomingMessage, server: string): Identity | Refused => {
    const stored = options.stored();
    const configured = options.configured(server);
    const { authorization } = request.headers;
    if (stored.size === 0 && (configured === undefined || configured.size === 0) && options.anybody()) return ANYBODY;
    const token = authorization === undefined ? undefined : /^bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (token === undefined) return { status: 401, why: 'A token is needed: Authorization: Bearer …' };
    // By its hash: how long the comparison takes tells nothing about the token.
    const hash = hashToken(token);
    const found = stored.get(hash);
    if (found) {
      if (found.expires !== undefined && found.expires <= Date.now())
        return { status: 401, why: 'The token has expired' };
      return mayUse(found, server) ? found : { status: 403, why: 'The token is not for this server' };
    }
    if (!configured?.has(hash)) return { status: 401, why: 'The token is not known' };
    let identity = identities.get(hash);
    if (!identity) {
      identity = { ...ANYBODY, id: hash.slice(0, 16), name: `config ${hash.slice(0, 8)}` };
      identities.set(hash, identity);
    }
    return identity;
  };
  return {
    enter(request, server) {
      const identity = who(request, server);
      if (isRefused(identity) || !rate) return identity;
      const wait = rate(identity === ANYBODY ? (request.socket.remoteAddress ?? '') : identity.id);
      return wait === 0 ? identity : { status: 429, why: 'Too many requests', retryAfter: Math.ceil(wait) };
    },
  };
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
