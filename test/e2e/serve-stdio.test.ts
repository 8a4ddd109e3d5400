import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client as ModernClient } from '@modelcontextprotocol/client';
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { expect, test } from 'vitest';
import { verifyAuditLog } from '../../gateway/index.ts';
import { fakeServer, runGateway, until } from '../gateway/gateway.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const said = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;

/** Two servers elsewhere, one of each generation, behind the command as a client would start it. */
async function setup(extra: readonly string[] = []) {
  const elsewhere = await runGateway({
    servers: { old: {}, new: {} },
    prepare: (name) => ({ open: fakeServer({ generation: name === 'new' ? '2026' : '2025' }) }),
  });
  const folder = await mkdtemp(join(tmpdir(), 'serve-stdio-'));
  const config = join(folder, 'config.json');
  const mcpServers = { old: { url: `${elsewhere.url}/old/mcp` }, new: { url: `${elsewhere.url}/new/mcp` } };
  // What is about callers from elsewhere must not matter here.
  const mcpProxy = { addr: ':9090', options: { authTokens: ['from elsewhere'] } };
  await writeFile(config, JSON.stringify({ mcpProxy, mcpServers }), { mode: 0o600 });
  const args = ['--no-warnings', MAIN, 'serve', '--config', config, '--stdio', ...extra];
  const env = { PATH: process.env.PATH ?? '', HOME: folder, MCP_BUILD_HOME: join(folder, 'home') };
  return {
    folder,
    command: { command: process.execPath, args, env, stderr: 'pipe' as const },
    async [Symbol.asyncDispose]() {
      await elsewhere[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

test('a client of 2025 starts it and has every server, with progress, changes and giving up', async () => {
  await using it = await setup();
  const client = new Client({ name: 'test', version: '1' });
  let changes = 0;
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
    changes += 1;
  });
  await client.connect(new StdioClientTransport(it.command) as never, { timeout: 60_000 });
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name)).toEqual(expect.arrayContaining(['old__echo', 'new__echo']));
  for (const server of ['old', 'new']) {
    const message = `grüß dich, ${server}`;
    expect(said(await client.callTool({ name: `${server}__echo`, arguments: { message } }))).toBe(message);
  }
  const seen: number[] = [];
  const onprogress = ({ progress }: { progress: number }) => void seen.push(progress);
  // Well before its answer: this client forgets a call's progress that it reads together with its end.
  await client.callTool({ name: 'old__slow', arguments: { ms: 2_000 } }, undefined, { onprogress });
  expect(seen).toEqual([0]);
  await client.callTool({ name: 'old__change' });
  await until(() => changes > 0, 30_000);
  const large = 'y'.repeat(300_000);
  expect(said(await client.callTool({ name: 'new__flood', arguments: { bytes: large.length } }))).toBe(large);
  const leaving = new AbortController();
  const call = client.callTool({ name: 'old__slow', arguments: { ms: 600_000 } }, undefined, {
    signal: leaving.signal,
    onprogress: () => leaving.abort(),
  });
  await expect(call).rejects.toThrow();
  await until(async () => said(await client.callTool({ name: 'old__cancelled' })) !== '[]', 30_000);
  await client.close();
});

test('so does one of 2026', async () => {
  await using it = await setup();
  const client = new ModernClient(
    { name: 'test', version: '1' },
    { versionNegotiation: { mode: { pin: '2026-07-28' } } },
  );
  await client.connect(new ModernStdio(it.command), { timeout: 60_000 });
  for (const server of ['old', 'new']) {
    expect(said(await client.callTool({ name: `${server}__echo`, arguments: { message: 'hi' } }))).toBe('hi');
  }
  await client.close();
});

test('two at once each keep a log of their own, and leave nothing when their client goes', async () => {
  await using it = await setup(['--log-format', 'json']);
  const lines: string[] = [];
  const start = () => {
    const child = spawn(it.command.command, it.command.args, { env: it.command.env });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += String(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => lines.push(...String(chunk).split('\n').filter(Boolean)));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    return {
      say: (line: string) => child.stdin.write(`${line}\n`),
      out: () => out,
      leave: () => child.stdin.end(),
      ended,
    };
  };
  const both = [start(), start()];
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } };
  for (const each of both) each.say(JSON.stringify({ jsonrpc: '2.0', id: 'hello', method: 'initialize', params }));
  await until(() => both.every(({ out }) => out().includes('"id":"hello"')), 60_000);
  for (const each of both) {
    each.say('this is no JSON');
    each.say(
      '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"old__echo","arguments":{"message":"mark"}}}',
    );
  }
  await until(() => both.every(({ out }) => out().includes('mark')), 60_000);
  for (const { out } of both) {
    // Nothing but messages of the protocol, each on a line.
    for (const line of out().trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' });
    expect(out()).toContain('-32700');
  }
  for (const each of both) each.leave();
  expect(await Promise.all(both.map(({ ended }) => ended))).toEqual([0, 0]);
  const audits = join(it.folder, 'home', 'audit-stdio');
  const folders = await readdir(audits);
  expect(folders).toHaveLength(2);
  for (const name of folders) {
    expect(existsSync(join(audits, name, 'writer.lock'))).toBe(false);
    expect(await verifyAuditLog(join(audits, name))).toMatchObject({ faults: [] });
  }
  const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(logged.filter(({ msg }) => msg === 'call').length).toBeGreaterThanOrEqual(2);
  expect(logged.find(({ msg, method }) => msg === 'call' && method === 'tools/call')).toMatchObject({
    level: 'info',
    server: 'old',
    client: 'stdio',
    target: 'echo',
    outcome: 'answered',
  });
  expect(lines.join('')).not.toContain('mark');
});
