import { z } from 'zod';
import { isSafe } from '../config/access.ts';

/** A provider's public keys, as RFC 7517 writes them. */
export interface KeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

export interface Keys {
  /** The keys as they are known. @throws KeysUnavailable */
  current(): Promise<KeySet>;
  /** For a key that isn't among them: asked for again, but not by every token that names an unknown one. @throws KeysUnavailable */
  newer(): Promise<KeySet>;
}

/** The provider can't be asked: nobody's fault who shows a token. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable';
}

export interface KeysOptions {
  readonly issuer: string;
  /** Found by discovery where it isn't named. */
  readonly jwksURI: string | undefined;
  readonly now?: () => number;
}

/** Keys are asked for again after so long, in milliseconds; a provider that is away is done without for a day at most. */
const FRESH = 10 * 60_000;
const STALE = 24 * 3_600_000;
/** Between two requests for keys, whatever tokens come. */
const PAUSE = 30_000;
const TIMEOUT = 5_000;
/** In bytes, of one document. */
const LIMIT = 256 * 1024;

const keySet = z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(100) });
const metadata = z.object({ issuer: z.string().max(2000), jwks_uri: z.url({ protocol: /^https?$/ }).max(2000) });

export function providerKeys({ issuer, jwksURI, now = Date.now }: KeysOptions): Keys {
  let place = jwksURI;
  let held: KeySet | undefined;
  let at = 0;
  let tried = Number.NEGATIVE_INFINITY;
  let asking: Promise<KeySet> | undefined;

  async function ask(): Promise<KeySet> {
    tried = now();
    place ??= await discover(issuer);
    const { keys } = keySet.parse(await fetchJson(place));
    // A secret that both sides know signs nothing here, and a key for encrypting no signature.
    const usable = keys.filter(({ kty, use }) => ['RSA', 'EC', 'OKP'].includes(String(kty)) && use !== 'enc');
    held = { keys: usable.map(({ d: _private, ...key }) => key) };
    at = now();
    return held;
  }

  function again(): Promise<KeySet> {
    asking ??= ask()
      .catch((error: unknown) => {
        throw error instanceof KeysUnavailable ? error : new KeysUnavailable(reasonOf(error));
      })
      .finally(() => {
        asking = undefined;
      });
    return asking;
  }

  return {
    async current() {
      const age = now() - at;
      if (held && age < FRESH) return held;
      if (!held || age > STALE) {
        // A provider that is away is asked by one token in a while, not by each.
        if (!asking && now() - tried < (held ? PAUSE : 1_000))
          throw new KeysUnavailable('it did not answer a moment ago');
        return again();
      }
      // Nobody waits for what will most likely be the same.
      if (now() - tried >= PAUSE) void again().catch(() => undefined);
      return held;
    },
    async newer() {
      if (held && !asking && now() - tried < PAUSE) return held;
      return again();
    },
  };
}

/** RFC 8414, and what OpenID Connect had before it. What names another issuer is another's. */
async function discover(issuer: string): Promise<string> {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  const places = [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
  let last: unknown;
  for (const place of places) {
    try {
      const found = metadata.parse(await fetchJson(place));
      if (found.issuer !== issuer) throw new KeysUnavailable(`${place} is of the issuer ${found.issuer.slice(0, 200)}`);
      if (!isSafe(found.jwks_uri)) throw new KeysUnavailable('its keys are not at an https address');
      return found.jwks_uri;
    } catch (error) {
      last = error;
    }
  }
  throw new KeysUnavailable(reasonOf(last));
}

async function fetchJson(place: string): Promise<unknown> {
  const response = await fetch(place, {
    headers: { accept: 'application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT),
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new KeysUnavailable(`${new URL(place).host} answers ${response.status}`);
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > LIMIT) throw new KeysUnavailable(`${new URL(place).host} sends more than ${LIMIT} bytes`);
    parts.push(part);
  }
  return JSON.parse(Buffer.concat(parts).toString('utf8'));
}

function reasonOf(error: unknown): string {
  if (error instanceof z.ZodError) return 'it answers with something else than keys';
  const { cause } = error as { cause?: { code?: string } };
  return cause?.code ?? (error instanceof Error ? error.message : String(error));
}
