import { fileURLToPath } from 'node:url';
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  ElicitRequestSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { describe, expect, test, vi } from 'vitest';
import { hashToken, type Identity } from '../../gateway/index.ts';
import { fakeServer, processChannel, type Setup, until } from './gateway.ts';
import { runWatched, type Watched } from './watching/watched.ts';

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const EVERYTHING = fileURLToPath(new URL('../fakes/conformance-server.ts', import.meta.url));
const everything = () => ({ open: processChannel([process.execPath, '--no-warnings', EVERYTHING]) });

/** One server of each kind: of 2025, of 2026, with state of its own for each client, with prompts and resources. */
const SERVERS: Setup = {
  servers: { old: {}, new: {}, own: { options: { sessions: 'per-client' } }, all: {} },
  prepare: (name) => {
    if (name === 'all') return everything();
    return { open: fakeServer({ generation: name === 'new' ? '2026' : '2025', stateful: name === 'own' }) };
  },
};

async function client(url: string, headers: Record<string, string> = {}, capabilities = {}) {
  const made = new Client({ name: 'test', version: '1' }, { capabilities });
  await made.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } }) as never);
  return made;
}

const said = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;
const namesOf = (list: readonly { name: string }[]) => list.map(({ name }) => name);

async function everyServerUp({ gateway }: Watched): Promise<void> {
  await until(() => gateway.servers().every(({ state }) => state === 'up'), 60_000);
}

