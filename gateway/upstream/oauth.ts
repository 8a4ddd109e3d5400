import type { AuthProvider, OAuthClientProvider } from '@modelcontextprotocol/client';
import { McpBuildError } from '../../errors/index.ts';
import { redactor } from '../../runner/index.ts';
import { authFetch } from './auth-fetch.ts';
import type { Login, LoginStore, OAuthTokens } from './oauth-store.ts';
import { place } from './place.ts';

/** As the configuration says it; without a `clientId` this program registers itself (RFC 7591). */
export interface OAuthSettings {
  readonly clientId?: string | undefined;
  readonly clientSecret?: string | undefined;
  readonly scopes?: readonly string[] | undefined;
  readonly redirectURI?: string | undefined;
  readonly authServerMetadataURL?: string | undefined;
  readonly pkceEnabled?: boolean | undefined;
}

export interface RemoteAuth {
  readonly provider: AuthProvider;
  /** For requests to the server: remembers with which token each went, so that a late refusal of an old one doesn't cost a new one. */
  readonly fetch: (input: string | URL, init?: RequestInit) => Promise<Response>;
  /** Without anything that nobody else may know, and of bounded length. */
  cleaned(text: string): string;
}

export interface RemoteAuthOptions {
  readonly name: string;
  readonly url: string;
  readonly oauth: OAuthSettings | undefined;
  readonly store: LoginStore;
}

/** A token that ends so soon is replaced before it is used; in milliseconds. */
const SOON = 30_000;
/** After a failed try, in milliseconds. */
const PAUSE = 10_000;
/** Tokens in such a time; a server that refuses every new one must not make its authorization server suffer. */
const MOST = 3;
/** What a server says is told on, to this many characters. */
const TOLD = 500;

/**
 * Tokens for a server elsewhere: of a login by an operator, or by the client's own credentials. They are renewed before they end, or when the
 * server refuses them, once for all connections: an authorization server that rotates refresh tokens takes a second use for theft.
 */
export function remoteAuth(options: RemoteAuthOptions): RemoteAuth {
  const { name, oauth, store } = options;
  const server = place(options.url);
  let login: Login | undefined;
  let loading: Promise<void> | undefined;
  let renewing: Promise<void> | undefined;
  let renewals: readonly number[] = [];
  let failed = 0;

  const load = async () => {
    const found = await store.read();
    // Another address under this name is another server: nothing of this one is for it.
    login = found?.server === server ? found : undefined;
  };
  const keep = async (next: Login) => {
    login = next;
    await store.write(next);
  };

  function needed(why: string): McpBuildError {
    return new McpBuildError({
      code: 'login-needed',
      message: `${server} wants a login${why === '' ? '' : `: ${why}`}`,
      input: name,
      fix: `Run \`mcp-build serve --config … --login ${name}\`.`,
      exit: 4,
    });
  }

  // With a place to come back to, it is an operator that logs in.
  const byCredentials = !!oauth?.clientId && !!oauth.clientSecret && !oauth.redirectURI && !oauth.pkceEnabled;
  /** Said by the configuration, it may be another one than the last time. */
  const named = byCredentials && !!oauth.authServerMetadataURL;

  const provider: OAuthClientProvider = {
    // What has none is a program that logs in by itself.
    get redirectUrl() {
      return byCredentials && login?.tokens?.refresh === undefined ? undefined : 'http://127.0.0.1/callback';
    },
    clientMetadata: { redirect_uris: [], ...scopeOf(oauth) },
    clientInformation({ issuer } = { issuer: '' }) {
      if (login && login.issuer !== issuer && !named) throw moved(name, server, login.issuer, issuer, byCredentials);
      const { id, secret } = clientOf(oauth, login) ?? {};
      if (id === undefined) throw needed('');
      return {
        client_id: id,
        issuer,
        ...(secret === undefined ? {} : { client_secret: secret }),
        ...(login?.client?.authMethod === undefined ? {} : { token_endpoint_auth_method: login.client.authMethod }),
      };
    },
    tokens: () => asSdk(login),
    async saveTokens(given) {
      const tokens = fromSdk(given, Date.now());
      const refresh = tokens.refresh ?? login?.tokens?.refresh;
      await keep({ ...login, server, issuer: given.issuer ?? login?.issuer ?? '', tokens: { ...tokens, refresh } });
    },
    redirectToAuthorization() {
      throw needed('what was kept of the last one is no longer taken');
    },
    saveCodeVerifier: () => undefined,
    codeVerifier: () => '',
    prepareTokenRequest(scope) {
      const asked = scope ?? oauth?.scopes?.join(' ');
      return new URLSearchParams({ grant_type: 'client_credentials', ...(asked ? { scope: asked } : {}) });
    },
    async invalidateCredentials(what) {
      if (!login || (what !== 'tokens' && what !== 'all')) return;
      await keep({ ...login, tokens: undefined });
    },
    ...discovered(oauth),
  };

  async function renew(refused: string | undefined, response?: Response): Promise<void> {
    renewing ??= obtain(refused, response)
      .catch((error: unknown) => {
        failed = Date.now();
        throw error;
      })
      .finally(() => {
        renewing = undefined;
      });
    return renewing;
  }

  async function obtain(refused: string | undefined, response: Response | undefined): Promise<void> {
    // An operator may have logged in meanwhile, in another process.
    await load();
    const { access } = login?.tokens ?? {};
    if (access !== undefined && access !== refused && !endsSoon(login?.tokens)) return;
    if (!byCredentials && login?.tokens?.refresh === undefined) throw needed('');
    renewals = renewals.filter((at) => Date.now() - at < PAUSE);
    if (renewals.length >= MOST && !endsSoon(login?.tokens)) throw new Error(`${server} refuses new tokens, too`);
    const { auth, extractWWWAuthenticateParams } = await import('@modelcontextprotocol/client');
    const { resourceMetadataUrl, scope } = response ? extractWWWAuthenticateParams(response) : {};
    await auth(provider, {
      serverUrl: options.url,
      fetchFn: authFetch(options.url),
      ...(resourceMetadataUrl ? { resourceMetadataUrl } : {}),
      ...(scope === undefined ? {} : { scope }),
    });
    renewals = [...renewals, Date.now()];
  }

  const sent = new WeakMap<Response, string | null>();
  return {
    async fetch(input, init) {
      const response = await fetch(input, init);
      sent.set(response, new Headers(init?.headers).get('authorization'));
      return response;
    },
    provider: {
      async token() {
        loading ??= load();
        await loading;
        const { tokens } = login ?? {};
        // Where renewing fails, the server's own refusal says the rest.
        if (tokens && endsSoon(tokens) && Date.now() - failed > PAUSE) {
          await renew(tokens.access).catch(() => undefined);
        }
        return login?.tokens?.access;
      },
      async onUnauthorized({ response }) {
        const refused = sent.get(response)?.replace(/^Bearer /, '');
        const { access } = login?.tokens ?? {};
        // Another request's refusal has led to a new one already.
        if (access === undefined || refused === access) await renew(access, response);
      },
    },
    cleaned(text) {
      const { access = '', refresh = '' } = login?.tokens ?? {};
      const secret = clientOf(oauth, login)?.secret ?? '';
      return redactor({ access, refresh, secret }).text(text).slice(0, TOLD);
    },
  };
}

