import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client as CurrentClient, StreamableHTTPClientTransport as CurrentHttp } from '@modelcontextprotocol/client';
import { Client as EarlierClient } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport as EarlierHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { docker, parseEndpoint, type Runtime } from '../../runner/index.ts';
import { fakeOAuth } from '../fakes/oauth.ts';
import { conformanceGateway } from '../gateway/conformance.ts';
import { type Dockerd, startDockerd, testDocker } from './dockerd.ts';
import { gatewayLoad } from './gateway-load.ts';
import { childEnvironment, cli, cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { commandPath, describeWith } from './harness/needs.ts';

let daemon: Dockerd;
let runtime: Runtime;
let place: Workplace;
let config: string;
let port: number;
let token: string;

/** TBXark's sample, with the folder that its filesystem server is given. */
function sample(files: string): object {
  return {
    mcpProxy: {
      baseURL: 'https://mcp.example.test',
      addr: `127.0.0.1:${port}`,
      name: 'MCP Proxy',
      version: '1.0.0',
      type: 'streamable-http',
      options: { panicIfInvalid: false, logEnabled: true },
    },
    mcpServers: {
      filesystem: {
        command: 'npx',
        args: ['-y', '@modelcontextprotocol/server-filesystem', files],
        permissions: { volumes: [{ path: files }] },
        options: { toolFilter: { mode: 'block', list: ['write_file'] } },
      },
      time: { command: 'uvx', args: ['mcp-server-time', '--local-timezone=UTC'], options: { panicIfInvalid: true } },
    },
  };
}

interface Serving {
  readonly child: ChildProcess;
  said(): string;
  end(signal: NodeJS.Signals): Promise<void>;
}

async function serve(host = daemon.host): Promise<Serving> {
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', config], {
    cwd: place.cwd,
    env: childEnvironment({ ...place.env, DOCKER_HOST: host }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await until(async () => {
    if (child.exitCode !== null) throw new Error(said);
    const ready = await fetch(`http://127.0.0.1:${port}/_readyz`).catch(() => undefined);
    return ready?.status === 200;
  }, 240_000);
  return {
    child,
    said: () => said,
    async end(signal) {
      child.kill(signal);
      await ended;
    },
  };
}

const servers = async () => (await runtime.list({ 'io.mcp-build.role': 'server' })).map(({ name }) => name).sort();

async function until(condition: () => boolean | Promise<boolean>, timeout: number): Promise<number> {
  const begun = performance.now();
  while (!(await condition())) {
    if (performance.now() - begun > timeout) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return performance.now() - begun;
}

describeWith(['docker', 'root', 'python-mcp-1', 'python-mcp-2', 'mcp-inspector'], 'mcp-build serve', () => {
  beforeAll(async () => {
    daemon = await testDocker();
    runtime = docker(parseEndpoint(daemon.host));
    place = await workplace();
    port = await freePort();
    config = join(place.cwd, 'config.json');
    const files = join(place.cwd, 'files');
    await mkdir(files);
    await writeFile(join(files, 'a.txt'), 'what the file holds');
    await writeFile(config, JSON.stringify(sample(files)), { mode: 0o600 });
    token = (await cliDone(['token', 'create', 'test', '--json'], place)).json<{ token: string }>().token;
  });
  afterAll(async () => {
    await place?.[Symbol.asyncDispose]();
    await daemon?.stop();
  });

  test('with --locked, what was never locked is refused, and the gateway with what requires it', async () => {
    const env = { ...place.env, DOCKER_HOST: daemon.host };
    const { code, stderr } = await cli(['serve', '--config', config, '--locked'], { ...place, env, timeout: 60_000 });
    expect(code).toBe(4);
    expect(stderr).toContain('not-locked');
  });

  test('TBXark’s sample is used by the official clients in TypeScript and Python, of both generations, of HTTP+SSE, and by the Inspector', async () => {
    const serving = await serve();
    try {
      const requestInit = { headers: { authorization: `Bearer ${token}` } };
      const path = join(place.cwd, 'files', 'a.txt');
      const use = async (client: CurrentClient | EarlierClient) => {
        const { tools } = await client.listTools();
        const names = tools.map(({ name }) => name);
        expect(names).toContain('read_text_file');
        expect(names).not.toContain('write_file');
        const read = await client.callTool({ name: 'read_text_file', arguments: { path } });
        expect(JSON.stringify(read)).toContain('what the file holds');
        await expect(client.callTool({ name: 'write_file', arguments: { path, content: '' } })).rejects.toThrow(
          /-32602|Unknown tool/,
        );
      };
      const mcp = new URL(`http://127.0.0.1:${port}/filesystem/mcp`);
      for (const mode of ['auto', 'legacy', { pin: '2026-07-28' }] as const) {
        const client = new CurrentClient({ name: 't', version: '1' }, { versionNegotiation: { mode } });
        await client.connect(new CurrentHttp(mcp, { requestInit }));
        await use(client);
        await client.close();
      }
      const earlier = new EarlierClient({ name: 't', version: '1' });
      await earlier.connect(new EarlierHttp(mcp, { requestInit }) as never);
      await use(earlier);
      await earlier.close();
      const sse = new EarlierClient({ name: 't', version: '1' });
      await sse.connect(new SSEClientTransport(new URL(`http://127.0.0.1:${port}/filesystem/sse`), { requestInit }));
      await use(sse);
      await sse.close();
      await python(path);
      await inspector(path);
      expect((await fetch(mcp, { method: 'POST' })).status).toBe(401);
      expect(await servers()).toHaveLength(2);
    } finally {
      await serving.end('SIGTERM');
    }
    expect(await servers()).toEqual([]);
  });

  test('kill -9 of a container, of the gateway and of the daemon, under load: no wrong answer, and all heals', async () => {
    const own = await startDockerd();
    const there = docker(parseEndpoint(own.host));
    const names = async () => (await there.list({ 'io.mcp-build.role': 'server' })).map(({ name }) => name);
    const files = join(place.cwd, 'files');
    for (let at = 0; at < 16; at += 1) await writeFile(join(files, `${at}.txt`), `the content of ${at}`);
    let serving = await serve(own.host);
    const load = gatewayLoad({
      url: `http://127.0.0.1:${port}/filesystem`,
      token,
      clients: 16,
      call: (client) => ({
        name: 'read_text_file',
        arguments: { path: join(files, `${client}.txt`) },
        answer: `the content of ${client}`,
      }),
    });
    const healed: Record<string, number> = {};
    try {
      await load.healthy();
      const before = await names();
      const victim = before.find((name) => name.includes('filesystem')) ?? '';
      const neighbour = before.filter((name) => name !== victim);
      await there.kill(victim, 'SIGKILL');
      healed.container = await load.healthy();
      expect(await names()).toEqual(expect.arrayContaining(neighbour));
      expect(load.failed()).toBeGreaterThan(0);

      await serving.end('SIGKILL');
      serving = await serve(own.host);
      healed.gateway = await load.healthy();

      await own.restart('SIGKILL');
      healed.daemon = await load.healthy();
      expect(await names()).toHaveLength(2);
      console.log(`healed after ms: ${JSON.stringify(healed)}; ${load.answered()} answers, ${load.failed()} failures`);
      expect(load.wrong()).toEqual([]);
      await load.stop();
      await serving.end('SIGTERM');
      expect(await names()).toEqual([]);
    } finally {
      await load.stop();
      await serving.end('SIGTERM');
      await own.stop();
    }
  });

  test('a gateway that is killed leaves no container; the next one starts from what was locked', async () => {
    const first = await serve();
    expect(await servers()).toHaveLength(2);
    await first.end('SIGKILL');
    await until(async () => (await servers()).length === 0, 30_000);
    const second = await serve();
    try {
      expect(await servers()).toHaveLength(2);
      expect(second.said()).not.toContain('first use');
    } finally {
      await second.end('SIGTERM');
    }
  });

  test('a changed file is taken over, and a broken one is not', async () => {
    const serving = await serve();
    try {
      const before = await servers();
      const given = sample(join(place.cwd, 'files')) as { mcpServers: Record<string, unknown> };
      await writeFile(config, '{"mcpProxy":', { mode: 0o600 });
      await until(() => serving.said().includes('kept the configuration as it was'), 10_000);
      expect(await servers()).toEqual(before);
      const { filesystem } = given.mcpServers;
      await writeFile(config, JSON.stringify({ ...given, mcpServers: { filesystem } }), { mode: 0o600 });
      await until(async () => (await servers()).length === 1, 20_000);
      expect(before).toContain((await servers())[0]);
    } finally {
      await serving.end('SIGTERM');
      await writeFile(config, JSON.stringify(sample(join(place.cwd, 'files'))), { mode: 0o600 });
    }
  });
});

describe('a server elsewhere that wants a login', () => {
  test('is logged in at with `serve --login`, and served from then on', async () => {
    await using far = await conformanceGateway();
    await using it = await fakeOAuth({ behind: `${far.url}/it/mcp` });
    await using at = await workplace();
    const [free, file] = [await freePort(), join(at.cwd, 'config.json')];
    const mcpServers = { far: { url: it.url, transportType: 'streamable-http', oauth: {} } };
    await writeFile(file, JSON.stringify({ mcpProxy: { addr: `127.0.0.1:${free}` }, mcpServers }), { mode: 0o600 });
    const start = (...more: string[]) =>
      spawn(process.execPath, [MAIN, 'serve', '--config', file, ...more], {
        cwd: at.cwd,
        env: childEnvironment(at.env),
        stdio: ['pipe', 'pipe', 'pipe'],
      });
    const said: string[] = [];
    const login = start('--login', 'far');
    for (const stream of [login.stdout, login.stderr]) stream.on('data', (chunk: Buffer) => said.push(`${chunk}`));
    const ended = new Promise((resolve) => login.once('close', resolve));
    const address = () => /^(http:\S+\/authorize\?\S+)$/m.exec(said.join(''))?.[1];
    await until(() => address() !== undefined || login.exitCode !== null, 60_000);
    await fetch(await it.browse(new URL(address() ?? '')));
    expect(await ended).toBe(0);
    expect(said.join('')).toContain(`logged in at far, by ${it.issuer}`);

    const serving = start();
    for (const stream of [serving.stdout, serving.stderr]) stream.on('data', (chunk: Buffer) => said.push(`${chunk}`));
    try {
      const client = new CurrentClient({ name: 't', version: '1' }, { versionNegotiation: { mode: 'auto' } });
      await until(async () => {
        const ready = await fetch(`http://127.0.0.1:${free}/_readyz`).catch(() => undefined);
        return ready?.status === 200;
      }, 60_000);
      await client.connect(new CurrentHttp(new URL(`http://127.0.0.1:${free}/far/mcp`)));
      expect((await client.listTools()).tools.length).toBeGreaterThan(0);
      await client.close();
    } finally {
      const over = new Promise((resolve) => serving.once('close', resolve));
      serving.kill('SIGTERM');
      await over;
    }
    expect(it.secrets.filter((secret) => said.join('').includes(secret))).toEqual([]);
  });
});

/** Applications with Python's SDK. */
async function python(path: string): Promise<void> {
  const calls = JSON.stringify([
    ['read_text_file', { path }],
    ['write_file', { path, content: '' }],
  ]);
  for (const [program, way, revision] of [
    ['python-mcp-1', 'http', '2025-11-25'],
    ['python-mcp-1', 'sse', '2025-11-25'],
    ['python-mcp-2', 'auto', '2026-07-28'],
    ['python-mcp-2', 'legacy', '2025-11-25'],
    ['python-mcp-2', 'sse', '2025-11-25'],
  ] as const) {
    const url = `http://127.0.0.1:${port}/filesystem/${way === 'sse' ? 'sse' : 'mcp'}`;
    const script = join(import.meta.dirname, 'harness/python-client.py');
    const { stdout } = await promisify(execFile)(commandPath(program) as string, [script, url, token, way, calls], {
      timeout: 120_000,
    });
    const said = JSON.parse(stdout) as { tools: string[]; answers: string[]; revision: string };
    expect(said.revision).toBe(revision);
    expect(said.tools).toContain('read_text_file');
    expect(said.tools).not.toContain('write_file');
    expect(said.answers[0]).toContain('what the file holds');
    expect(said.answers[1]).toMatch(/Unknown tool/);
  }
}

async function inspector(path: string): Promise<void> {
  for (const [transport, era] of [
    ['http', 'legacy'],
    ['http', 'modern'],
    ['sse', 'legacy'],
  ] as const) {
    const url = `http://127.0.0.1:${port}/filesystem/${transport === 'sse' ? 'sse' : 'mcp'}`;
    const server = ['--server-url', url, '--transport', transport, '--header', `Authorization: Bearer ${token}`];
    const call = [
      '--method',
      'tools/call',
      '--tool-name',
      'read_text_file',
      '--tool-args-json',
      JSON.stringify({ path }),
    ];
    const { stdout } = await promisify(execFile)(
      commandPath('mcp-inspector') as string,
      ['--cli', '--quiet', ...server, '--protocol-era', era, ...call],
      {
        timeout: 120_000,
        env: childEnvironment({
          MCP_INSPECTOR_SECRET_STORE: 'memory',
          MCP_CLIENT_CONFIG_PATH: join(place.cwd, 'client.json'),
        }),
      },
    );
    expect(stdout).toContain('what the file holds');
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
