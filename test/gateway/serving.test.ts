import { describe, expect, test } from 'vitest';
import { lastMessage, runGateway, textOf, until } from './gateway.ts';

const MODERN = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};

function modern(method: string, params: object = {}, id: unknown = 1) {
  return { jsonrpc: '2.0', id, method, params: { ...params, _meta: MODERN } };
}

const headers = (method: string, name?: string) => ({
  'mcp-protocol-version': '2026-07-28',
  'mcp-method': method,
  ...(name === undefined ? {} : { 'mcp-name': name }),
});

describe('Streamable HTTP of 2025-11-25', () => {
  test('a session is greeted by the server behind, and calls its tools', async () => {
    await using running = await runGateway();
    const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 't', version: '1' } };
    const response = await running.post('fake', { jsonrpc: '2.0', id: 'a', method: 'initialize', params });
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.json()).toMatchObject({
      id: 'a',
      result: { protocolVersion: '2025-06-18', serverInfo: { name: 'fake' }, instructions: 'be kind' },
    });
    const session = response.headers.get('mcp-session-id') as string;
    expect(textOf(await running.call('fake', session, 'echo', { message: 'grüß dich' }))).toBe('grüß dich');
  });

  test('ids of every kind come back as they were sent', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    for (const id of ['1', '"1"', '"a\\"b"', '0', '-7', '1.5']) {
      const body = `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"echo","arguments":{"message":"x"}}}`;
      const answer = await (await running.post('fake', body, { 'mcp-session-id': session })).text();
      expect(answer).toContain(`"id":${id}`);
    }
  });

  test('numbers that JavaScript can’t hold, and line breaks between tokens, reach the server as they are', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const body = `{\n "jsonrpc": "2.0",\r\n "id": 5,\n "method": "tools/call", "params": {"name": "echo",\n "arguments": {"message": "12345678901234567890"}}}`;
    const answer = lastMessage(await (await running.post('fake', body, { 'mcp-session-id': session })).text());
    expect(textOf(answer)).toBe('12345678901234567890');
  });

  test('progress of a call comes before its answer, under the client’s own token', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const params = { name: 'progress', arguments: {}, _meta: { progressToken: 'mine' } };
    const response = await running.post(
      'fake',
      { jsonrpc: '2.0', id: 9, method: 'tools/call', params },
      { 'mcp-session-id': session },
    );
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const messages = [...(await response.text()).matchAll(/^data: (.+)$/gm)].map((match) =>
      JSON.parse(match[1] as string),
    );
    expect(messages.map(({ params: said }) => said?.progress)).toEqual([1, 2, 3, undefined]);
    expect(messages[0].params.progressToken).toBe('mine');
    expect(messages[3].id).toBe(9);
  });

  test('the error of a server comes with its own code and data', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const { error } = await running.call('fake', session, 'fail', { code: -32042 });
    expect(error).toEqual({ code: -32042, message: 'as asked', data: { kept: true } });
  });

  test('cancelling reaches the server, under its own number for the request', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const slow = {
      jsonrpc: '2.0',
      id: 'slow',
      method: 'tools/call',
      params: { name: 'slow', arguments: { ms: 5000 } },
    };
    const waiting = running.post('fake', slow, { 'mcp-session-id': session });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const note = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'slow' } };
    expect((await running.post('fake', note, { 'mcp-session-id': session })).status).toBe(202);
    expect(lastMessage(await (await waiting).text()).error?.code).toBe(-32001);
    const seen = JSON.parse(textOf(await running.call('fake', session, 'cancelled'))) as unknown[];
    expect(seen).toHaveLength(1);
    expect(typeof seen[0]).toBe('number');
  });

  test('a server of one’s own may ask its client, and nobody else is asked', async () => {
    await using running = await runGateway({ fake: { fake: { stateful: true } } });
    const session = await running.session('fake', {}, { elicitation: {} });
    const other = await running.session('fake', {}, { elicitation: {} });
    const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'ask', arguments: {} } };
    const response = await running.post('fake', body, { 'mcp-session-id': session });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    while (!text.includes('elicitation/create')) text += new TextDecoder().decode((await reader.read()).value);
    const reply = { jsonrpc: '2.0', id: 'q1', result: { action: 'accept', content: { name: 'me' } } };
    // The other client can't answer in its place.
    await running.post('fake', { ...reply, result: { action: 'stolen' } }, { 'mcp-session-id': other });
    await running.post('fake', reply, { 'mcp-session-id': session });
    while (!text.includes('"id":1')) text += new TextDecoder().decode((await reader.read()).value);
    expect(textOf(lastMessage(text))).toContain('"name":"me"');
  });

  test('a stream whose connection broke is gone on with', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const params = { name: 'progress', arguments: {}, _meta: { progressToken: 1 } };
    const response = await running.post(
      'fake',
      { jsonrpc: '2.0', id: 3, method: 'tools/call', params },
      { 'mcp-session-id': session },
    );
    const first = await response.text();
    const ids = [...first.matchAll(/^id: (.+)$/gm)].map((match) => match[1] as string);
    const rest = await fetch(`${running.url}/fake/mcp`, {
      headers: { accept: 'text/event-stream', 'mcp-session-id': session, 'last-event-id': ids.at(-3) as string },
    });
    const again = await rest.text();
    expect(again).not.toContain('"progress":2');
    expect(again).toContain('"progress":3');
    expect(lastMessage(again).id).toBe(3);
  });

  test('GET hears what answers nothing; a second one is refused', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const listen = { accept: 'text/event-stream', 'mcp-session-id': session };
    const stream = await fetch(`${running.url}/fake/mcp`, { headers: listen });
    expect((await fetch(`${running.url}/fake/mcp`, { headers: listen })).status).toBe(409);
    await running.call('fake', session, 'change');
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    while (!text.includes('list_changed')) text += new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
  });

  test('DELETE ends a session, and it is unknown from then on', async () => {
    await using running = await runGateway();
    const session = await running.session('fake');
    const end = await fetch(`${running.url}/fake/mcp`, { method: 'DELETE', headers: { 'mcp-session-id': session } });
    expect(end.status).toBe(204);
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
    expect((await running.post('fake', call, { 'mcp-session-id': session })).status).toBe(404);
    expect((await running.post('fake', call)).status).toBe(400);
  });
});

