import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export type Algorithm = 'RS256' | 'ES256' | 'EdDSA';

export interface Claims {
  readonly [name: string]: unknown;
}

/** An authorization server: discovery, keys, registration, authorization code with PKCE, and tokens for a resource. */
export interface Provider {
  readonly issuer: string;
  /** How often each of its paths was asked for. */
  readonly asked: Map<string, number>;
  /** What the token endpoint puts into tokens besides. */
  claims: Claims;
  /** Answers with this instead of keys, where it is set. */
  keysAnswer: { readonly status: number; readonly body: string } | undefined;
  /** The metadata's issuer, where it lies. */
  announced: string | undefined;
  /** A token of this provider. @param header replaces members of its head; undefined leaves one out */
  token(claims: Claims, options?: { readonly algorithm?: Algorithm; readonly header?: Claims }): string;
  /** Another key signs from now on. @param keep whether what the old one signed is still good */
  rotate(keep?: boolean): void;
  /** Its public key of an algorithm, as everybody can have it. */
  publicKey(algorithm: Algorithm): KeyObject;
  [Symbol.asyncDispose](): Promise<void>;
}

interface Pair {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

function pairs(): Pair[] {
  const made = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: generateKeyPairSync('ed25519'),
  };
  return Object.entries(made).map(([algorithm, pair]) => ({
    ...pair,
    algorithm: algorithm as Algorithm,
    kid: `${algorithm}-${randomUUID()}`,
  }));
}

export function signed(algorithm: Algorithm, key: KeyObject, head: Claims, body: Claims): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode(head)}.${encode(body)}`;
  const signature =
    algorithm === 'EdDSA'
      ? sign(undefined, Buffer.from(text), key)
      : sign('sha256', Buffer.from(text), algorithm === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key);
  return `${text}.${signature.toString('base64url')}`;
}

export async function startProvider(): Promise<Provider> {
  let current = pairs();
  let published = current;
  const codes = new Map<string, URLSearchParams>();
  const asked = new Map<string, number>();

  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', issuer);
    asked.set(url.pathname, (asked.get(url.pathname) ?? 0) + 1);
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const json = (value: unknown, status = 200) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json({
          issuer: provider.announced ?? issuer,
          jwks_uri: `${issuer}/keys`,
          authorization_endpoint: `${issuer}/authorize`,
          token_endpoint: `${issuer}/token`,
          registration_endpoint: `${issuer}/register`,
          response_types_supported: ['code'],
          grant_types_supported: ['authorization_code'],
          code_challenge_methods_supported: ['S256'],
          token_endpoint_auth_methods_supported: ['none'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256'],
        });
      case '/keys':
        if (provider.keysAnswer) {
          response.writeHead(provider.keysAnswer.status).end(provider.keysAnswer.body);
          return;
        }
        return json({
          keys: published.map(({ publicKey, kid, algorithm }) => ({
            ...publicKey.export({ format: 'jwk' }),
            kid,
            alg: algorithm,
            use: 'sig',
          })),
        });
      case '/register':
        return json({ ...(JSON.parse(text) as object), client_id: 'registered' }, 201);
      case '/authorize': {
        // The person at the browser says yes.
        const code = randomUUID();
        codes.set(code, url.searchParams);
        const back = new URL(url.searchParams.get('redirect_uri') ?? '');
        back.searchParams.set('code', code);
        const state = url.searchParams.get('state');
        if (state !== null) back.searchParams.set('state', state);
        response.writeHead(302, { location: back.href }).end();
        return;
      }
      case '/token': {
        const form = new URLSearchParams(text);
        const given = codes.get(form.get('code') ?? '');
        codes.delete(form.get('code') ?? '');
        const challenge = createHash('sha256')
          .update(form.get('code_verifier') ?? '')
          .digest('base64url');
        const same = given?.get('resource') === form.get('resource');
        if (!given || given.get('code_challenge') !== challenge || !same) return json({ error: 'invalid_grant' }, 400);
        const claims = {
          sub: 'alice',
          aud: form.get('resource'),
          client_id: form.get('client_id'),
          scope: given.get('scope') ?? '',
          ...provider.claims,
        };
        return json({ access_token: provider.token(claims), token_type: 'Bearer', expires_in: 600 });
      }
      default:
        return json({ error: 'not_found' }, 404);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const provider: Provider = {
    issuer,
    asked,
    claims: {},
    keysAnswer: undefined,
    announced: undefined,
    token(claims, { algorithm = 'RS256', header = {} } = {}) {
      const pair = current.find((each) => each.algorithm === algorithm) as Pair;
      const now = Math.floor(Date.now() / 1000);
      const head = { alg: algorithm, kid: pair.kid, typ: 'at+jwt', ...header };
      return signed(algorithm, pair.privateKey, head, {
        iss: issuer,
        sub: 'alice',
        iat: now,
        exp: now + 600,
        ...claims,
      });
    },
    rotate(keep = false) {
      const before = current;
      current = pairs();
      published = keep ? [...before, ...current] : current;
    },
    publicKey: (algorithm) => (current.find((each) => each.algorithm === algorithm) as Pair).publicKey,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return provider;
}
