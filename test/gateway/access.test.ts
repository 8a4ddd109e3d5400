import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createToken, hashToken, type Identity, identityOf, readTokens, revokeToken } from '../../gateway/index.ts';
import { lastMessage, type Running, runGateway, textOf, until } from './gateway.ts';

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gateway-access-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a request that `fetch` doesn't let a test make is answered. */
function raw(
  url: string,
  path: string,
  headers: Record<string, string>,
  method = 'POST',
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
    });
    request.on('response', (response) => resolve(response.resume()));
    request.on('error', reject);
    request.end(method === 'POST' ? JSON.stringify(list) : undefined);
  });
}

describe('pages and names', () => {
  test.each([
    ['a page elsewhere', { origin: 'https://evil.example.test' }, 403],
    ['a page without an origin', { origin: 'null' }, 403],
    ['a name that leads here', { host: 'evil.example.test' }, 403],
    ['a name that only begins like ours', { host: 'localhost.evil.example.test' }, 403],
    ['an address elsewhere', { host: '10.0.0.1' }, 403],
    ['this machine', { host: 'localhost:1' }, 400],
    ['this machine in the other family', { host: '[::1]:1' }, 400],
  ])('%s', async (_what, headers, status) => {
    await using running = await runGateway();
    expect((await raw(running.url, '/fake/mcp', headers)).statusCode).toBe(status);
  });

  test('a page that is allowed is told that it may read, and any other nothing', async () => {
    await using running = await runGateway({ proxy: { allowedOrigins: ['https://app.example.test'] } });
    const preflight = { 'access-control-request-method': 'POST' };
    const allowed = await raw(
      running.url,
      '/fake/mcp',
      { origin: 'https://app.example.test', ...preflight },
      'OPTIONS',
    );
    expect(allowed.statusCode).toBe(204);
    expect(allowed.headers).toMatchObject({
      'access-control-allow-origin': 'https://app.example.test',
      vary: 'Origin',
    });
    const foreign = await raw(
      running.url,
      '/fake/mcp',
      { origin: 'https://evil.example.test', ...preflight },
      'OPTIONS',
    );
    expect(foreign.statusCode).toBe(403);
    expect(foreign.headers['access-control-allow-origin']).toBeUndefined();
  });
});