describe('Streamable HTTP of 2026-07-28', () => {
  test.each(['2025', '2026', 'both'])('is spoken in front of a server of %s', async (generation) => {
    await using running = await runGateway({ fake: { fake: { generation } } });
    const found = await (await running.post('fake', modern('server/discover'), headers('server/discover'))).json();
    expect(found).toMatchObject({
      result: { resultType: 'complete', supportedVersions: ['2026-07-28'], capabilities: { tools: {} } },
    });
    const call = modern('tools/call', { name: 'echo', arguments: { message: 'ho' } }, 'x');
    const answer = await (await running.post('fake', call, headers('tools/call', 'echo'))).json();
    expect(answer).toMatchObject({ id: 'x', result: { resultType: 'complete', content: [{ text: 'ho' }] } });
    const list = await (await running.post('fake', modern('tools/list'), headers('tools/list'))).json();
    expect((list as { result: { tools: unknown[] } }).result.tools.length).toBeGreaterThan(5);
  });

  test('a server of 2026 alone serves a client of 2025', async () => {
    await using running = await runGateway({ fake: { fake: { generation: '2026' } } });
    const session = await running.session('fake');
    expect(textOf(await running.call('fake', session, 'echo', { message: 'old' }))).toBe('old');
    const seen = JSON.parse(textOf(await running.call('fake', session, 'seen'))) as { params: { _meta: object } };
    expect(seen.params._meta).toMatchObject({ 'io.modelcontextprotocol/protocolVersion': '2026-07-28' });
  });

  test('what a server of 2026 wants to know, a client of 2025 is asked, even where others share the server', async () => {
    await using running = await runGateway({ fake: { fake: { generation: '2026' } } });
    const session = await running.session('fake', {}, { elicitation: {} });
    const other = await running.session('fake', {}, { elicitation: {} });
    const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'ask', arguments: {} } };
    const response = await running.post('fake', body, { 'mcp-session-id': session });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    while (!text.includes('elicitation/create')) text += new TextDecoder().decode((await reader.read()).value);
    const { id } = lastMessage(text);
    const reply = { jsonrpc: '2.0', id, result: { action: 'accept', content: { name: 'me' } } };
    await running.post('fake', { ...reply, result: { action: 'stolen' } }, { 'mcp-session-id': other });
    await running.post('fake', reply, { 'mcp-session-id': session });
    while (!text.includes('"id":1,')) text += new TextDecoder().decode((await reader.read()).value);
    expect(JSON.parse(textOf(lastMessage(text)))).toEqual({ answers: { who: reply.result }, state: 'kept' });
    const unable = await running.session('fake');
    expect((await running.call('fake', unable, 'ask')).error?.message).toContain('elicitation');
  });

  test('the envelope stays out of a server of 2025, and what isn’t ours of it goes on', async () => {
    await using running = await runGateway();
    const call = {
      ...modern('tools/call'),
      params: { name: 'seen', arguments: {}, _meta: { ...MODERN, traceparent: '00-1', progressToken: 'p' } },
    };
    const answer = lastMessage(await (await running.post('fake', call, headers('tools/call', 'seen'))).text());
    const { _meta } = (JSON.parse(textOf(answer)) as { params: { _meta: Record<string, unknown> } }).params;
    expect(Object.keys(_meta).sort()).toEqual(['progressToken', 'traceparent']);
  });

  test.each([
    ['no Mcp-Method', modern('tools/list'), { 'mcp-protocol-version': '2026-07-28' }, 400, -32020],
    ['another Mcp-Method', modern('tools/list'), headers('tools/call'), 400, -32020],
    ['another Mcp-Name', modern('tools/call', { name: 'die' }), headers('tools/call', 'echo'), 400, -32020],
    ['no Mcp-Name', modern('tools/call', { name: 'echo' }), headers('tools/call'), 400, -32020],
    ['no version header', modern('tools/list'), { 'mcp-method': 'tools/list' }, 400, -32020],
    ['no envelope', { jsonrpc: '2.0', id: 1, method: 'tools/list' }, headers('tools/list'), 400, -32602],
    ['a method that is gone', modern('ping'), headers('ping'), 404, -32601],
    ['a method nobody has', modern('no/such'), headers('no/such'), 404, -32601],
  ])('with %s it is refused', async (_what, body, given, status, code) => {
    await using running = await runGateway();
    const response = await running.post('fake', body, given as Record<string, string>);
    expect(response.status).toBe(status);
    expect(((await response.json()) as { error: { code: number } }).error.code).toBe(code);
  });

  test('a name that no header can hold is read from Base64', async () => {
    await using running = await runGateway();
    const name = `=?base64?${Buffer.from('écho').toString('base64')}?=`;
    const response = await running.post('fake', modern('tools/call', { name: 'écho' }), headers('tools/call', name));
    expect(lastMessage(await response.text()).error?.code).toBe(-32602);
    expect(response.status).toBe(200);
  });

  test('leaving cancels', async () => {
    await using running = await runGateway();
    const leaving = new AbortController();
    const params = { name: 'slow', arguments: { ms: 20_000 }, _meta: { ...MODERN, progressToken: 1 } };
    const begun = await fetch(`${running.url}/fake/mcp`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers('tools/call', 'slow'),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
      signal: leaving.signal,
    });
    expect(begun.headers.get('content-type')).toBe('text/event-stream');
    leaving.abort();
    await begun.text().catch(() => undefined);
    await until(async () => {
      const asked = await running.post(
        'fake',
        modern('tools/call', { name: 'cancelled' }),
        headers('tools/call', 'cancelled'),
      );
      return textOf(lastMessage(await asked.text())) !== '[]';
    });
  });

  test('subscriptions/listen acknowledges what the server can tell, and tells it', async () => {
    await using running = await runGateway();
    const wanted = { notifications: { toolsListChanged: true, promptsListChanged: true } };
    const response = await running.post(
      'fake',
      modern('subscriptions/listen', wanted, 'sub'),
      headers('subscriptions/listen'),
    );
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    const read = async () => {
      text += new TextDecoder().decode((await reader.read()).value);
    };
    while (!text.includes('acknowledged')) await read();
    expect(text).toContain('"notifications":{"toolsListChanged":true}');
    await running.post('fake', modern('tools/call', { name: 'change' }), headers('tools/call', 'change'));
    while (!text.includes('tools/list_changed')) await read();
    expect(text).toContain('"io.modelcontextprotocol/subscriptionId":"sub"');
    await reader.cancel();
  });
});