export function clientOf(oauth: OAuthSettings | undefined, login: Login | undefined) {
  return oauth?.clientId ? { id: oauth.clientId, secret: oauth.clientSecret } : login?.client;
}

export function scopeOf(oauth: OAuthSettings | undefined): { readonly scope?: string } {
  return oauth?.scopes && oauth.scopes.length > 0 ? { scope: oauth.scopes.join(' ') } : {};
}

/** The authorization server that the configuration names, in place of the one that the server names. */
export function discovered(oauth: OAuthSettings | undefined): Pick<OAuthClientProvider, 'discoveryState'> {
  const url = oauth?.authServerMetadataURL;
  if (!url) return {};
  const { origin, pathname } = new URL(url);
  // RFC 8414 puts the path of the issuer behind the well-known one, OpenID Connect before it.
  const path = pathname.replace(/\/?\.well-known\/(?:oauth-authorization-server|openid-configuration)/, '');
  return { discoveryState: () => ({ authorizationServerUrl: `${origin}${path === '/' ? '' : path}` }) };
}

export function fromSdk(
  given: {
    readonly access_token: string;
    readonly token_type: string;
    readonly refresh_token?: string | undefined;
    readonly scope?: string | undefined;
    readonly expires_in?: number | undefined;
  },
  now: number,
): OAuthTokens {
  const { access_token: access, token_type: type, refresh_token: refresh, scope, expires_in: seconds } = given;
  return { access, type, refresh, scope, ...(seconds === undefined ? {} : { expires: now + seconds * 1000 }) };
}

function asSdk(login: Login | undefined) {
  if (!login?.tokens) return undefined;
  const { access, type, refresh, scope } = login.tokens;
  return {
    access_token: access,
    token_type: type,
    issuer: login.issuer,
    ...(refresh === undefined ? {} : { refresh_token: refresh }),
    ...(scope === undefined ? {} : { scope }),
  };
}

function endsSoon(tokens: OAuthTokens | undefined): boolean {
  return tokens?.expires !== undefined && tokens.expires - Date.now() < SOON;
}

/** A server that was broken into could name an authorization server of its own, and be given the client's secret. */
function moved(name: string, server: string, known: string, now: string, byCredentials: boolean): McpBuildError {
  return new McpBuildError({
    code: 'issuer-changed',
    message: `${server} names another authorization server than before: ${now} in place of ${known}`,
    input: name,
    fix: byCredentials
      ? 'If that is meant to be, name it in the configuration: "authServerMetadataURL".'
      : `If that is meant to be, log in again: \`mcp-build serve --config … --login ${name}\`.`,
    exit: 3,
  });
}