describe('tokens', () => {
  test('of the configuration are asked for, in the header and nowhere else', async () => {
    await using running = await runGateway({ servers: { fake: { options: { authTokens: ['Default'] } } } });
    const none = await running.post('fake', list);
    expect(none.status).toBe(401);
    expect(none.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect((await running.post('fake', list, bearer('Defaul'))).status).toBe(401);
    expect((await running.post('fake', list, { authorization: 'Basic Default' })).status).toBe(401);
    expect((await running.post('fake', list, { authorization: 'Bearer' })).status).toBe(401);
    // As TBXark's clients were told to.
    expect((await running.post('fake', list, { authorization: 'Default' })).status).toBe(400);
    for (const query of ['?token=Default', '?access_token=Default', '?authorization=Bearer%20Default']) {
      expect((await raw(running.url, `/fake/mcp${query}`, {})).statusCode).toBe(401);
    }
    await running.session('fake', bearer('Default'));
    expect((await fetch(`${running.url}/fake/sse`)).status).toBe(401);
  });

  test('never reach the server', async () => {
    await using running = await runGateway({
      servers: { fake: { options: { authTokens: ['Default'], sessions: 'per-client' } } },
    });
    const session = await running.session('fake', bearer('Default'));
    const call = { ...list, method: 'tools/call', params: { name: 'seen', arguments: {} } };
    const response = await running.post('fake', call, { 'mcp-session-id': session, ...bearer('Default') });
    expect(await response.text()).not.toContain('Default');
  });

  test('are kept as hashes, in a file of their owner alone, and shown once', async () => {
    const path = join(folder, 'kept', 'tokens.json');
    const { token } = await createToken(path, {
      name: 'phone',
      lifetime: 60_000,
      servers: null,
      tools: null,
      rotate: undefined,
    });
    const text = await readFile(path, 'utf8');
    expect(text).not.toContain(token.slice(5));
    expect(text).toContain(hashToken(token));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await expect(
      createToken(path, { name: 'phone', lifetime: undefined, servers: null, tools: null, rotate: undefined }),
    ).rejects.toMatchObject({ code: 'token-exists' });
    await revokeToken(path, 'phone');
    await expect(revokeToken(path, 'phone')).rejects.toMatchObject({ code: 'token-unknown' });
  });

  test('a new one of the same name lets the old one be for its grace', async () => {
    const path = join(folder, 'rotated.json');
    const make = (rotate: number | undefined) =>
      createToken(path, { name: 'phone', lifetime: undefined, servers: null, tools: null, rotate });
    const first = await make(undefined);
    await make(60_000);
    const [old, fresh] = await readTokens(path);
    expect(old?.hash).toBe(first.stored.hash);
    expect(Date.parse(old?.expires ?? '') - Date.now()).toBeLessThanOrEqual(60_000);
    expect(fresh?.expires).toBeNull();
  });

  test('a new one of the same name may do what the old one may, as long, and no more unless it is said', async () => {
    const path = join(folder, 'limits.json');
    const nothing = { name: 'agent', lifetime: undefined, servers: null, tools: null, rotate: 60_000 };
    await expect(createToken(path, nothing)).rejects.toMatchObject({ code: 'token-unknown' });
    const limits = { servers: ['fetch'], tools: ['fetch/get'], roles: ['caller'] as const };
    await createToken(path, { ...nothing, ...limits, lifetime: 3_600_000, rotate: undefined });
    for (let times = 0; times < 2; times += 1) {
      const { stored } = await createToken(path, nothing);
      expect(stored).toMatchObject(limits);
      expect(Date.parse(stored.expires ?? '') - Date.parse(stored.created)).toBe(3_600_000);
    }
    const { stored } = await createToken(path, { ...nothing, servers: ['time'], lifetime: 1000 });
    expect(stored).toMatchObject({ servers: ['time'], tools: null });
    expect(Date.parse(stored.expires ?? '') - Date.parse(stored.created)).toBe(1000);
  });

  test('are for servers and tools, and end', async () => {
    const path = join(folder, 'scoped.json');
    const make = async (name: string, servers: string[] | null, tools: string[] | null, lifetime?: number) =>
      (await createToken(path, { name, lifetime, servers, tools, rotate: undefined })).token;
    const only = await make('only', ['fake'], ['fake/echo']);
    const other = await make('other', ['elsewhere'], null);
    const short = await make('short', null, null, 1);
    const tokens = await mapOf(path);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await using running = await runGateway({ options: { tokens: () => tokens } });
    expect((await running.post('fake', list, bearer(other))).status).toBe(403);
    expect((await running.post('fake', list, bearer(short))).status).toBe(401);
    const session = await running.session('fake', bearer(only));
    const call = async (name: string) => {
      const body = { ...list, method: 'tools/call', params: { name, arguments: { message: 'hi' } } };
      return lastMessage(
        await (await running.post('fake', body, { 'mcp-session-id': session, ...bearer(only) })).text(),
      );
    };
    expect(textOf(await call('echo'))).toBe('hi');
    expect((await call('slow')).error?.code).toBe(-32602);
  });

  test('one client’s session is unknown to another', async () => {
    await using running = await runGateway({ servers: { fake: { options: { authTokens: ['A', 'B'] } } } });
    const session = await running.session('fake', bearer('A'));
    const mine = await running.post('fake', list, { 'mcp-session-id': session, ...bearer('A') });
    const theirs = await running.post('fake', list, { 'mcp-session-id': session, ...bearer('B') });
    expect([mine.status, theirs.status]).toEqual([200, 404]);
  });

  test('when the last one is taken away, nobody is let in', async () => {
    const path = join(folder, 'last.json');
    const given = { name: 'last', lifetime: undefined, servers: null, tools: null, rotate: undefined };
    const { token } = await createToken(path, given);
    let tokens = await mapOf(path);
    await using running = await runGateway({ options: { tokens: () => tokens } });
    await running.session('fake', bearer(token));
    await revokeToken(path, 'last');
    tokens = await mapOf(path);
    expect((await running.post('fake', list, bearer(token))).status).toBe(401);
    expect((await running.post('fake', list)).status).toBe(401);
  });

  test('without any, only this machine is listened to', async () => {
    await using running = await runGateway({ proxy: { addr: ':0' } });
    expect(running.url).toContain('127.0.0.1');
    expect(running.said.join()).toContain('token create');
    await using open = await runGateway({ proxy: { addr: ':0' }, options: { anonymous: true } });
    expect(open.url).toContain('localhost');
  });
});

describe('tools', () => {
  const call = (name: string) => ({ ...list, method: 'tools/call', params: { name, arguments: {} } });
  const names = async (running: Running, session: string) => {
    const answer = lastMessage(await (await running.post('fake', list, { 'mcp-session-id': session })).text());
    return (answer.result.tools as { name: string }[]).map(({ name }) => name);
  };

  test.each([
    ['allow', ['echo', 'slow'], ['echo', 'slow'], 'die'],
    ['block', ['die', 'stderr'], undefined, 'die'],
  ] as const)('%s lists are kept in lists and in calls', async (mode, names_, shown, refused) => {
    const options = { toolFilter: { mode, list: [...names_] } };
    await using running = await runGateway({ servers: { fake: { options } } });
    const session = await running.session('fake');
    const listed = await names(running, session);
    if (shown) expect(listed).toEqual(shown);
    expect(listed).not.toContain(refused);
    const answer = await running.post('fake', call(refused), { 'mcp-session-id': session });
    expect(lastMessage(await answer.text()).error?.code).toBe(-32602);
    // The server never heard of it, or it would be gone.
    expect(running.gateway.health().servers.fake?.state).toBe('up');
    expect(textOf(await running.call('fake', session, 'echo', { message: 'still' }))).toBe('still');
  });

  test('a name written twice, or with escapes, goes round no list', async () => {
    await using running = await runGateway({
      servers: { fake: { options: { toolFilter: { mode: 'block', list: ['die'] } } } },
    });
    const session = await running.session('fake');
    const bodies = [
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"die"}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","n\\u0061me":"die"}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{},"method":"tools/call","params":{"name":"die"}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"d\\u0069e"}}',
      '[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"die"}}]',
    ];
    for (const body of bodies) {
      const answer = await (await running.post('fake', body, { 'mcp-session-id': session })).text();
      expect(lastMessage(answer).error?.code).toBeLessThan(0);
    }
    expect(running.gateway.health().servers.fake?.state).toBe('up');
  });

  test('read-only lets through what is marked so, and nothing that isn’t known', async () => {
    await using running = await runGateway({ servers: { fake: { options: { readOnly: true } } } });
    const session = await running.session('fake');
    await until(async () => (await running.call('fake', session, 'echo')).error === undefined);
    expect(await names(running, session)).toEqual(['echo']);
    expect((await running.call('fake', session, 'slow')).error?.code).toBe(-32602);
    expect((await running.call('fake', session, 'unheard')).error?.code).toBe(-32602);
  });
});

