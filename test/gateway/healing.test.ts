import { describe, expect, test } from 'vitest';
import { hashToken, parseConfig } from '../../gateway/index.ts';
import { configText, fakeServer, lastMessage, type Running, runGateway, textOf, until } from './gateway.ts';

const tool = (name: string, args: object = {}, id: unknown = 1) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args },
});
const ready = async (running: Running) => (await fetch(`${running.url}/_readyz`)).status === 200;

describe('a server that dies', () => {
  test('everybody who waits is told at once, the next call works, and readiness says what is', async () => {
    await using running = await runGateway();
    await until(() => ready(running));
    const session = await running.session('fake');
    const headers = { 'mcp-session-id': session };
    const waiting = [1, 2, 3].map((id) => running.post('fake', tool('slow', { ms: 60_000 }, id), headers));
    await until(async () => (await running.call('fake', session, 'echo')).error === undefined);
    const begun = performance.now();
    process.kill(running.pids[0] as number, 'SIGKILL');
    for (const answer of waiting) {
      const { error, id } = lastMessage(await (await answer).text());
      expect(error?.code).toBe(-32000);
      expect([1, 2, 3]).toContain(id);
    }
    expect(performance.now() - begun).toBeLessThan(20_000);
    expect(textOf(await running.call('fake', session, 'echo', { message: 'back' }))).toBe('back');
    expect(performance.now() - begun).toBeLessThan(25_000);
    await until(() => ready(running));
  });

  test('one that dies by its own call doesn’t take its neighbour along', async () => {
    await using running = await runGateway({ servers: { bad: {}, good: {} } });
    const [bad, good] = [await running.session('bad'), await running.session('good')];
    const slow = running.post('good', tool('slow', { ms: 500, message: 'whole' }), { 'mcp-session-id': good });
    expect((await running.call('bad', bad, 'die')).error?.code).toBe(-32000);
    expect(textOf(lastMessage(await (await slow).text()))).toBe('whole');
  });

  test('one that never starts is refused at once after a few tries; the others are served', async () => {
    await using running = await runGateway({
      servers: { bad: { options: { reconnectInterval: '20ms' } }, good: {} },
      fake: { bad: { dieAtStart: true } },
    });
    const good = await running.session('good');
    await until(() => running.said.filter((line) => line.startsWith('bad')).length >= 4, 20_000);
    const begun = performance.now();
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } };
    await until(async () => {
      const answer = await running.post('bad', { jsonrpc: '2.0', id: 1, method: 'initialize', params });
      return lastMessage(await answer.text()).error?.code === -32000;
    });
    expect(performance.now() - begun).toBeLessThan(25_000);
    expect(textOf(await running.call('good', good, 'echo', { message: 'fine' }))).toBe('fine');
    expect(await ready(running)).toBe(false);
    expect((await fetch(`${running.url}/_healthz`)).status).toBe(200);
  });

  test('one that is stopped for want of use starts again with the next call', async () => {
    await using running = await runGateway({ servers: { fake: { options: { lazy: true, idleTimeout: '200ms' } } } });
    expect(running.pids).toHaveLength(0);
    expect(await ready(running)).toBe(true);
    const session = await running.session('fake');
    expect(textOf(await running.call('fake', session, 'slow', { ms: 600, message: 'long' }))).toBe('long');
    await until(() => running.gateway.health().servers.fake?.state === 'stopped');
    expect(textOf(await running.call('fake', session, 'echo', { message: 'again' }))).toBe('again');
    expect(running.pids).toHaveLength(2);
  });
});

