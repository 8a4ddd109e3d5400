import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { describe, expect, test } from 'vitest';
import { bridgeSource } from '../../.ci/bridge.ts';
import { BRIDGES, fakeBehind, type RunningBridge, runBridge } from './bridge.ts';
import { lastMessage, textOf, until } from './gateway.ts';

const JSON_OR_EVENTS = 'application/json, text/event-stream';

function post(bridge: RunningBridge, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${bridge.url}/mcp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: JSON_OR_EVENTS, ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', ...body }),
  });
}

async function session(bridge: RunningBridge): Promise<string> {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } };
  const response = await post(bridge, { id: 0, method: 'initialize', params });
  expect(response.status, await response.text()).toBe(200);
  return response.headers.get('mcp-session-id') ?? '';
}

async function call(bridge: RunningBridge, id: string, name: string, args: object = {}) {
  const body = { id: 1, method: 'tools/call', params: { name, arguments: args } };
  return lastMessage(await (await post(bridge, body, { 'mcp-session-id': id })).text());
}

/** With a Host header, which fetch doesn't send. */
function get(bridge: RunningBridge, path: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .get({ host: '127.0.0.1', port: bridge.port, path, headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
      .once('error', reject);
  });
}

async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const ready = (bridge: RunningBridge) => until(async () => (await get(bridge, '/_readyz')) === 200, 30_000);

describe.each(BRIDGES)('the bridge, %s', (which) => {
  test('serves a server of stdio in both generations at one address', async () => {
    await using bridge = await fakeBehind(which);
    await ready(bridge);
    expect(textOf(await call(bridge, await session(bridge), 'echo', { message: 'hello' }))).toContain('hello');
    const meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {},
    };
    const answer = await post(
      bridge,
      { id: 7, method: 'tools/call', params: { name: 'echo', arguments: { message: 'again' }, _meta: meta } },
      { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' },
    );
    expect(answer.headers.get('mcp-session-id')).toBeNull();
    expect(textOf(lastMessage(await answer.text()))).toContain('again');
  });

  test('is alive before its server is ready, and stays so while that fails', async () => {
    await using bridge = await fakeBehind(which, { dieAtStart: true });
    await until(() => bridge.said().includes('could not be started'), 30_000);
    expect(await get(bridge, '/_healthz')).toBe(200);
    expect(await get(bridge, '/_readyz')).toBe(503);
  });

  test('starts a server again that died, and lets its session go on', async () => {
    await using bridge = await fakeBehind(which);
    await ready(bridge);
    const id = await session(bridge);
    await call(bridge, id, 'die');
    await until(async () => (await call(bridge, id, 'echo', { message: 'back' })).error === undefined, 30_000);
    expect(textOf(await call(bridge, id, 'echo', { message: 'back' }))).toContain('back');
  });

  test('gives each client of a server with a memory one of its own', async () => {
    await using bridge = await fakeBehind(which, { stateful: true });
    await ready(bridge);
    await Promise.all([session(bridge), session(bridge)]);
    // The one that is asked what it is, and one for each.
    expect(await childrenOf(bridge.pid)).toHaveLength(3);
  });

  test('leaves no process behind', async () => {
    const bridge = await fakeBehind(which, { stateful: true });
    await ready(bridge);
    await session(bridge);
    const children = await childrenOf(bridge.pid);
    expect(children).toHaveLength(2);
    await bridge[Symbol.asyncDispose]();
    await until(() => children.every((pid) => !isAlive(pid)), 30_000);
  });

  test('is reached by address, by this machine’s names and by those it was told, and by no page', async () => {
    await using bridge = await fakeBehind(which, {}, { MCP_BRIDGE_HOSTS: 'memory,memory.mcp.svc' });
    for (const host of [
      '127.0.0.1',
      '10.1.2.3:8080',
      '[fd00::1]:8080',
      'localhost:8080',
      'memory',
      'memory.mcp.svc:8080',
    ])
      expect(await get(bridge, '/_healthz', { host }), host).toBe(200);
    for (const host of ['memory.example.test', 'evil.example.test:8080', '10.1.2.3.example.test'])
      expect(await get(bridge, '/_healthz', { host }), host).toBe(403);
    expect(await get(bridge, '/_healthz', { host: '10.1.2.3', origin: 'http://evil.example.test' })).toBe(403);
    for (const path of ['/', '/server/mcp', '/sse', '/server/sse', '/metrics'])
      expect(await get(bridge, path)).toBe(404);
  });

  test('keeps its own variables to itself, and passes every other on', async () => {
    const script = `process.stdin.on('data', (line) => console.log(JSON.stringify({jsonrpc: '2.0', id: JSON.parse(line).id, result: {
      supportedVersions: ['2026-07-28'], capabilities: {}, instructions: JSON.stringify(process.env)}})))`;
    await using bridge = await runBridge(which, [process.execPath, '-e', script], {
      MCP_BRIDGE_HOSTS: 'x',
      OTHER: 'kept',
    });
    await ready(bridge);
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } };
    const answer = lastMessage(await (await post(bridge, { id: 0, method: 'initialize', params })).text());
    const seen = JSON.parse(answer.result.instructions) as Record<string, string>;
    expect(seen.OTHER).toBe('kept');
    expect(Object.keys(seen).filter((name) => name.startsWith('MCP_BRIDGE_'))).toEqual([]);
  });

  test('answers what is under way before it ends, and says at once that it is not ready', async () => {
    await using bridge = await fakeBehind(which, {}, { MCP_BRIDGE_DRAIN: '0' });
    await ready(bridge);
    const id = await session(bridge);
    const body = {
      ...{ id: 1, method: 'tools/call' },
      params: { name: 'slow', arguments: { ms: 1500 }, _meta: { progressToken: 'p' } },
    };
    // Its headers come with the first progress: it is under way.
    const slow = await post(bridge, body, { 'mcp-session-id': id });
    bridge.signal('SIGTERM');
    await until(async () => (await get(bridge, '/_readyz').catch(() => 503)) === 503, 30_000);
    expect(textOf(lastMessage(await slow.text()))).toBe('slept');
    expect(await bridge.ended).toBe(0);
  });

  test.each([
    [{ MCP_BRIDGE_PORT: 'x' }, 'MCP_BRIDGE_PORT'],
    [{ MCP_BRIDGE_PORT: '70000' }, 'MCP_BRIDGE_PORT'],
    [{ MCP_BRIDGE_SESSIONS: 'all' }, 'MCP_BRIDGE_SESSIONS'],
  ])('refuses %j', async (environment, said) => {
    await expect(fakeBehind(which, {}, environment)).rejects.toThrow(said);
  });
});

test('the same sources give the same bridge', async () => {
  expect(await bridgeSource()).toBe(await bridgeSource());
});
