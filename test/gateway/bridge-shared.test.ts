import { expect, test } from 'vitest';
import { BRIDGES, fakeBehind, type RunningBridge } from './bridge.ts';
import { lastMessage, textOf, until } from './gateway.ts';

function post(bridge: RunningBridge, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${bridge.url}/mcp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, ...body }),
  });
}

const echo = { method: 'tools/call', params: { name: 'echo', arguments: { message: 'hello' } } };

async function opened(bridge: RunningBridge): Promise<string> {
  await until(async () => (await fetch(`${bridge.url}/_readyz`)).status === 200, 30_000);
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } };
  const response = await post(bridge, { method: 'initialize', params });
  await response.text();
  return response.headers.get('mcp-session-id') ?? '';
}

test.each(BRIDGES)('a session goes on at another bridge of a server that all share (%s)', async (which) => {
  await using first = await fakeBehind(which, {}, { MCP_BRIDGE_SESSIONS: 'shared' });
  await using second = await fakeBehind(which, {}, { MCP_BRIDGE_SESSIONS: 'shared' });
  const session = await opened(first);
  await opened(second);
  for (let at = 0; at < 3; at += 1) {
    const answer = await post(second, echo, { 'mcp-session-id': session });
    expect(textOf(lastMessage(await answer.text()))).toBe('hello');
  }
  for (const odd of ['', 'short', 'x'.repeat(65), '../../../../etc/passwd'])
    expect((await post(second, echo, { 'mcp-session-id': odd })).status, odd).toBe(404);
});

test('and nowhere else where sessions belong to one server', async () => {
  await using first = await fakeBehind('committed');
  await using second = await fakeBehind('committed');
  const session = await opened(first);
  await opened(second);
  expect((await post(second, echo, { 'mcp-session-id': session })).status).toBe(404);
});
