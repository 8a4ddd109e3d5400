import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client as CurrentClient } from '@modelcontextprotocol/client';
import { StdioClientTransport as CurrentTransport } from '@modelcontextprotocol/client/stdio';
import { Client as EarlierClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as EarlierTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { childEnvironment } from './cli.ts';

/** A line of an MCP client's configuration: what starts the server. */
export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface Session {
  /** Every tool, over all pages, as the server describes it. */
  tools(): Promise<readonly Tool[]>;
  call(name: string, args: Readonly<Record<string, unknown>>): Promise<unknown>;
}

export interface Tool {
  readonly name: string;
  readonly description?: string | undefined;
  readonly inputSchema: unknown;
}

export const CLIENTS = ['sdk 1.x', 'sdk 2.x', 'inspector'] as const;
export type ClientKind = (typeof CLIENTS)[number];

/** Connects as an MCP application would, and ends the session however `use` ends. */
export function withClient<T>(
  kind: ClientKind,
  server: ServerCommand,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  switch (kind) {
    case 'sdk 1.x':
      return withEarlier(server, use);
    case 'sdk 2.x':
      return withCurrent(server, use);
    case 'inspector':
      return withInspector(server, use);
  }
}

const info = { name: 'mcp-build-test', version: '1.0.0' };
const timeout = 120_000;

/** The 1.x SDK, which today's applications are built on: protocol 2025-11-25. */
async function withEarlier<T>(server: ServerCommand, use: (session: Session) => Promise<T>): Promise<T> {
  const transport = new EarlierTransport({ ...parameters(server), stderr: 'pipe' });
  const said = collect(transport.stderr);
  const client = new EarlierClient(info);
  try {
    await client.connect(transport, { timeout });
    return await use({
      tools: async () => {
        const tools: Tool[] = [];
        let cursor: string | undefined;
        do {
          const page = await client.listTools(cursor === undefined ? {} : { cursor }, { timeout });
          tools.push(...page.tools);
          cursor = page.nextCursor;
        } while (cursor !== undefined);
        return tools;
      },
      call: (name, args) => client.callTool({ name, arguments: { ...args } }, undefined, { timeout }),
    });
  } catch (cause) {
    throw new Error(`${server.command} ${server.args.join(' ')}: ${String(cause)}\n${said()}`, { cause });
  } finally {
    await client.close();
  }
}

/** The 2.x SDK, which asks for 2026-07-28 first and falls back to 2025-11-25. */
async function withCurrent<T>(server: ServerCommand, use: (session: Session) => Promise<T>): Promise<T> {
  const transport = new CurrentTransport({ ...parameters(server), stderr: 'pipe' });
  const said = collect(transport.stderr);
  const client = new CurrentClient(info, { versionNegotiation: { mode: 'auto' } });
  try {
    await client.connect(transport, { timeout });
    return await use({
      tools: async () => {
        const tools: Tool[] = [];
        let cursor: string | undefined;
        do {
          const page = await client.listTools(cursor === undefined ? undefined : { cursor }, { timeout });
          tools.push(...page.tools);
          cursor = page.nextCursor;
        } while (cursor !== undefined);
        return tools;
      },
      call: (name, args) => client.callTool({ name, arguments: { ...args } }, { timeout }),
    });
  } catch (cause) {
    throw new Error(`${server.command} ${server.args.join(' ')}: ${String(cause)}\n${said()}`, { cause });
  } finally {
    await client.close();
  }
}

/** The official Inspector's command line, which starts the server anew for each request. */
async function withInspector<T>(server: ServerCommand, use: (session: Session) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-build-inspector-'));
  const config = join(folder, 'mcp.json');
  const { command, args, cwd } = server;
  const env = childEnvironment(server.env);
  await writeFile(config, JSON.stringify({ mcpServers: { it: { type: 'stdio', command, args, env, cwd } } }));
  const ask = async (...request: readonly string[]) => {
    const { stdout } = await promisify(execFile)(
      'mcp-inspector',
      [
        '--cli',
        '--config',
        config,
        '--server',
        'it',
        '--quiet',
        '--protocol-era',
        'legacy',
        '--connect-timeout',
        '110000',
        ...request,
      ],
      {
        cwd,
        env: { ...env, MCP_INSPECTOR_SECRET_STORE: 'memory', MCP_CLIENT_CONFIG_PATH: join(folder, 'client.json') },
        maxBuffer: 64 << 20,
        timeout,
      },
    );
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  try {
    return await use({
      tools: async () => (await ask('--method', 'tools/list')).tools as readonly Tool[],
      call: (name, given) =>
        ask('--method', 'tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(given)),
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function parameters(server: ServerCommand) {
  return { command: server.command, args: [...server.args], cwd: server.cwd, env: childEnvironment(server.env) };
}

/** The last of what a server said on stderr, for the error of a test that fails. */
function collect(stream: unknown): () => string {
  let text = '';
  (stream as NodeJS.ReadableStream | null)?.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-4000);
  });
  return () => text;
}
