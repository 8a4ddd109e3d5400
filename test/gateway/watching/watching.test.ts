import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hashToken, type Identity, openAuditLog, verifyAuditLog } from '../../../gateway/index.ts';
import { textOf, until } from '../gateway.ts';
import { runWatched } from './watched.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const tokenFor = (name: string, limits: Partial<Identity> = {}): readonly [string, Identity] => [
  hashToken(`mcpb_${name}`),
  { id: name.padEnd(8, '0'), name, expires: undefined, servers: undefined, tools: undefined, ...limits },
];
const bearer = (name: string) => ({ authorization: `Bearer mcpb_${name}` });

describe('the audit log of a gateway', () => {
  test('says who called which tool of which image, and with what outcome, and nothing of what was said', async () => {
    const tokens = new Map([tokenFor('ann')]);
    const { fakeServer } = await import('../gateway.ts');
    await using running = await runWatched({ prepare: () => ({ open: fakeServer(), digest: DIGEST }) }, tokens);
    const session = await running.session('fake', bearer('ann'));
    const call = {
      jsonrpc: '2.0',
      id: 7,
      method: 'tools/call',
      params: { name: 'echo', arguments: { text: 'my password' } },
    };
    await (await running.post('fake', call, { ...bearer('ann'), 'mcp-session-id': session })).text();
    await (await running.post('fake', call, { authorization: 'Bearer wrong' })).text();
    const records = await running.records();
    const made = records.find(({ kind }) => kind === 'call');
    expect(made).toMatchObject({
      client: 'ann',
      token: 'ann00000',
      server: 'fake',
      digest: DIGEST,
      method: 'tools/call',
      target: 'echo',
    });
    expect(records.find(({ kind }) => kind === 'done')).toMatchObject({ of: made?.n, outcome: 'answered' });
    expect(records.filter(({ kind }) => kind === 'entry-refused')).toMatchObject([{ server: 'fake', status: 401 }]);
    expect(JSON.stringify(records)).not.toContain('password');
    expect((await verifyAuditLog(running.folder)).faults).toEqual([]);
  });

  test('a call that can’t be recorded isn’t made, and the next one is once there is room', async () => {
    await using running = await runWatched();
    const session = await running.session('fake');
    expect(textOf(await running.call('fake', session, 'echo', { message: 'one' }))).toContain('one');
    const before = (await running.records()).length;
    // As the log answers while the disk is full: see audit-log.test.ts for a real one.
    const { append } = running.log;
    let full = true;
    Object.assign(running.log, {
      append: (telling: Parameters<typeof append>[0], done: Parameters<typeof append>[1]) => {
        if (!full) return append(telling, done);
        done(Object.assign(new Error('ENOSPC'), { code: 'audit-log-unwritable' }) as never);
        return 0;
      },
    });
    expect((await running.call('fake', session, 'echo', { message: 'two' })).error).toMatchObject({ code: -32000 });
    expect(await running.records()).toHaveLength(before);
    full = false;
    expect(textOf(await running.call('fake', session, 'echo', { message: 'three' }))).toContain('three');
  });

  test('kill -9 of the gateway loses the record of no call that was answered', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'killed-gateway-'));
    const watched = new URL('./watched.ts', import.meta.url).href;
    const script = `
      const { runWatched } = await import(${JSON.stringify(watched)});
      const { url } = await runWatched({}, new Map(), ${JSON.stringify(join(folder, 'audit'))});
      process.stdout.write(url + '\\n');
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const url = await new Promise<string>((resolve) => {
        child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
      });
      const post = async (body: object, headers: Record<string, string> = {}) => {
        const accept = 'application/json, text/event-stream';
        const sent = { method: 'POST', headers: { 'content-type': 'application/json', accept, ...headers } };
        return fetch(`${url}/fake/mcp`, { ...sent, body: JSON.stringify({ jsonrpc: '2.0', ...body }) });
      };
      let answered = 0;
      // Eight clients, so that it is killed within a write of several records.
      const clients = Array.from({ length: 8 }, async () => {
        const clientInfo = { name: 'test', version: '1' };
        const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo };
        const session = (await post({ id: 0, method: 'initialize', params })).headers.get('mcp-session-id') ?? '';
        for (let id = 1; ; id += 1) {
          const call = { id, method: 'tools/call', params: { name: 'echo', arguments: { message: 'x' } } };
          const answer = (await (await post(call, { 'mcp-session-id': session })).json()) as { error?: unknown };
          expect(answer.error).toBeUndefined();
          answered += 1;
          if (answered === 200) child.kill('SIGKILL');
        }
      });
      const ends = await Promise.allSettled(clients);
      // Each was cut off by the kill, none by an answer that it didn't expect.
      for (const end of ends) expect(String((end as PromiseRejectedResult).reason)).toContain('TypeError');
      expect(answered).toBeGreaterThanOrEqual(200);
      const log = await openAuditLog({ folder: join(folder, 'audit') });
      await log.close();
      const verified = await verifyAuditLog(log.folder);
      expect(verified.faults).toEqual([]);
      const names = (await readdir(log.folder)).filter((name) => name.endsWith('.jsonl'));
      const text = (await Promise.all(names.map((name) => readFile(join(log.folder, name), 'utf8')))).join('');
      expect(text.match(/"outcome":"answered"/g)?.length).toBeGreaterThanOrEqual(answered);
    } finally {
      child.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('every call of many at once has its record and its outcome', async () => {
    await using running = await runWatched();
    const session = await running.session('fake');
    const texts = Array.from({ length: 200 }, (_, at) => `text ${at}`);
    const answers = await Promise.all(texts.map((text) => running.call('fake', session, 'echo', { message: text })));
    for (const [at, answer] of answers.entries()) expect(textOf(answer)).toContain(texts[at]);
    const records = await running.records();
    const calls = records.filter(({ kind }) => kind === 'call').map(({ n }) => n);
    const done = records.filter(({ kind }) => kind === 'done').map(({ of }) => of);
    expect(calls).toHaveLength(200);
    expect([...done].sort()).toEqual([...calls].sort());
  });
});

describe('what the gateway tells of itself', () => {
  const get = (url: string, headers: Record<string, string> = {}) => fetch(url, { headers });

  test('is for tokens without limits, or for this machine where there are none', async () => {
    const tokens = new Map([tokenFor('root'), tokenFor('ann', { servers: new Set(['fake']) })]);
    await using locked = await runWatched({}, tokens);
    for (const path of ['/_metrics', '/_status.json']) {
      expect((await get(locked.url + path)).status, path).toBe(401);
      expect((await get(locked.url + path, bearer('ann'))).status, path).toBe(403);
      expect((await get(locked.url + path, bearer('root'))).status, path).toBe(200);
    }
    await using open = await runWatched();
    expect((await get(`${open.url}/_metrics`)).status).toBe(200);
    expect((await get(`${open.url}/_metrics`, { 'x-forwarded-for': '192.0.2.1' })).status).toBe(401);
  });

  test('a tool that says that it failed has failed: in the log, the figures and on the page', async () => {
    await using running = await runWatched();
    const session = await running.session('fake');
    await running.call('fake', session, 'fail', { said: true });
    await running.call('fake', session, 'echo', { message: '{"isError":true}' });
    const done = (await running.records()).filter(({ kind }) => kind === 'done');
    expect(done.map(({ outcome }) => outcome)).toEqual(['tool_error', 'answered']);
    const text = await (await get(`${running.url}/_metrics`)).text();
    expect(text).toMatch(/^mcp_build_gateway_calls_total\{[^\n]*gen_ai_tool_name="fail",error_type="tool_error"\} 1$/m);
    const status = await (await get(`${running.url}/_status.json`)).json();
    expect(status.servers).toMatchObject([{ calls: 2, failed: 1 }]);
  });

  test('metrics count calls by tool and outcome, and names of tools stay names', async () => {
    await using running = await runWatched();
    const session = await running.session('fake');
    await running.call('fake', session, 'echo', { text: 'x' });
    await running.call('fake', session, 'evil"} 1\nfaked_total 666\n# ', {});
    const text = await (await get(`${running.url}/_metrics`)).text();
    expect(text).toMatch(
      /^mcp_build_gateway_calls_total\{mcp_server="fake",mcp_method_name="tools\/call",gen_ai_tool_name="echo"\} 1$/m,
    );
    expect(text).toMatch(/^mcp_server_operation_duration_seconds_count\{[^\n]*gen_ai_tool_name="echo"\} 1$/m);
    expect(text).toMatch(/^mcp_build_gateway_server_up\{mcp_server="fake"\} 1$/m);
    expect(text).not.toMatch(/^faked_total/m);
  });

  test('names that clients make up don’t fill the memory', async () => {
    await using running = await runWatched();
    const session = await running.session('fake');
    for (let at = 0; at < 230; at++) await running.call('fake', session, `made-up-${at}`, {});
    const text = await (await get(`${running.url}/_metrics`)).text();
    expect(new Set(text.match(/gen_ai_tool_name="[^"]*"/g)).size).toBeLessThanOrEqual(201);
  });

  test('an operator stops a server and starts it again', async () => {
    await using running = await runWatched();
    const order = (action: string) =>
      fetch(`${running.url}/_control`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin: running.url },
        body: JSON.stringify({ server: 'fake', action }),
      });
    const session = await running.session('fake');
    expect((await order('stop')).status).toBe(200);
    expect((await running.call('fake', session, 'echo', { text: 'x' })).error).toMatchObject({ code: -32000 });
    const stopped = (await (await get(`${running.url}/_status.json`)).json()) as { servers: { state: string }[] };
    expect(stopped.servers[0]?.state).toBe('held');
    expect((await order('start')).status).toBe(200);
    await until(async () => (await running.call('fake', session, 'echo', { text: 'x' })).error === undefined);
    expect((await order('explode')).status).toBe(400);
    expect((await running.records()).filter(({ kind }) => kind === 'control').map(({ action }) => action)).toEqual([
      'stop',
      'start',
    ]);
  });

  test('a form of another page stops nothing', async () => {
    await using running = await runWatched();
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const request = http.request(`${running.url}/_control`, {
        method: 'POST',
        headers: { 'content-type': 'text/plain', origin: 'https://evil.example.test' },
      });
      request.on('response', (response) => resolve(response.resume().statusCode));
      request.on('error', reject);
      request.end('{"server":"fake","action":"stop"}');
    });
    expect(status).toBe(403);
    expect(running.gateway.servers()[0]?.state).not.toBe('held');
  });
});
