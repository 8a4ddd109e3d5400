import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Client as CurrentClient, StreamableHTTPClientTransport as CurrentHttp } from '@modelcontextprotocol/client';
import { Client as EarlierClient } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport as EarlierHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { docker, parseEndpoint, type Runtime } from '../../runner/index.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { childEnvironment, cli, cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';

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

async function serve(): Promise<Serving> {
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', config], {
    cwd: place.cwd,
    env: childEnvironment({ ...place.env, DOCKER_HOST: daemon.host }),
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

describeWith(['docker', 'root'], 'mcp-build serve', () => {
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

  test('TBXark’s sample is used by the official clients of both generations, and of HTTP+SSE', async () => {
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
      expect((await fetch(mcp, { method: 'POST' })).status).toBe(401);
      expect(await servers()).toHaveLength(2);
    } finally {
      await serving.end('SIGTERM');
    }
    expect(await servers()).toEqual([]);
  });

  test('a container that is killed is back within five seconds; its neighbour goes on', async () => {
    const serving = await serve();
    try {
      const [filesystem, time] = await servers();
      await runtime.kill(filesystem as string, 'SIGKILL');
      await until(async () => !(await servers()).includes(filesystem as string), 10_000);
      const took = await until(async () => {
        const response = await fetch(`http://127.0.0.1:${port}/_readyz`);
        return response.status === 200 && (await servers()).length === 2;
      }, 20_000);
      expect(took).toBeLessThan(5000);
      expect(await servers()).toContain(time);
    } finally {
      await serving.end('SIGTERM');
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

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
