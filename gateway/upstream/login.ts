import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { OAuthClientProvider, OAuthDiscoveryState } from '@modelcontextprotocol/client';
import { McpBuildError } from '../../errors/index.ts';
import { authFetch, isLoopback } from './auth-fetch.ts';
import { clientOf, discovered, fromSdk, type OAuthSettings, scopeOf } from './oauth.ts';
import type { Login, LoginStore, OAuthClient } from './oauth-store.ts';
import { place } from './place.ts';

export interface LogInOptions {
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly oauth: OAuthSettings | undefined;
  readonly store: LoginStore;
  /** Shows the operator where to log in. */
  readonly show: (address: URL) => void;
  /** The address that the browser ended at, where it couldn't reach this machine: lines that the operator pasted. */
  readonly pasted?: AsyncIterable<string>;
  /** In milliseconds; ten minutes without. */
  readonly patience?: number;
}

const PATIENCE = 600_000;

/**
 * Logs an operator in at a server elsewhere: authorization code with PKCE, by the operator's own browser (RFC 8252). What comes of it is kept in
 * the store, for every later start of the gateway.
 * @throws McpBuildError `login-refused`, `login-timeout`, `authorization-server-refused`
 */
export async function logIn(options: LogInOptions): Promise<Login> {
  const { url, oauth, store, show } = options;
  const { auth, extractWWWAuthenticateParams } = await import('@modelcontextprotocol/client');
  const state = randomBytes(16).toString('base64url');
  const back = await callback(oauth?.redirectURI || undefined, state);
  let verifier = '';
  let client: OAuthClient | undefined;
  let discovery: OAuthDiscoveryState | undefined;
  let done: Login | undefined;
  const redirectUrl = back.redirect;
  const provider: OAuthClientProvider = {
    redirectUrl,
    clientMetadata: {
      client_name: 'mcp-build gateway',
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      ...scopeOf(oauth),
    },
    state: () => state,
    clientInformation(context) {
      const found = clientOf(oauth, undefined) ?? client;
      if (!found) return undefined;
      const { id, secret } = found;
      return {
        client_id: id,
        ...(context ? { issuer: context.issuer } : {}),
        ...(secret === undefined ? {} : { client_secret: secret }),
        ...(client?.authMethod === undefined ? {} : { token_endpoint_auth_method: client.authMethod }),
      };
    },
    saveClientInformation(given) {
      const method = (given as { token_endpoint_auth_method?: string }).token_endpoint_auth_method;
      client = { id: given.client_id, secret: given.client_secret, authMethod: method };
    },
    tokens: () => undefined,
    async saveTokens(given) {
      const issuer = given.issuer ?? '';
      done = { server: place(url), issuer, client, tokens: fromSdk(given, Date.now()) };
      await store.write(done);
    },
    redirectToAuthorization: show,
    saveCodeVerifier(given) {
      verifier = given;
    },
    codeVerifier: () => verifier,
    saveDiscoveryState(given) {
      discovery = given;
    },
    discoveryState: () => discovery ?? discovered(oauth).discoveryState?.(),
  };
  try {
    const fetchFn = authFetch(url);
    const asked = await refusal(options, fetchFn);
    const { resourceMetadataUrl, scope } = asked ? extractWWWAuthenticateParams(asked) : {};
    const about = {
      serverUrl: url,
      fetchFn,
      ...(resourceMetadataUrl ? { resourceMetadataUrl } : {}),
      ...(scope === undefined ? {} : { scope }),
    };
    await auth(provider, about).catch((cause: unknown) => {
      throw refused(options.name, cause);
    });
    const answer = await arrival(options, state, back.arrived);
    await auth(provider, { ...about, ...answer }).catch((cause: unknown) => {
      throw refused(options.name, cause);
    });
    if (!done) throw refused(options.name, new Error('no token was given'));
    return done;
  } finally {
    back.close();
  }
}

/** What the server says to somebody without a token: where its authorization server is told. */
async function refusal({ url, headers }: LogInOptions, fetchFn: typeof fetch): Promise<Response | undefined> {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'mcp-build', version: '1' } };
  const response = await fetchFn(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params }),
  }).catch(() => undefined);
  return response?.status === 401 ? response : undefined;
}

