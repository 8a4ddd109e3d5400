import { createHmac } from 'node:crypto';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Claims, type Provider, signed, startProvider } from '../../fakes/oidc-provider.ts';
import { type Running, runGateway, until } from '../gateway.ts';
import { runWatched } from '../watching/watched.ts';

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const list = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {} },
};
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

let provider: Provider;
let running: Running;
let aud: string;

beforeAll(async () => {
  provider = await startProvider();
  running = await runGateway({ proxy: { oauth: { issuer: provider.issuer } }, servers: { fake: {}, other: {} } });
  aud = `${running.url}/fake/mcp`;
});
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

const enter = async (token: string, server = 'fake', at: Running = running) => {
  const response = await at.post(server, list, bearer(token));
  await response.text();
  return response;
};
const status = async (token: string, server?: string, at?: Running) => (await enter(token, server, at)).status;

describe('an access token', () => {
  test.each(['RS256', 'ES256', 'EdDSA'] as const)('signed with %s lets in', async (algorithm) => {
    expect(await status(provider.token({ aud }, { algorithm }))).toBe(200);
  });

  test('is for the server that its audience names, and for no other', async () => {
    expect(await status(provider.token({ aud }), 'other')).toBe(401);
    expect(await status(provider.token({ aud: ['https://else.example.test', aud] }))).toBe(200);
    expect(await status(provider.token({ aud: running.url }), 'other')).toBe(200);
    expect(await status(provider.token({ aud: `${running.url}/` }), 'other')).toBe(200);
  });

  const now = Math.floor(Date.now() / 1000);
  test.each<[string, Claims]>([
    ['of another audience', { aud: 'https://else.example.test' }],
    ['without an audience', { aud: undefined }],
    ['of another issuer', { iss: 'https://login.example.test' }],
    ['whose issuer only begins so', { iss: `PROVIDER.example.test` }],
    ['that has expired', { exp: now - 120 }],
    ['that never expires', { exp: undefined }],
    ['whose end is no number', { exp: 'tomorrow' }],
    ['that isn’t good yet', { nbf: now + 600 }],
    ['without a subject', { sub: undefined }],
    ['with an empty subject', { sub: '' }],
    ['bound to a certificate', { cnf: { 'x5t#S256': 'bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2' } }],
    ['bound to a key by DPoP', { cnf: { jkt: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' } }],
  ])('%s doesn’t', async (_what, claims) => {
    const { iss } = claims;
    const told = iss === 'PROVIDER.example.test' ? { ...claims, iss: `${provider.issuer}.example.test` } : claims;
    const response = await enter(provider.token({ aud, ...told }));
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"');
  });

  test('within the time that clocks may differ still does', async () => {
    expect(await status(provider.token({ aud, exp: now - 5 }))).toBe(200);
    expect(await status(provider.token({ aud, nbf: now + 30 }))).toBe(200);
  });

  test('that only says so of itself is none', async () => {
    const good = provider.token({ aud }).split('.') as [string, string, string];
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const body = JSON.parse(Buffer.from(good[1], 'base64url').toString()) as Claims;
    const head = JSON.parse(Buffer.from(good[0], 'base64url').toString()) as Claims;
    const pem = provider.publicKey('RS256').export({ type: 'spki', format: 'pem' }) as string;
    const hmac = (alg: string) => {
      const text = `${encode({ ...head, alg })}.${good[1]}`;
      return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
    };
    const forged = {
      none: `${encode({ alg: 'none', typ: 'at+jwt' })}.${good[1]}.`,
      'None, with a signature': `${encode({ ...head, alg: 'None' })}.${good[1]}.${good[2]}`,
      'the public key as a secret': hmac('HS256'),
      'without an algorithm': hmac(undefined as never),
      'another person under the same signature': `${good[0]}.${encode({ ...body, sub: 'root' })}.${good[2]}`,
      'no signature': `${good[0]}.${good[1]}.`,
      'the key of another algorithm': provider.token({ aud }, { header: { alg: 'ES256' } }),
      'a key that it brings along': signed(
        'EdDSA',
        (await import('node:crypto')).generateKeyPairSync('ed25519').privateKey,
        { alg: 'EdDSA', jwk: {}, jku: 'https://evil.example.test/keys', typ: 'at+jwt' },
        body,
      ),
      'an extension that must be understood': provider.token({ aud }, { header: { crit: ['exp'], exp: 1 } }),
      'an ID token': provider.token({ aud }, { header: { typ: 'id+jwt' } }),
      'a logout token': provider.token({ aud }, { header: { typ: 'logout+jwt' } }),
      'not JSON': 'a.b.c',
      'five parts': 'a.b.c.d.e',
      'too long': provider.token({ aud, filler: 'x'.repeat(9_500) }),
    };
    for (const [what, token] of Object.entries(forged)) expect(await status(token), what).toBe(401);
  });

  test('without a name for its key is tried with those that fit', async () => {
    expect(await status(provider.token({ aud }, { header: { kid: undefined } }))).toBe(200);
  });

  test('is for calls: what the gateway tells of itself needs a grant', async () => {
    await using watched = await runWatched({ proxy: { oauth: { issuer: provider.issuer } } });
    const token = provider.token({ aud: watched.url });
    expect((await fetch(`${watched.url}/_metrics`, { headers: bearer(token) })).status).toBe(403);
    // Nor is this machine let in any more where people are told apart.
    expect((await fetch(`${watched.url}/_metrics`)).status).toBe(401);
  });
});

describe('the provider’s keys', () => {
  test('are asked for once for many tokens at once, and again for a new key, but not for every unknown one', async () => {
    await using own = await startProvider();
    await using gateway = await runGateway({ proxy: { oauth: { issuer: own.issuer, audience: 'here' } } });
    const asked = () => own.asked.get('/keys') ?? 0;
    const many = Array.from({ length: 20 }, (_, at) =>
      status(own.token({ aud: 'here', sub: `p${at}` }), 'fake', gateway),
    );
    expect(new Set(await Promise.all(many))).toEqual(new Set([200]));
    expect(asked()).toBe(1);
    for (let at = 0; at < 20; at += 1) {
      const unknown = own.token({ aud: 'here' }, { header: { kid: `made-up-${at}` } });
      expect(await status(unknown, 'fake', gateway)).toBe(401);
    }
    expect(asked()).toBeLessThanOrEqual(2);
  });

  test.each([
    ['an error', { status: 500, body: '' }],
    ['something else', { status: 200, body: '<html>' }],
    ['keys without end', { status: 200, body: `{"keys":[${' '.repeat(300 * 1024)}]}` }],
  ])('that come as %s let nobody in, and it is said that this is nobody’s fault who asks', async (_what, answer) => {
    await using own = await startProvider();
    own.keysAnswer = answer;
    await using gateway = await runGateway({ proxy: { oauth: { issuer: own.issuer, audience: 'here' } } });
    expect(await status(own.token({ aud: 'here' }), 'fake', gateway)).toBe(503);
    own.keysAnswer = undefined;
    await until(async () => (await status(own.token({ aud: 'here' }), 'fake', gateway)) === 200, 30_000);
  });

  test('of a provider that calls itself otherwise aren’t used', async () => {
    await using own = await startProvider();
    own.announced = 'https://other.example.test';
    await using gateway = await runGateway({ proxy: { oauth: { issuer: own.issuer, audience: 'here' } } });
    expect(await status(own.token({ aud: 'here' }), 'fake', gateway)).toBe(503);
    expect(own.asked.get('/keys')).toBeUndefined();
  });
});

describe('what a token is granted', () => {
  const proxy = (issuer: string) => ({
    oauth: { issuer, audience: 'here', requiredScopes: ['mcp'], nameClaim: 'email' },
    grants: [
      { scope: 'files', roles: ['caller'], servers: ['files'] },
      { claim: { name: 'realm_access.roles', value: 'dev' }, roles: ['caller'], tools: ['search/echo'] },
      { claim: { name: 'https://example.test/groups', value: 'ops' }, roles: ['operator'] },
    ],
  });
  const setup = () => runWatched({ proxy: proxy(provider.issuer), servers: { files: {}, search: {} } });
  const token = (claims: Claims) => provider.token({ aud: 'here', ...claims });

  test('goes by scopes and claims, each within its servers and tools', async () => {
    await using watched = await setup();
    const at = (name: string, claims: Claims) => status(token(claims), name, watched);
    expect(await at('files', { scope: 'mcp files' })).toBe(200);
    expect(await at('files', { scp: ['mcp', 'files'] })).toBe(200);
    expect(await at('search', { scope: 'mcp files' })).toBe(403);
    expect(await at('search', { scope: 'mcp', realm_access: { roles: ['dev'] } })).toBe(200);
    expect(await at('files', { scope: 'mcp', realm_access: { roles: ['dev'] } })).toBe(403);
    // An operator looks and stops, and calls nothing.
    const ops = { scope: 'mcp', 'https://example.test/groups': ['ops'] };
    expect(await at('files', ops)).toBe(403);
    const page = (claims: Claims) => fetch(`${watched.url}/_status.json`, { headers: bearer(token(claims)) });
    expect((await page(ops)).status).toBe(200);
    expect((await page({ scope: 'mcp files' })).status).toBe(403);
    // Both together: looking at everything doesn't widen what may be called.
    expect(await at('search', { ...ops, scope: 'mcp files' })).toBe(403);
    expect((await page({ ...ops, scope: 'mcp files' })).status).toBe(200);
  });

  test('reaches the tools that are named, and is recorded under the name that the provider gives', async () => {
    await using watched = await setup();
    const headers = bearer(token({ scope: 'mcp', realm_access: { roles: ['dev'] }, email: 'dev@example.test' }));
    const session = await watched.session('search', headers);
    const call = async (name: string) => {
      const body = { jsonrpc: '2.0', id: name, method: 'tools/call', params: { name, arguments: { message: 'hi' } } };
      return (await watched.post('search', body, { ...headers, 'mcp-session-id': session })).text();
    };
    expect(await call('echo')).toContain('hi');
    expect(await call('seen')).toContain('-32602');
    const records = await watched.records();
    expect(records.find(({ kind }) => kind === 'call')).toMatchObject({ client: 'dev@example.test', target: 'echo' });
    expect(records.find(({ kind }) => kind === 'call-refused')).toMatchObject({ target: 'seen' });
  });

  test('and what it lacks is said as RFC 6750 has it', async () => {
    await using watched = await setup();
    const response = await enter(token({ scope: 'other' }), 'files', watched);
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toMatch(/error="insufficient_scope", scope="mcp"/);
  });

  test('a session belongs to one person, through all their tokens', async () => {
    await using watched = await setup();
    const mine = (extra: Claims) => bearer(token({ scope: 'mcp files', ...extra }));
    const session = await watched.session('files', mine({ sub: 'ann' }));
    const ping = async (headers: Record<string, string>) => {
      const body = { jsonrpc: '2.0', id: 1, method: 'ping' };
      return (await watched.post('files', body, { ...headers, 'mcp-session-id': session })).status;
    };
    expect(await ping(mine({ sub: 'ann', jti: 'refreshed' }))).toBe(200);
    expect(await ping(mine({ sub: 'bob' }))).toBe(404);
    expect(await ping(mine({ sub: 'ann', client_id: 'another program' }))).toBe(404);
  });
});

describe('the official client', () => {
  test('finds the provider, signs in, and calls', async () => {
    await using own = await startProvider();
    await using gateway = await runGateway({
      proxy: { oauth: { issuer: own.issuer, requiredScopes: ['mcp:tools'] } },
    });
    const url = new URL(`${gateway.url}/fake/mcp`);
    const kept: { client?: never; tokens?: never; verifier?: string; went?: URL } = {};
    const authProvider = {
      redirectUrl: 'http://127.0.0.1:9/callback',
      clientMetadata: { redirect_uris: ['http://127.0.0.1:9/callback'], client_name: 'test', scope: 'mcp:tools' },
      clientInformation: () => kept.client,
      saveClientInformation: (client: unknown) => {
        kept.client = client as never;
      },
      tokens: () => kept.tokens,
      saveTokens: (tokens: unknown) => {
        kept.tokens = tokens as never;
      },
      redirectToAuthorization: (went: URL) => {
        kept.went = went;
      },
      saveCodeVerifier: (verifier: string) => {
        kept.verifier = verifier;
      },
      codeVerifier: () => kept.verifier ?? '',
    };
    const first = new StreamableHTTPClientTransport(url, { authProvider });
    const client = new Client({ name: 'test', version: '1' });
    await expect(client.connect(first)).rejects.toThrow(UnauthorizedError);
    expect(kept.went?.searchParams.get('resource')).toBe(url.href);
    expect(kept.went?.searchParams.get('scope')).toContain('mcp:tools');
    const answer = await fetch(kept.went as URL, { redirect: 'manual' });
    const back = new URL(answer.headers.get('location') ?? '');
    await first.finishAuth(back.searchParams);
    const again = new Client({ name: 'test', version: '1' });
    await again.connect(new StreamableHTTPClientTransport(url, { authProvider }));
    const { content } = await again.callTool({ name: 'echo', arguments: { message: 'signed in' } });
    expect(JSON.stringify(content)).toContain('signed in');
    await again.close();
  });

  test('is told of the resource by its well-known address, for each server, for all, and for the whole', async () => {
    const at = async (path: string) => fetch(`${running.url}/.well-known/oauth-protected-resource${path}`);
    for (const [path, resource] of [
      ['/fake/mcp', `${running.url}/fake/mcp`],
      ['/mcp', `${running.url}/mcp`],
      ['', running.url],
    ] as const) {
      const response = await at(path);
      expect(response.status, path).toBe(200);
      expect(await response.json()).toMatchObject({
        resource,
        authorization_servers: [provider.issuer],
        bearer_methods_supported: ['header'],
      });
    }
    expect((await at('/unknown/mcp')).status).toBe(404);
    const refused = await running.post('fake', list);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toBe(
      `Bearer realm="mcp-build", resource_metadata="${running.url}/.well-known/oauth-protected-resource/fake/mcp"`,
    );
  });
});