describe('what others get wrong', () => {
  test('a megabyte of stderr stops nobody', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    expect(textOf(await running.call('fake', session, 'stderr', { bytes: 4 << 20 }))).toBe('written');
    expect(textOf(await running.call('fake', session, 'echo', { message: 'on' }))).toBe('on');
  });

  test('every answer goes to whoever asked, however many ask with the same ids', async () => {
    await using running = await runGateway();
    const sessions = await Promise.all(Array.from({ length: 16 }, () => running.session('fake')));
    await Promise.all(
      sessions.map(async (session, client) => {
        for (let id = 1; id <= 20; id += 1) {
          const body = tool('echo', { message: `${client}/${id}` }, id);
          const answer = lastMessage(await (await running.post('fake', body, { 'mcp-session-id': session })).text());
          expect(answer.id).toBe(id);
          expect(textOf(answer)).toBe(`${client}/${id}`);
        }
      }),
    );
    expect(running.pids).toHaveLength(1);
  });

  test('ten thousand abandoned sessions keep nobody out', async () => {
    await using running = await runGateway({ servers: { fake: { options: { maxSessions: 500 } } } });
    for (let at = 0; at < 10_000; at += 50) {
      await Promise.all(Array.from({ length: 50 }, () => running.session('fake')));
    }
    const session = await running.session('fake');
    expect(textOf(await running.call('fake', session, 'echo', { message: 'still here' }))).toBe('still here');
  }, 120_000);

  test('answers of many megabytes come whole', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const text = textOf(await running.call('fake', session, 'flood', { bytes: 8 << 20 }));
    expect(text.length).toBe(8 << 20);
  });

  test('two requests under one id of one client are refused rather than mixed up', async () => {
    await using running = await runGateway();
    const headers = { 'mcp-session-id': await running.session('fake') };
    const first = running.post('fake', tool('slow', { ms: 1000, message: 'first' }, 7), headers);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const second = await running.post('fake', tool('echo', {}, 7), headers);
    expect(second.status).toBe(400);
    expect(textOf(lastMessage(await (await first).text()))).toBe('first');
  });

  test('more than a server may be asked at once waits, and more than may wait is refused', async () => {
    await using running = await runGateway({ servers: { fake: { options: { maxConcurrent: 2, maxQueued: 3 } } } });
    const headers = { 'mcp-session-id': await running.session('fake') };
    const answers = await Promise.all(
      Array.from({ length: 8 }, async (_, id) =>
        lastMessage(await (await running.post('fake', tool('slow', { ms: 300, message: 'ok' }, id), headers)).text()),
      ),
    );
    expect(answers.filter(({ error }) => error?.code === -32029)).toHaveLength(3);
    expect(answers.filter(({ result }) => result !== undefined)).toHaveLength(5);
  });

  test('a request that takes too long is given up, and the server hears of it', async () => {
    await using running = await runGateway({ servers: { fake: { timeout: '300ms' } } });
    const session = await running.session('fake');
    const answer = await running.call('fake', session, 'slow', { ms: 60_000 });
    expect(answer.error?.code).toBe(-32001);
    expect(textOf(await running.call('fake', session, 'cancelled'))).not.toBe('[]');
  });
});

describe('sessions', () => {
  test('a server that keeps state runs for each client, and ends with it', async () => {
    await using running = await runGateway({ fake: { fake: { stateful: true } } });
    const [first, second] = [await running.session('fake'), await running.session('fake')];
    expect(running.pids).toHaveLength(3);
    expect(textOf(await running.call('fake', first, 'echo', { message: '1' }))).toBe('1');
    expect(textOf(await running.call('fake', second, 'echo', { message: '2' }))).toBe('2');
    await fetch(`${running.url}/fake/mcp`, { method: 'DELETE', headers: { 'mcp-session-id': first } });
    await until(() => !alive(running.pids[1] as number));
    expect(alive(running.pids[2] as number)).toBe(true);
  });

  test('no more of them run than may: whoever was away longest makes room', async () => {
    await using running = await runGateway({
      servers: { fake: { options: { sessions: 'per-client', maxContainers: 2 } } },
    });
    const sessions: string[] = [];
    for (let at = 0; at < 4; at += 1) sessions.push(await running.session('fake'));
    const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
    const states = await Promise.all(
      sessions.map(async (session) => (await running.post('fake', list, { 'mcp-session-id': session })).status),
    );
    expect(states).toEqual([404, 404, 200, 200]);
  });

  test('what is unheard of for too long is forgotten', async () => {
    await using running = await runGateway({ servers: { fake: { options: { sessionTimeout: '200ms' } } } });
    const session = await running.session('fake');
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect((await running.post('fake', tool('echo'), { 'mcp-session-id': session })).status).toBe(404);
  });
});

describe('a new configuration', () => {
  test('leaves what is the same alone, under a call', async () => {
    const servers = { same: {}, changed: {}, gone: {} };
    await using running = await runGateway({ servers });
    const session = await running.session('same');
    const headers = { 'mcp-session-id': session };
    const pending = running.post('same', tool('slow', { ms: 1500, message: 'through' }), headers);
    const next = { same: {}, changed: { options: { toolFilter: { mode: 'block', list: ['die'] } } }, added: {} };
    await running.gateway.reload(parseConfig(configText({ servers: next }), 'c', {}));
    expect(textOf(lastMessage(await (await pending).text()))).toBe('through');
    expect(Object.keys(running.gateway.health().servers).sort()).toEqual(['added', 'changed', 'same']);
    expect((await running.post('gone', tool('echo'))).status).toBe(404);
    const added = await running.session('added');
    expect(textOf(await running.call('added', added, 'echo', { message: 'new' }))).toBe('new');
  });

  test('with other tokens counts at once', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const servers = { fake: { options: { authTokens: ['T'] } } };
    await running.gateway.reload(parseConfig(configText({ servers }), 'c', {}));
    expect((await running.post('fake', tool('echo'), { 'mcp-session-id': session })).status).toBe(401);
  });

  test('a server that can’t be got ready is told, and the rest is served', async () => {
    await using running = await runGateway({
      servers: { broken: {}, fine: {} },
      options: {
        prepare: async ({ name }) => {
          if (name === 'broken') throw new Error(`no such package ${hashToken('x').slice(0, 4)}`);
          return { open: fakeServer() };
        },
      },
    });
    expect(running.gateway.health().servers.broken).toMatchObject({ state: 'failing' });
    expect(running.said.join('\n')).toContain('no such package');
    const session = await running.session('fine');
    expect(textOf(await running.call('fine', session, 'echo', { message: 'yes' }))).toBe('yes');
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
