import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An authorization server (RFC 6749, 7591, 7636, 8414, 8707, 9207) and a resource server in front of an MCP server (RFC 9728), on loopback. */
export interface FakeOAuth {
  /** Of the MCP server behind it. */
  readonly url: string;
  readonly issuer: string;
  /** Requests that came, as `POST /token refresh_token`. */
  readonly asked: string[];
  /** Headers of everything that came to the authorization server. */
  readonly headers: Record<string, string | string[] | undefined>[];
  /** Every access token that is good now. */
  readonly good: Set<string>;
  /** Every secret given out or taken: nothing else may show one. */
  readonly secrets: string[];
  /** What the operator does in the browser: follows the address, agrees, and is sent back. @returns where to */
  browse(address: URL, consent?: 'yes' | 'no'): Promise<URL>;
  /** All access tokens end. */
  expire(): void;
  /** All refresh tokens end, too. */
  revoke(): void;
  /** Names another authorization server from now on. */
  move(issuer: string): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface FakeOAuthOptions {
  /** The MCP server; what is let in is passed on to it. */
  readonly behind: string;
  /** Seconds. */
  readonly lifetime?: number;
  /** Clients known beforehand: id and secret. */
  readonly clients?: Readonly<Record<string, string>>;
  /** Without it, `scope` and metadata are looked for at the well-known address alone. */
  readonly challenge?: boolean;
  /** The first answer to a refresh is that there is an error inside. */
  readonly stumbles?: boolean;
}

interface Grant {
  readonly client: string;
  readonly challenge: string;
  readonly redirect: string;
  readonly scope: string;
}

export async function fakeOAuth(options: FakeOAuthOptions): Promise<FakeOAuth> {
  const asked: string[] = [];
  const headers: FakeOAuth['headers'] = [];
  const good = new Set<string>();
  const refreshes = new Map<string, { readonly client: string; readonly scope: string }>();
  const used = new Set<string>();
  const secrets: string[] = [];
  const codes = new Map<string, Grant>();
  const clients = new Map<string, { readonly secret: string | undefined; readonly redirects: readonly string[] }>(
    Object.entries(options.clients ?? {}).map(([id, secret]) => [id, { secret, redirects: [] }]),
  );
  let stumbles = options.stumbles === true;
  const new1 = (what: string) => {
    const made = `${what}-${randomBytes(12).toString('hex')}`;
    secrets.push(made);
    return made;
  };

  const authorization = await listening(async (request, response, url, body) => {
    headers.push(request.headers);
    const form = new URLSearchParams(body);
    const key = `${request.method} ${url.pathname}${url.pathname === '/token' ? ` ${form.get('grant_type')}` : ''}`;
    asked.push(key);
    switch (`${request.method} ${url.pathname}`) {
      case 'GET /.well-known/oauth-authorization-server':
        return json(response, 200, {
          issuer: authorization.base,
          authorization_endpoint: `${authorization.base}/authorize`,
          token_endpoint: `${authorization.base}/token`,
          registration_endpoint: `${authorization.base}/register`,
          response_types_supported: ['code'],
          grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
          code_challenge_methods_supported: ['S256'],
          token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
          authorization_response_iss_parameter_supported: true,
        });
      case 'POST /register': {
        const given = JSON.parse(body) as { redirect_uris: string[] };
        const id = `client-${randomBytes(4).toString('hex')}`;
        clients.set(id, { secret: undefined, redirects: given.redirect_uris });
        return json(response, 201, { ...given, client_id: id, token_endpoint_auth_method: 'none' });
      }
      case 'GET /authorize': {
        const query = url.searchParams;
        const client = clients.get(query.get('client_id') ?? '');
        const redirect = query.get('redirect_uri') ?? '';
        const known = client && (client.redirects.length === 0 || client.redirects.includes(redirect));
        const right = query.get('response_type') === 'code' && query.get('code_challenge_method') === 'S256';
        if (!known || !right || query.get('resource') !== `${resource.base}/mcp`) return json(response, 400, {});
        const to = new URL(redirect);
        to.searchParams.set('state', query.get('state') ?? '');
        to.searchParams.set('iss', authorization.base);
        if (query.get('consent') === 'no') to.searchParams.set('error', 'access_denied');
        else {
          const code = new1('code');
          codes.set(code, {
            client: query.get('client_id') ?? '',
            challenge: query.get('code_challenge') ?? '',
            redirect,
            scope: query.get('scope') ?? '',
          });
          to.searchParams.set('code', code);
        }
        response.writeHead(302, { location: to.href }).end();
        return;
      }
      case 'POST /token':
        return token(request, response, form);
      default:
        return json(response, 404, {});
    }
  });

  async function token(request: IncomingMessage, response: ServerResponse, form: URLSearchParams): Promise<void> {
    const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const [user, password] = basic ? Buffer.from(basic, 'base64').toString().split(':').map(decodeURIComponent) : [];
    const id = user ?? form.get('client_id') ?? '';
    const secret = password ?? form.get('client_secret') ?? undefined;
    const client = clients.get(id);
    if (!client || client.secret !== secret) return json(response, 401, { error: 'invalid_client' });
    if (form.get('resource') !== `${resource.base}/mcp`) return json(response, 400, { error: 'invalid_target' });
    const give = (scope: string, refresh: boolean) => {
      const access = new1('access');
      good.add(access);
      const next = refresh ? new1('refresh') : undefined;
      if (next) refreshes.set(next, { client: id, scope });
      json(response, 200, {
        access_token: access,
        token_type: 'Bearer',
        expires_in: options.lifetime ?? 3600,
        ...(scope === '' ? {} : { scope }),
        ...(next ? { refresh_token: next } : {}),
      });
    };
    switch (form.get('grant_type')) {
      case 'client_credentials':
        if (secret === undefined) return json(response, 400, { error: 'unauthorized_client' });
        return give(form.get('scope') ?? '', false);
      case 'authorization_code': {
        const code = form.get('code') ?? '';
        const grant = codes.get(code);
        codes.delete(code);
        const verifier = createHash('sha256')
          .update(form.get('code_verifier') ?? '')
          .digest('base64url');
        const right =
          grant?.client === id && grant.challenge === verifier && grant.redirect === form.get('redirect_uri');
        if (!grant || !right) return json(response, 400, { error: 'invalid_grant' });
        return give(grant.scope, true);
      }
      case 'refresh_token': {
        const given = form.get('refresh_token') ?? '';
        if (stumbles) {
          stumbles = false;
          return json(response, 500, { error: 'server_error' });
        }
        const found = refreshes.get(given);
        // A second use is a theft: everything ends (RFC 9700, 4.14.2).
        if (used.has(given)) {
          refreshes.clear();
          good.clear();
        }
        if (found?.client !== id) return json(response, 400, { error: 'invalid_grant' });
        refreshes.delete(given);
        used.add(given);
        return give(found.scope, true);
      }
      default:
        return json(response, 400, { error: 'unsupported_grant_type' });
    }
  }

  let issuer = authorization.base;
  const resource = await listening(async (request, response, url, body) => {
    if (url.pathname === '/.well-known/oauth-protected-resource/mcp') {
      const metadata = {
        resource: `${resource.base}/mcp`,
        authorization_servers: [issuer],
        scopes_supported: ['tools'],
      };
      return json(response, 200, metadata);
    }
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (bearer === undefined || !good.has(bearer)) {
      const metadata = `${resource.base}/.well-known/oauth-protected-resource/mcp`;
      const challenge =
        options.challenge === false ? 'Bearer' : `Bearer resource_metadata="${metadata}", scope="tools"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
      return;
    }
    const { authorization: _token, host: _host, connection: _connection, ...rest } = request.headers;
    const passed = await fetch(options.behind, {
      method: request.method ?? 'GET',
      headers: Object.entries(rest).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])) as [
        string,
        string,
      ][],
      ...(body === '' ? {} : { body }),
    });
    response.writeHead(passed.status, Object.fromEntries(passed.headers));
    response.flushHeaders();
    const ended = new AbortController();
    response.once('close', () => ended.abort());
    try {
      for await (const part of passed.body ?? []) {
        if (ended.signal.aborted) break;
        response.write(part);
      }
    } finally {
      response.end();
    }
  });

  return {
    url: `${resource.base}/mcp`,
    issuer: authorization.base,
    asked,
    headers,
    good,
    secrets,
    async browse(address, consent = 'yes') {
      const at = new URL(address);
      if (consent === 'no') at.searchParams.set('consent', 'no');
      const response = await fetch(at, { redirect: 'manual' });
      const to = response.headers.get('location');
      if (response.status !== 302 || to === null) throw new Error(`the authorization server said ${response.status}`);
      return new URL(to);
    },
    expire: () => good.clear(),
    revoke() {
      good.clear();
      refreshes.clear();
    },
    move(other) {
      issuer = other;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([authorization.close(), resource.close()]);
    },
  };
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}

async function listening(
  handle: (request: IncomingMessage, response: ServerResponse, url: URL, body: string) => Promise<void>,
): Promise<{ readonly base: string; close(): Promise<void> }> {
  const server: Server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    await handle(request, response, url, Buffer.concat(parts).toString()).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
