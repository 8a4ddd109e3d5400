import { z } from 'zod';
import type { Challenge } from './challenge.ts';
import type { Credential } from './credentials.ts';
import { oneLine, protocolFault, TransientError, unauthorized } from './fault.ts';
import { isTransientStatus, retryAfter } from './retry.ts';
import { type Incoming, type Outgoing, onceOf, readBody } from './wire.ts';

export interface Token {
  readonly value: string;
  /** In milliseconds since the epoch. */
  readonly expires: number;
}

export type Bearer = Extract<Challenge, { scheme: 'bearer' }>;

const CLIENT = 'mcp-build';
/** In bytes. */
const LIMIT = 256 * 1024;

const answerSchema = z.object({
  token: z.string().nullish(),
  access_token: z.string().nullish(),
  expires_in: z.number().nullish(),
});

/**
 * Asks a token server (distribution's token authentication, and its OAuth2 variant for refresh tokens). The realm may be any host:
 * that is how registries name it; `send` sees to it that it isn't one inside this network.
 * @throws McpBuildError `unauthorized`, `registry-unavailable`
 */
export async function requestToken(
  registry: string,
  challenge: Bearer,
  scopes: readonly string[],
  credential: Credential | undefined,
  send: (outgoing: Outgoing) => Promise<Incoming>,
): Promise<Token> {
  const realm = realmOf(registry, challenge.realm);
  if (credential?.kind === 'identity') {
    const form = { grant_type: 'refresh_token', refresh_token: credential.token };
    return tokenIn(registry, await send(post(realm, challenge, scopes, form)), true);
  }
  const answer = await send(get(realm, challenge, scopes, credential));
  if (credential?.kind === 'basic' && (answer.status === 404 || answer.status === 405)) {
    // A server that speaks OAuth2 only.
    await answer.discard();
    const form = { grant_type: 'password', username: credential.username, password: credential.password };
    return tokenIn(registry, await send(post(realm, challenge, scopes, form)), true);
  }
  return tokenIn(registry, answer, credential !== undefined);
}

function realmOf(registry: string, realm: string): URL {
  if (!URL.canParse(realm)) throw protocolFault(registry, 'names a token server that is not a URL');
  const url = new URL(realm);
  if (!/^https?:$/.test(url.protocol) || url.username || url.password) {
    throw protocolFault(registry, 'names a token server that is not a plain https URL');
  }
  return url;
}

function get(realm: URL, challenge: Bearer, scopes: readonly string[], credential: Credential | undefined): Outgoing {
  const url = new URL(realm);
  if (challenge.service !== undefined) url.searchParams.set('service', challenge.service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credential?.kind !== 'basic') return { method: 'GET', url, headers: {} };
  url.searchParams.set('account', credential.username);
  return { method: 'GET', url, headers: { authorization: basic(credential) } };
}

function post(
  realm: URL,
  challenge: Bearer,
  scopes: readonly string[],
  form: Readonly<Record<string, string>>,
): Outgoing {
  const bytes = Buffer.from(
    new URLSearchParams({
      client_id: CLIENT,
      ...(challenge.service === undefined ? {} : { service: challenge.service }),
      ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
      ...form,
    }).toString(),
  );
  return {
    method: 'POST',
    url: realm,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: { size: bytes.length, bytes: onceOf(bytes) },
  };
}

export function basic(credential: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`;
}

async function tokenIn(registry: string, answer: Incoming, known: boolean): Promise<Token> {
  const { status, url } = answer;
  if (status !== 200) {
    await answer.discard();
    const name = `The token server ${url.host} of ${registry}`;
    if (isTransientStatus(status)) {
      throw new TransientError(`${name} answers ${status}`, url.host, retryAfter(answer.headers['retry-after']));
    }
    // A redirect is not followed: the request may carry the password.
    if ([400, 401, 403, 405].includes(status)) throw unauthorized(name, registry, ` (${status})`, known);
    throw protocolFault(name, `answers ${status}`);
  }
  let value: unknown;
  try {
    value = JSON.parse((await readBody(answer, LIMIT)).toString());
  } catch (cause) {
    if (cause instanceof SyntaxError) throw protocolFault(url.host, 'gives a token that is not JSON');
    throw cause;
  }
  const result = answerSchema.safeParse(value);
  const token = result.data?.token || result.data?.access_token;
  // What a header can carry; anything else would be refused later, and less clearly.
  if (!token || !/^[\x21-\x7e]{1,16000}$/.test(token)) throw protocolFault(oneLine(url.host), 'gives no usable token');
  const seconds = Math.min(Math.max(result.data?.expires_in ?? 60, 60), 86_400);
  return { value: token, expires: Date.now() + (seconds - Math.min(10, seconds / 4)) * 1000 };
}
