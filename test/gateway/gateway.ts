import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  type Gateway,
  type GatewayOptions,
  LONGEST_MESSAGE,
  lines,
  lineWriter,
  type OpenChannel,
  openGateway,
  type Prepared,
  parseConfig,
} from '../../gateway/index.ts';

const SERVER = fileURLToPath(new URL('../fakes/stdio-server.ts', import.meta.url));

/** A plain child process in place of a container. */
export function processChannel(command: readonly string[], pids: number[] = []): OpenChannel {
  return async (receive) => {
    const [program = '', ...args] = command;
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    pids.push(child.pid ?? 0);
    const out = lines(LONGEST_MESSAGE, receive, () => child.kill('SIGKILL'));
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.resume();
    const ended = new Promise<string>((resolve) => {
      child.once('close', (code, signal) => resolve(`it ended with ${code ?? signal}`));
      child.once('error', (error) => resolve(error.message));
    });
    return {
      send: lineWriter(child.stdin),
      ended,
      async close() {
        child.kill('SIGKILL');
        await ended;
      },
    };
  };
}

export function fakeServer(options: object = {}, pids: number[] = []): OpenChannel {
  return processChannel([process.execPath, '--no-warnings', SERVER, JSON.stringify(options)], pids);
}

export interface Running {
  readonly gateway: Gateway;
  readonly url: string;
  readonly said: string[];
  readonly pids: number[];
  /** A tool's call by plain HTTP, in a session of its own if none is given. */
  session(server: string, headers?: Record<string, string>, capabilities?: object): Promise<string>;
  post(server: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  call(server: string, session: string, name: string, args?: object, meta?: object): Promise<Answer>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Answer {
  readonly id: unknown;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  readonly result?: any;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}

export interface Setup {
  /** As in the configuration; each is `npx fake`. */
  readonly servers?: Record<string, object>;
  readonly proxy?: object;
  /** What the fake behind each server does. */
  readonly fake?: Record<string, object>;
  readonly prepare?: (name: string) => Prepared | undefined;
  readonly options?: Partial<GatewayOptions>;
}

export function configText({ servers = { fake: {} }, proxy = {} }: Setup): string {
  const mcpServers = Object.fromEntries(
    Object.entries(servers).map(([name, entry]) => [name, { command: 'npx', args: ['-y', 'fake'], ...entry }]),
  );
  return JSON.stringify({ mcpProxy: { addr: '127.0.0.1:0', ...proxy }, mcpServers });
}

/** A whole gateway on loopback, in front of fakes. */
export async function runGateway(setup: Setup = {}): Promise<Running> {
  const said: string[] = [];
  const pids: number[] = [];
  const gateway = await openGateway({
    config: parseConfig(configText(setup), 'config.json', {}),
    prepare: async ({ name }) => setup.prepare?.(name) ?? { open: fakeServer(setup.fake?.[name], pids) },
    tokens: () => new Map(),
    anonymous: false,
    say: (line) => said.push(line),
    ...setup.options,
  });
  await gateway.settled.catch(() => undefined);
  const post = (server: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(`${gateway.url}/${server}/mcp`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  return {
    gateway,
    url: gateway.url,
    said,
    pids,
    post,
    async session(server, headers = {}, capabilities = {}) {
      const params = { protocolVersion: '2025-11-25', capabilities, clientInfo: { name: 'test', version: '1' } };
      const response = await post(server, { jsonrpc: '2.0', id: 0, method: 'initialize', params }, headers);
      const body = await response.text();
      const id = response.headers.get('mcp-session-id');
      if (!id) throw new Error(`no session: ${response.status} ${body}`);
      return id;
    },
    async call(server, session, name, args = {}, meta) {
      const params = { name, arguments: args, ...(meta ? { _meta: meta } : {}) };
      const body = { jsonrpc: '2.0', id: ++next, method: 'tools/call', params };
      const response = await post(server, body, { 'mcp-session-id': session });
      return lastMessage(await response.text());
    },
    [Symbol.asyncDispose]: () => gateway.close(),
  };
}

let next = 0;

/** The answer in a body of JSON or of events. */
export function lastMessage(body: string): Answer {
  const data = [...body.matchAll(/^data: (.+)$/gm)].map((match) => match[1] as string);
  return JSON.parse(data.at(-1) ?? body) as Answer;
}

export function textOf({ result, error }: Answer): string {
  if (error) throw new Error(`${error.code} ${error.message}`);
  return result.content[0].text as string;
}

export async function until(condition: () => boolean | Promise<boolean>, timeout = 10_000): Promise<void> {
  const end = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
