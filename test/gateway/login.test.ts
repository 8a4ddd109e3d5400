import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LoginStore, logIn, loginFile, loginMemory, remoteChannel } from '../../gateway/index.ts';
import { type FakeOAuth, fakeOAuth } from '../fakes/oauth.ts';
import { lastMessage, type Running, runGateway, textOf } from './gateway.ts';

const CLIENT = { id: 'known', secret: 'very-secret-indeed' };
let folder = '';
let far: Running;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gateway-login-'));
  far = await runGateway({ servers: { fake: { options: { sessions: 'shared' } } } });
});
afterAll(async () => {
  await far[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const provider = (options: object = {}) =>
  fakeOAuth({ behind: `${far.url}/fake/mcp`, clients: { [CLIENT.id]: CLIENT.secret }, ...options });

interface Near {
  readonly oauth?: object | undefined;
  readonly logins?: LoginStore;
  readonly headers?: Record<string, string>;
  readonly sessions?: string;
}

function near(it: FakeOAuth, { oauth, logins = loginMemory(), headers = {}, sessions = 'shared' }: Near) {
  const entry = { command: undefined, args: undefined, url: it.url, options: { sessions } };
  const open = remoteChannel({ name: 'far', url: it.url, headers, transport: undefined, oauth, logins });
  return runGateway({ servers: { far: entry }, prepare: () => ({ open }) });
}

async function echo(running: Running, session: string, message: string): Promise<string> {
  return textOf(await running.call('far', session, 'echo', { message }));
}

/** Nothing that was said to anybody shows a secret. */
function shows(said: unknown, secrets: readonly string[]): string[] {
  const text = JSON.stringify(said);
  return [...secrets, CLIENT.secret].filter((secret) => text.includes(secret));
}

const credentials = { clientId: CLIENT.id, clientSecret: CLIENT.secret };

describe('a client that has credentials of its own', () => {
  test('is given a token, by an authorization server that the server names', async () => {
    await using it = await provider();
    await using running = await near(it, { oauth: { ...credentials, scopes: ['tools'] } });
    const session = await running.session('far');
    expect(await echo(running, session, 'let in')).toBe('let in');
    expect(it.asked.filter((what) => what.startsWith('POST'))).toEqual(['POST /token client_credentials']);
  });

  test('is given another when it ends, once for everybody who asks', async () => {
    await using it = await provider();
    await using running = await near(it, { oauth: credentials, sessions: 'per-client' });
    const sessions = await Promise.all(Array.from({ length: 8 }, () => running.session('far')));
    expect(it.asked.filter((what) => what === 'POST /token client_credentials')).toHaveLength(1);
    it.expire();
    const said = await Promise.all(sessions.map((session, at) => echo(running, session, `${at}`)));
    expect(said).toEqual(sessions.map((_, at) => `${at}`));
    expect(it.asked.filter((what) => what === 'POST /token client_credentials')).toHaveLength(2);
  });

  test('doesn’t give its secret to another authorization server that the server comes to name', async () => {
    await using it = await provider();
    await using thief = await provider();
    const logins = loginMemory();
    await using running = await near(it, { oauth: credentials, logins });
    const session = await running.session('far');
    it.move(thief.issuer);
    it.expire();
    const answer = await running.call('far', session, 'echo', { message: 'x' });
    expect(answer.error?.message).toContain('another authorization server');
    expect(thief.asked.filter((what) => what.startsWith('POST'))).toEqual([]);
    expect(shows([answer, running.said], it.secrets)).toEqual([]);
  });

  test('asks the one that the configuration names, whatever the server says', async () => {
    await using it = await provider();
    await using thief = await provider();
    it.move(thief.issuer);
    const authServerMetadataURL = `${it.issuer}/.well-known/oauth-authorization-server`;
    await using running = await near(it, { oauth: { ...credentials, authServerMetadataURL } });
    expect(await echo(running, await running.session('far'), 'let in')).toBe('let in');
    expect(thief.asked).toEqual([]);
  });

  test('that aren’t taken is told so, without them', async () => {
    await using it = await provider({ clients: { [CLIENT.id]: 'another' } });
    await using running = await near(it, { oauth: credentials });
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } };
    const answer = await running.post('far', { jsonrpc: '2.0', id: 1, method: 'initialize', params });
    const text = await answer.text();
    expect(lastMessage(text).error?.code).toBe(-32000);
    expect(shows([text, running.said], it.secrets)).toEqual([]);
  });

  test('whose new tokens are refused, too, doesn’t ask for more and more', async () => {
    await using it = await provider();
    await using running = await near(it, { oauth: credentials });
    const session = await running.session('far');
    const tokens = () => it.asked.filter((what) => what === 'POST /token client_credentials').length;
    it.good.add = () => it.good;
    for (let call = 0; call < 12; call += 1) {
      it.expire();
      expect((await running.call('far', session, 'echo', { message: 'x' })).error?.code).toBe(-32000);
    }
    expect(tokens()).toBeLessThanOrEqual(4);
  });

  test('sends the headers that the server is to get to the server alone', async () => {
    await using it = await provider();
    await using running = await near(it, { oauth: credentials, headers: { 'X-Api-Key': 'for the server' } });
    expect(await echo(running, await running.session('far'), 'let in')).toBe('let in');
    expect(it.headers.length).toBeGreaterThan(1);
    expect(it.headers.filter((headers) => headers['x-api-key'] !== undefined)).toEqual([]);
  });
});

describe('an operator', () => {
  const inBrowser =
    (it: FakeOAuth, visits: Promise<unknown>[] = []) =>
    (address: URL): void => {
      visits.push(it.browse(address).then((to) => fetch(to)));
    };

  test('logs in once, in a browser; what is kept is of its owner alone, and renewed', async () => {
    await using it = await provider();
    const path = join(folder, 'kept', 'far.json');
    const logins = loginFile(path);
    const login = await logIn({
      name: 'far',
      url: it.url,
      headers: {},
      oauth: undefined,
      store: logins,
      show: inBrowser(it),
    });
    expect(login.issuer).toBe(it.issuer);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await using running = await near(it, { logins });
    const session = await running.session('far');
    expect(await echo(running, session, 'as the operator')).toBe('as the operator');
    const before = await logins.read();
    it.expire();
    expect(await echo(running, session, 'still')).toBe('still');
    const after = await logins.read();
    expect(after?.tokens?.access).not.toBe(before?.tokens?.access);
    expect(after?.tokens?.refresh).not.toBe(before?.tokens?.refresh);
    expect(it.asked.filter((what) => what.startsWith('POST'))).toEqual([
      'POST /register',
      'POST /token authorization_code',
      'POST /token refresh_token',
    ]);
    expect(shows(running.said, it.secrets)).toEqual([]);
  });

  test('logs in while the gateway runs, which then goes on', async () => {
    await using it = await provider({ challenge: false });
    const logins = loginMemory();
    await using running = await near(it, { logins });
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } };
    const first = await running.post('far', { jsonrpc: '2.0', id: 1, method: 'initialize', params });
    expect(lastMessage(await first.text()).error?.message).toContain('--login far');
    await logIn({ name: 'far', url: it.url, headers: {}, oauth: undefined, store: logins, show: inBrowser(it) });
    let said: string | undefined;
    await expect
      .poll(
        async () => {
          const session = await running.session('far').catch(() => undefined);
          said = session && (await echo(running, session, 'now'));
          return said;
        },
        { timeout: 30_000 },
      )
      .toBe('now');
  });

  test('a token that is about to end is renewed before it is used, once for all connections', async () => {
    await using it = await provider({ lifetime: 5 });
    const logins = loginMemory();
    await logIn({ name: 'far', url: it.url, headers: {}, oauth: undefined, store: logins, show: inBrowser(it) });
    await using running = await near(it, { logins, sessions: 'per-client' });
    await Promise.all(Array.from({ length: 6 }, () => running.session('far')));
    // A second use of one refresh token would have ended them all.
    const session = await running.session('far');
    expect(await echo(running, session, 'good')).toBe('good');
    expect(it.good.size).toBeGreaterThan(1);
  });

  test('is asked to log in anew when nothing that was kept is taken any more', async () => {
    await using it = await provider();
    const logins = loginMemory();
    await logIn({ name: 'far', url: it.url, headers: {}, oauth: undefined, store: logins, show: inBrowser(it) });
    await using running = await near(it, { logins });
    const session = await running.session('far');
    it.revoke();
    const answer = await running.call('far', session, 'echo', { message: 'x' });
    expect(answer.error?.message).toContain('--login far');
    expect((await logins.read())?.tokens).toBeUndefined();
    expect(shows([answer, running.said], it.secrets)).toEqual([]);
  });

  test('an authorization server that stumbles costs the call and not the login', async () => {
    await using it = await provider({ stumbles: true });
    const logins = loginMemory();
    await logIn({ name: 'far', url: it.url, headers: {}, oauth: undefined, store: logins, show: inBrowser(it) });
    await using running = await near(it, { logins });
    const session = await running.session('far');
    it.expire();
    expect((await running.call('far', session, 'echo', { message: 'x' })).error?.code).toBe(-32000);
    expect(await echo(running, session, 'again')).toBe('again');
  });

  test('logs in with the client that the configuration names, and pastes the address where the browser is elsewhere', async () => {
    await using it = await provider();
    const logins = loginMemory();
    const oauth = {
      ...credentials,
      redirectURI: 'https://mcp.example.test/oauth',
      scopes: ['tools'],
      pkceEnabled: true,
    };
    const shown = Promise.withResolvers<URL>();
    async function* pasted() {
      yield 'no address';
      yield (await it.browse(await shown.promise)).href;
    }
    const login = await logIn({
      name: 'far',
      url: it.url,
      headers: {},
      oauth,
      store: logins,
      show: (address) => shown.resolve(address),
      pasted: pasted(),
    });
    expect((await shown.promise).searchParams.get('redirect_uri')).toBe(oauth.redirectURI);
    expect(login.client).toBeUndefined();
    await using running = await near(it, { oauth, logins });
    expect(await echo(running, await running.session('far'), 'let in')).toBe('let in');
    expect(it.asked).not.toContain('POST /register');
  });

  test('who says no is told so; what isn’t about this login neither ends nor answers it', async () => {
    await using it = await provider();
    const options = { name: 'far', url: it.url, headers: {}, oauth: undefined, store: loginMemory() };
    const no = logIn({
      ...options,
      show: (address) => {
        void (async () => {
          const redirect = new URL(address.searchParams.get('redirect_uri') ?? '');
          const forged = `${redirect.href}?code=forged&state=guessed`;
          expect((await fetch(forged)).status).toBe(404);
          await fetch(await it.browse(address, 'no'));
        })();
      },
    });
    await expect(no).rejects.toMatchObject({ code: 'login-refused', exit: 4 });
    await expect(no).rejects.toThrow(/access_denied/);
    const late = logIn({ ...options, show: () => undefined, patience: 50 });
    await expect(late).rejects.toMatchObject({ code: 'login-timeout' });
  });

  test('a login is for one server, and no other gets anything of it', async () => {
    await using it = await provider();
    await using other = await provider();
    const logins = loginMemory();
    await logIn({ name: 'far', url: it.url, headers: {}, oauth: undefined, store: logins, show: inBrowser(it) });
    await using running = await near(other, { logins });
    await expect(running.session('far')).rejects.toThrow(/--login far/);
    expect(other.asked).toEqual([]);
  });

  test('an authorization server without https is asked nothing', async () => {
    await using it = await provider();
    it.move('http://auth.example.test');
    const options = { name: 'far', url: it.url, headers: {}, oauth: undefined, store: loginMemory() };
    await expect(logIn({ ...options, show: () => undefined })).rejects.toMatchObject({
      code: 'authorization-server-refused',
    });
  });
});