describe('limits', () => {
  test('a body may be large, and not larger', async () => {
    await using running = await runGateway({ proxy: { maxBody: 300_000 } });
    const session = await running.session('fake');
    const message = 'x'.repeat(200_000);
    expect(textOf(await running.call('fake', session, 'echo', { message }))).toBe(message);
    const refused = await running
      .post('fake', 'x'.repeat(300_001), { 'mcp-session-id': session })
      .catch(() => undefined);
    expect(refused?.status ?? 413).toBe(413);
    expect(textOf(await running.call('fake', session, 'echo', { message: 'after' }))).toBe('after');
  });

  test('headers may not', async () => {
    await using running = await runGateway();
    const response = await raw(running.url, '/fake/mcp', { 'x-long': 'y'.repeat(20_000) }).catch(() => undefined);
    expect(response?.statusCode ?? 431).toBeGreaterThanOrEqual(400);
  });

  test('nor the number of requests in a second', async () => {
    await using running = await runGateway({ proxy: { requestsPerSecond: 3 } });
    const answers = await Promise.all(Array.from({ length: 12 }, () => running.post('fake', list)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(6);
    expect(refused[0]?.headers.get('retry-after')).toBe('1');
  });

  test.each([
    ['nothing', '', 400],
    ['half a message', '{"jsonrpc":"2.0","id":1,', 400],
    ['bytes that are no text', '\ud800', 400],
    ['no version', '{"id":1,"method":"ping"}', 400],
    ['a number as id of an object', '{"jsonrpc":"2.0","id":{},"method":"ping"}', 400],
    ['deep nesting', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 400],
  ])('%s is answered with an error', async (_what, body, status) => {
    await using running = await runGateway();
    const session = await running.session('fake');
    expect((await running.post('fake', body, { 'mcp-session-id': session })).status).toBe(status);
    expect(textOf(await running.call('fake', session, 'echo', { message: 'fine' }))).toBe('fine');
  });

  test('what isn’t JSON by its own account isn’t read', async () => {
    await using running = await runGateway();
    const response = await fetch(`${running.url}/fake/mcp`, { method: 'POST', body: JSON.stringify(list) });
    expect(response.status).toBe(415);
  });

  test('a client that never ends its headers doesn’t keep others waiting', async () => {
    await using running = await runGateway();
    const slow = connect(Number(new URL(running.url).port), '127.0.0.1');
    slow.write('POST /fake/mcp HTTP/1.1\r\nHost: localhost\r\nX-A:');
    const session = await running.session('fake');
    expect(textOf(await running.call('fake', session, 'echo', { message: 'quick' }))).toBe('quick');
    slow.destroy();
  });
});

async function mapOf(path: string): Promise<ReadonlyMap<string, Identity>> {
  return new Map((await readTokens(path)).map((stored) => [stored.hash, identityOf(stored)]));
}
