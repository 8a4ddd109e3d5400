import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import type { ResourceServer } from '../config/access.ts';
import { hashToken } from '../tokens.ts';
import { type Keys, KeysUnavailable } from './keys.ts';

/** What a verified access token says. */
export interface Claims extends JWTPayload {
  readonly sub: string;
  readonly exp: number;
}

export type Verified =
  | { readonly kind: 'verified'; readonly claims: Claims }
  | { readonly kind: 'invalid'; readonly why: string }
  | { readonly kind: 'unavailable'; readonly why: string };

/** Tells who an access token is for. */
export interface Bearer {
  /** What was found out of this token a moment ago, where it is still good. */
  known(token: string): Verified | undefined;
  verify(token: string): Promise<Verified>;
}

/** In characters: headers have 16 kB altogether. */
const LONGEST = 12_000;
/** A token that was verified counts so long without another look at the keys, in milliseconds: as long as a withdrawn key goes on counting. */
const REMEMBERED = 60_000;
const MOST = 10_000;

/** RFC 9068 and what most providers write. An ID token says for another that somebody signed in. */
const TYPES: ReadonlySet<string> = new Set(['at+jwt', 'application/at+jwt', 'jwt']);

/** JSON Web Tokens of one issuer, by its public keys. Whom a token is for (`aud`) is for its caller to look at. */
export function bearer(
  { issuer, algorithms, clockSkew }: ResourceServer,
  keys: Keys,
  now: () => number = Date.now,
): Bearer {
  const held = new Map<string, { readonly claims: Claims; readonly until: number }>();

  async function check(token: string): Promise<Claims> {
    // Only gateways with a provider pay for loading it.
    const { createLocalJWKSet, jwtVerify } = await import('jose');
    const options = {
      issuer,
      algorithms: [...algorithms],
      clockTolerance: clockSkew,
      requiredClaims: ['exp', 'sub', 'aud'],
      currentDate: new Date(now()),
    };
    const by = (set: Awaited<ReturnType<Keys['current']>>) => createLocalJWKSet({ keys: [...set.keys] } as never);
    const attempt = async (find: JWTVerifyGetKey) => (await jwtVerify(token, find, options)).payload;
    const among = async (set: Awaited<ReturnType<Keys['current']>>) => {
      try {
        return await attempt(by(set));
      } catch (error) {
        // A token that doesn't name its key may be of any that fits.
        if (codeOf(error) !== 'ERR_JWKS_MULTIPLE_MATCHING_KEYS') throw error;
        for await (const key of error as AsyncIterable<never>) {
          try {
            return await attempt(async () => key);
          } catch (failed) {
            if (codeOf(failed) !== 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED') throw failed;
          }
        }
        throw Object.assign(new Error('no key fits'), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' });
      }
    };
    const set = await keys.current();
    try {
      return (await among(set)) as Claims;
    } catch (error) {
      if (codeOf(error) !== 'ERR_JWKS_NO_MATCHING_KEY') throw error;
      const newer = await keys.newer();
      if (newer === set) throw error;
      return (await among(newer)) as Claims;
    }
  }

  return {
    known(token) {
      const found = held.get(hashToken(token));
      if (!found) return undefined;
      if (now() < found.until) return { kind: 'verified', claims: found.claims };
      return undefined;
    },
    async verify(token) {
      if (token.length > LONGEST) return { kind: 'invalid', why: 'The token is too long' };
      if (!hasType(token)) return { kind: 'invalid', why: 'The token is no access token' };
      try {
        const claims = await check(token);
        if (typeof claims.sub !== 'string' || claims.sub === '') return { kind: 'invalid', why: 'It has no subject' };
        const until = Math.min(now() + REMEMBERED, (claims.exp + clockSkew) * 1000);
        if (held.size >= MOST) held.clear();
        held.set(hashToken(token), { claims, until });
        return { kind: 'verified', claims };
      } catch (error) {
        if (error instanceof KeysUnavailable) return { kind: 'unavailable', why: error.message };
        return { kind: 'invalid', why: WHY[codeOf(error)] ?? 'The token is not valid' };
      }
    },
  };
}

/** What is told of a token that doesn't count: never anything that stands in it. */
const WHY: Readonly<Record<string, string>> = {
  ERR_JWT_EXPIRED: 'The token has expired',
  ERR_JWT_CLAIM_VALIDATION_FAILED: 'The token is of another issuer, not good yet, or lacks a claim',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'The token’s signature is not the provider’s',
  ERR_JOSE_ALG_NOT_ALLOWED: 'The token is signed in a way that isn’t taken here',
  ERR_JWKS_NO_MATCHING_KEY: 'The token is signed with a key that the provider doesn’t have',
};

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? '');
}

function hasType(token: string): boolean {
  const [head = '', ...rest] = token.split('.');
  if (rest.length !== 2) return false;
  try {
    const { typ } = JSON.parse(Buffer.from(head, 'base64url').toString('utf8')) as { typ?: unknown };
    return typ === undefined || (typeof typ === 'string' && TYPES.has(typ.toLowerCase()));
  } catch {
    return false;
  }
}