describe('HTTP+SSE', () => {
  test('the stream names where to send, and carries every answer to its own client', async () => {
    await using running = await runGateway();
    const clients = await Promise.all([0, 1, 2, 3].map(() => sseClient(running.url)));
    await Promise.all(
      clients.map((client) =>
        client.send('initialize', 0, {
          protocolVersion: '2024-11-05',
          capabilities: {},
          clientInfo: { name: 't', version: '1' },
        }),
      ),
    );
    await Promise.all(clients.map((client) => client.heard('"id":0')));
    for (let id = 1; id <= 25; id += 1) {
      await Promise.all(
        clients.map((client, index) =>
          client.send('tools/call', id, { name: 'echo', arguments: { message: `client ${index} call ${id}` } }),
        ),
      );
    }
    for (const [index, client] of clients.entries()) {
      await client.heard('call 25');
      const answers = client.messages().filter(({ id }) => Number(id) > 0);
      expect(answers).toHaveLength(25);
      for (const answer of answers) expect(textOf(answer)).toBe(`client ${index} call ${answer.id}`);
      await client.close();
    }
  });

  test('a message for a session nobody has is refused', async () => {
    await using running = await runGateway();
    const response = await fetch(`${running.url}/fake/message?sessionId=guess`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    });
    expect(response.status).toBe(404);
  });
});

async function sseClient(url: string) {
  const response = await fetch(`${url}/fake/sse`, { headers: { accept: 'text/event-stream' } });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = '';
  const read = async () => {
    text += new TextDecoder().decode((await reader.read()).value);
  };
  while (!text.includes('\n\n')) await read();
  const endpoint = /^data: (.+)$/m.exec(text)?.[1] ?? '';
  return {
    async send(method: string, id: number, params: object) {
      const sent = await fetch(new URL(endpoint, url), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ jsonrpc: '2.0', id, method, params }),
      });
      expect(sent.status).toBe(202);
    },
    async heard(what: string) {
      while (!text.includes(what)) await read();
    },
    messages: () => [...text.matchAll(/^data: (\{.+)$/gm)].map((match) => lastMessage(match[1] as string)),
    close: () => reader.cancel(),
  };
}