describe('all servers under one address', () => {
  test('list and call what each has, under its own name, for a client of 2025', async () => {
    await using running = await runWatched(SERVERS);
    await everyServerUp(running);
    const made = await client(running.url);
    expect(made.getInstructions()).toContain('old: be kind');
    const names = namesOf((await made.listTools()).tools);
    for (const server of ['old', 'new', 'own']) {
      expect(names).toContain(`${server}__echo`);
      const message = `to ${server}`;
      expect(said(await made.callTool({ name: `${server}__echo`, arguments: { message } }))).toBe(message);
    }
    expect(new Set(names).size).toBe(names.length);
    await expect(made.callTool({ name: 'echo' })).rejects.toMatchObject({ code: -32602 });
    await expect(made.callTool({ name: 'nobody__echo' })).rejects.toMatchObject({ code: -32602 });
    await expect(made.callTool({ name: 'old__nothing' })).rejects.toMatchObject({ code: -32602 });
    // The record names the server and its own name for the tool.
    const call = (await running.records()).find(({ kind, server }) => kind === 'call' && server === 'new');
    expect(call).toMatchObject({ method: 'tools/call', target: 'echo' });
    await made.close();
  });

  test('and for a client of 2026, which needs no session', async () => {
    await using running = await runWatched(SERVERS);
    await everyServerUp(running);
    const made = new ModernClient(
      { name: 'test', version: '1' },
      { versionNegotiation: { mode: { pin: '2026-07-28' } } },
    );
    await made.connect(new ModernTransport(new URL(`${running.url}/mcp`)));
    const names = namesOf((await made.listTools()).tools);
    for (const server of ['old', 'new', 'own']) {
      expect(names).toContain(`${server}__echo`);
      const answer = await made.callTool({ name: `${server}__echo`, arguments: { message: server } });
      expect(said(answer)).toBe(server);
    }
    const { prompts } = await made.listPrompts();
    expect(prompts.length).toBeGreaterThan(0);
    expect(prompts.every(({ name }) => name.startsWith('all__'))).toBe(true);
    const { resources } = await made.listResources();
    const { uri = '' } = resources.find((each) => each.uri.endsWith('static-text')) ?? {};
    expect(uri).toBe('all+test://static-text');
    const { contents } = await made.readResource({ uri });
    expect(contents[0]).toMatchObject({ uri, text: 'This is the content of the static text resource.' });
    await made.close();
  });

  test('have prompts, resources, templates and completions, and links among them lead back', async () => {
    await using running = await runWatched(SERVERS);
    await everyServerUp(running);
    const made = await client(running.url);
    const { prompts } = await made.listPrompts();
    const simple = prompts.find(({ name }) => name.includes('simple')) ?? prompts[0];
    expect((await made.getPrompt({ name: simple?.name ?? '' })).messages.length).toBeGreaterThan(0);
    const { resourceTemplates } = await made.listResourceTemplates();
    expect(resourceTemplates[0]?.uriTemplate).toBe('all+test://template/{id}/data');
    const read = await made.readResource({ uri: 'all+test://template/7/data' });
    expect(read.contents[0]?.uri).toBe('all+test://template/7/data');
    const { tools } = await made.listTools();
    const embedding = tools.find(({ name }) => name.includes('embedded_resource'));
    const { content } = await made.callTool({ name: embedding?.name ?? '' });
    expect(JSON.stringify(content)).toMatch(/"uri":"all\+test:\/\//);
    await expect(made.readResource({ uri: 'test://static-text' })).rejects.toMatchObject({ code: -32602 });
    await made.close();
  });

  test('say how far they are, ask the client, and are told when it gives up', async () => {
    await using running = await runWatched(SERVERS);
    await everyServerUp(running);
    const made = await client(running.url, {}, { elicitation: {} });
    made.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: { name: 'Ann' } }));
    for (const server of ['old', 'new', 'own']) {
      const seen: number[] = [];
      await made.callTool({ name: `${server}__progress` }, undefined, {
        onprogress: ({ progress }) => seen.push(progress),
      });
      expect(seen, server).toEqual([1, 2, 3]);
    }
    // A server of its own asks by a request, one of 2026 in its answer.
    for (const server of ['new', 'own']) {
      expect(said(await made.callTool({ name: `${server}__ask` })), server).toContain('Ann');
    }
    const leaving = new AbortController();
    const call = made.callTool({ name: 'own__slow', arguments: { ms: 600_000 } }, undefined, {
      signal: leaving.signal,
      onprogress: () => leaving.abort(),
    });
    await expect(call).rejects.toThrow();
    await until(async () => said(await made.callTool({ name: 'own__cancelled' })) !== '[]', 30_000);
    await made.close();
  });

  test('tell when a list or a resource has changed', async () => {
    await using running = await runWatched(SERVERS);
    await everyServerUp(running);
    const made = await client(running.url);
    let lists = 0;
    const updated: string[] = [];
    made.setNotificationHandler(ToolListChangedNotificationSchema, () => {
      lists += 1;
    });
    made.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void updated.push(params.uri));
    await made.callTool({ name: 'old__change' });
    await until(() => lists > 0, 30_000);
    expect(namesOf((await made.listTools()).tools).filter((name) => name.startsWith('old__'))).toHaveLength(3);
    await made.subscribeResource({ uri: 'own+memo://1' });
    await until(() => updated.length > 0, 30_000);
    expect(updated).toEqual(['own+memo://1']);
    await made.close();
  });

  test('go on without one that can’t be started', async () => {
    await using running = await runWatched({
      servers: { good: {}, broken: {} },
      fake: { broken: { dieAtStart: true } },
    });
    const made = await client(running.url);
    expect(new Set(namesOf((await made.listTools()).tools).map((name) => name.split('__')[0]))).toEqual(
      new Set(['good']),
    );
    await expect(made.callTool({ name: 'broken__echo' })).rejects.toMatchObject({ code: -32000 });
    await made.close();
  });

  test('are those that a token is for, and of them the tools that it may call', async () => {
    const token = (name: string, limits: Partial<Identity>): [string, Identity] => [
      hashToken(`mcpb_${name}`),
      { id: name, name, expires: undefined, servers: undefined, tools: undefined, ...limits },
    ];
    const tokens = new Map([
      token('one', { servers: new Set(['old']) }),
      token('two', { tools: new Set(['old/echo', 'new/*']) }),
    ]);
    await using running = await runWatched({ ...SERVERS, servers: { old: {}, new: {} } }, tokens);
    const none = await fetch(`${running.url}/mcp`, { method: 'POST' });
    expect(none.status).toBe(401);
    const one = await client(running.url, { authorization: 'Bearer mcpb_one' });
    expect(namesOf((await one.listTools()).tools).every((name) => name.startsWith('old__'))).toBe(true);
    await expect(one.callTool({ name: 'new__echo' })).rejects.toMatchObject({ code: -32602 });
    const two = await client(running.url, { authorization: 'Bearer mcpb_two' });
    const names = namesOf((await two.listTools()).tools);
    expect(names.filter((name) => name.startsWith('old__'))).toEqual(['old__echo']);
    expect(names).toContain('new__seen');
    await expect(two.callTool({ name: 'old__seen' })).rejects.toMatchObject({ code: -32602 });
    expect(said(await two.callTool({ name: 'new__echo', arguments: { message: 'hi' } }))).toBe('hi');
    await Promise.all([one.close(), two.close()]);
  });

  test('with tokens of their own in the configuration are those of the token that comes', async () => {
    const options = (token: string) => ({ options: { authTokens: [token] } });
    await using running = await runWatched({ servers: { mine: options('a'), yours: options('b'), free: {} } });
    const servers = async (headers: Record<string, string>) => {
      const made = await client(running.url, headers);
      const { tools } = await made.listTools();
      await made.close();
      return [...new Set(namesOf(tools).map((name) => name.split('__')[0]))].sort();
    };
    expect(await servers({ authorization: 'Bearer a' })).toEqual(['free', 'mine']);
    expect(await servers({ authorization: 'Bearer b' })).toEqual(['free', 'yours']);
    expect(await servers({})).toEqual(['free']);
  });

  test('whose names run into each other are told apart', async () => {
    await using running = await runWatched({ servers: { a: {}, a__b: {}, 'A.b_c': {}, 'A.b-c': {} } });
    const made = await client(running.url);
    const names = namesOf((await made.listTools()).tools);
    expect(new Set(names).size).toBe(names.length);
    await made.callTool({ name: 'a__b__echo' });
    await made.callTool({ name: 'a__echo' });
    const calls = (await running.records()).filter(({ kind }) => kind === 'call');
    expect(calls.map(({ server }) => server)).toEqual(['a__b', 'a']);
    await made.close();
  });

  test('are served by HTTP+SSE, too', async () => {
    await using running = await runWatched(SERVERS);
    await everyServerUp(running);
    const made = new Client({ name: 'test', version: '1' });
    await made.connect(new SSEClientTransport(new URL(`${running.url}/sse`)) as never);
    expect(said(await made.callTool({ name: 'new__echo', arguments: { message: 'hi' } }))).toBe('hi');
    await made.close();
  });
});