interface Callback {
  readonly redirect: string;
  readonly arrived: Promise<URL>;
  close(): void;
}

/** Listens where the browser is sent back to, if that is this machine. */
async function callback(configured: string | undefined, state: string): Promise<Callback> {
  const wanted = configured === undefined ? undefined : new URL(configured);
  if (wanted && !(wanted.protocol === 'http:' && isLoopback(wanted.hostname))) {
    return { redirect: wanted.href, arrived: new Promise(() => undefined), close: () => undefined };
  }
  const path = wanted?.pathname ?? '/callback';
  const { promise, resolve } = Promise.withResolvers<URL>();
  const server: Server = createServer((request, response) => {
    const url = URL.canParse(request.url ?? '', 'http://127.0.0.1')
      ? new URL(request.url ?? '', 'http://127.0.0.1')
      : undefined;
    const headers = { 'content-type': 'text/plain; charset=utf-8', connection: 'close' };
    // Any page can send a browser here: what isn't about this login neither ends nor answers it.
    if (request.method !== 'GET' || url?.pathname !== path || url.searchParams.get('state') !== state) {
      response.writeHead(404, headers).end('Nothing is here.\n');
      return;
    }
    response.writeHead(200, headers).end('That is all: you can close this page and go back to the terminal.\n');
    resolve(url);
  });
  const host = wanted?.hostname === '[::1]' ? '::1' : '127.0.0.1';
  await new Promise<void>((opened, failed) => {
    server.once('error', (cause: NodeJS.ErrnoException) => failed(taken(wanted?.href ?? host, cause)));
    server.listen(Number(wanted?.port || (wanted ? 80 : 0)), host, opened);
  });
  const { port } = server.address() as AddressInfo;
  return {
    redirect: wanted?.href ?? `http://127.0.0.1:${port}${path}`,
    arrived: promise,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function arrival(
  { name, pasted, patience = PATIENCE }: LogInOptions,
  state: string,
  arrived: Promise<URL>,
): Promise<{ readonly authorizationCode: string; readonly iss?: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(timeout(name, patience)), patience);
  });
  try {
    const url = await Promise.race([arrived, late, ...(pasted ? [firstAddress(pasted)] : [])]);
    const query = url.searchParams;
    if (query.get('state') !== state) throw refused(name, new Error('the answer is not one to this login'));
    const code = query.get('code');
    if (code === null) {
      const why = [query.get('error'), query.get('error_description')].filter((part) => part !== null).join(': ');
      throw refused(name, new Error(why === '' ? 'the answer has no code' : why));
    }
    const iss = query.get('iss');
    return { authorizationCode: code, ...(iss === null ? {} : { iss }) };
  } finally {
    clearTimeout(timer);
  }
}

async function firstAddress(lines: AsyncIterable<string>): Promise<URL> {
  for await (const line of lines) {
    const text = line.trim();
    if (URL.canParse(text) && new URL(text).searchParams.has('state')) return new URL(text);
  }
  // Its end is no answer: the browser may still come.
  return new Promise(() => undefined);
}

function refused(name: string, cause: unknown): McpBuildError {
  if (cause instanceof McpBuildError) return cause;
  const why = (cause instanceof Error ? cause.message : String(cause)).replace(/[^\x20-\x7e]/g, ' ').slice(0, 300);
  return new McpBuildError({
    code: 'login-refused',
    message: `Nobody was logged in for ${name}: ${why}`,
    input: name,
    fix: 'Check "oauth" in the configuration, and try again.',
    exit: 4,
  });
}

function timeout(name: string, patience: number): McpBuildError {
  return new McpBuildError({
    code: 'login-timeout',
    message: `Nobody logged in for ${name} within ${Math.round(patience / 1000)} s`,
    input: name,
    fix: 'Try again, and open the address in a browser.',
    exit: 4,
  });
}

function taken(input: string, cause: NodeJS.ErrnoException): McpBuildError {
  return new McpBuildError({
    code: 'address-unavailable',
    message: `The browser can't be waited for at ${input}: ${cause.code ?? cause.message}`,
    input,
    fix: 'Set another "redirectURI" of this machine, or leave it out.',
    cause,
  });
}
