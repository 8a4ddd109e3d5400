import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runBridge } from '../gateway/bridge.ts';
import { median, report } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const CALLS = Number(process.env.BENCH_CALLS ?? 3000);
const HERE = join(import.meta.dirname, 'gateway');
const NODE = [process.execPath, '--no-warnings'] as const;
const ECHO = [...NODE, join(HERE, 'echo.ts')] as const;
const MESSAGE = 'x'.repeat(100);

/** One call after another, by one client. */
interface Way {
  /** Whose processor time counts; none for the server itself. */
  readonly pid?: number;
  call(id: number): Promise<string>;
  close(): Promise<void>;
}

const body = (id: number) =>
  JSON.stringify({
    jsonrpc: '2.0',
    id,
    method: 'tools/call',
    params: { name: 'echo', arguments: { message: MESSAGE } },
  });

/** The server itself, over its stdin and stdout. */
async function direct(): Promise<Way> {
  const [program, ...args] = ECHO;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let answered: (line: string) => void = () => undefined;
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (line: string) => answered(line));
  return {
    call(id) {
      return new Promise((resolve) => {
        answered = resolve;
        child.stdin.write(`${body(id)}\n`);
      });
    },
    async close() {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.stdin.end();
      await ended;
    },
  };
}

function over(
  url: string,
  close: () => Promise<void>,
  headers: Record<string, string> = {},
): Way & { session(): Promise<void> } {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const own = { ...headers };
  const send = (text: string) =>
    new Promise<{ text: string; session: unknown }>((resolve, reject) => {
      const request = http.request(
        url,
        {
          ...{ agent, method: 'POST' },
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            'content-length': Buffer.byteLength(text),
            ...own,
          },
        },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('end', () =>
            resolve({ text: Buffer.concat(parts).toString(), session: response.headers['mcp-session-id'] }),
          );
        },
      );
      request.once('error', reject);
      request.end(text);
    });
  return {
    call: async (id) => (await send(body(id))).text,
    async session() {
      const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'bench', version: '1' } };
      const { session } = await send(JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params }));
      own['mcp-session-id'] = String(session);
    },
    async close() {
      agent.destroy();
      await close();
    },
  };
}

/** The least that can pass HTTP on to a server on stdio. */
async function bare(): Promise<Way> {
  const child = spawn(NODE[0], [NODE[1], join(HERE, 'bare.ts'), '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise<number>((resolve) => {
    child.stdout.once('data', (chunk: Buffer) => resolve((JSON.parse(chunk.toString()) as { port: number }).port));
  });
  const way = over(`http://127.0.0.1:${port}/`, async () => {
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
  });
  return { ...way, pid: child.pid ?? 0 };
}

async function bridged(): Promise<Way> {
  const bridge = await runBridge('committed', ECHO, { MCP_BRIDGE_SESSIONS: 'shared' });
  const way = over(`${bridge.url}/mcp`, () => bridge[Symbol.asyncDispose]());
  await way.session();
  return { ...way, pid: bridge.pid };
}

const WAYS = { 'stdio itself': direct, 'bare HTTP': bare, 'the bridge': bridged } as const;

interface Round {
  /** Milliseconds: the median of its calls, after as many that aren't counted as warm a program up. */
  readonly latency: number;
  /** Milliseconds of processor time a call, of the bridge alone: this means something on a busy machine, too. */
  readonly cpu: number;
}

/** Hundredths of a second. */
function ticks(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const [, after = ''] = /\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
  const fields = after.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

async function round(open: () => Promise<Way>): Promise<Round> {
  const way = await open();
  try {
    const times: number[] = [];
    let before = 0;
    for (let id = 1; id <= CALLS + 500; id += 1) {
      if (id === 501) before = ticks(way.pid);
      const started = performance.now();
      const answer = await way.call(id);
      if (id > 500) times.push(performance.now() - started);
      if (!answer.includes(MESSAGE)) throw new Error(`a wrong answer: ${answer.slice(0, 200)}`);
    }
    return { latency: median(times), cpu: ((ticks(way.pid) - before) * 10) / CALLS };
  } finally {
    await way.close();
  }
}

/** Calls a second, from sixteen clients at once, each with one call after another. */
async function throughput(): Promise<number> {
  const bridge = await runBridge('committed', ECHO, { MCP_BRIDGE_SESSIONS: 'shared' });
  const ways = Array.from({ length: 16 }, () => over(`${bridge.url}/mcp`, async () => undefined));
  try {
    await Promise.all(ways.map((way) => way.session()));
    const lane = async (way: Way) => {
      for (let id = 1; id <= CALLS / 4; id += 1) await way.call(id);
    };
    await Promise.all(ways.map(lane));
    const started = performance.now();
    await Promise.all(ways.map(lane));
    return (4 * CALLS) / ((performance.now() - started) / 1000);
  } finally {
    await Promise.all(ways.map((way) => way.close()));
    await bridge[Symbol.asyncDispose]();
  }
}

test('what a bridge costs a call', async () => {
  const results = new Map<string, Round[]>();
  for (let at = 0; at < ROUNDS; at += 1)
    for (const [name, open] of Object.entries(WAYS))
      results.set(name, [...(results.get(name) ?? []), await round(open)]);
  const of = (name: keyof typeof WAYS) => median((results.get(name) ?? []).map(({ latency }) => latency));
  console.log(
    `load ${loadavg()[0]?.toFixed(1)}; medians of ${ROUNDS} rounds of ${CALLS} calls of 100 B, one after another`,
  );
  for (const name of Object.keys(WAYS) as (keyof typeof WAYS)[])
    console.log(`${name.padEnd(14)} ${of(name).toFixed(3)} ms`);
  const cpu = (name: keyof typeof WAYS) => median((results.get(name) ?? []).map((each) => each.cpu));
  const added = (of: 'bare HTTP' | 'the bridge') =>
    median(results.get(of)!.map(({ latency }, at) => latency - results.get('stdio itself')![at]!.latency));
  const milliseconds = { target: 0.2, unit: 'ms' };
  report('what a call takes longer than over stdio', [
    { what: 'through the bridge', measured: added('the bridge'), ...milliseconds },
    { what: 'through bare HTTP', measured: added('bare HTTP'), unit: 'ms' },
    { what: 'processor time of the bridge', measured: cpu('the bridge'), ...milliseconds },
    { what: 'processor time of bare HTTP', measured: cpu('bare HTTP'), unit: 'ms' },
  ]);
  console.log(
    `sixteen clients: ${(await throughput()).toFixed(0)} calls a second, with the clients on the same machine`,
  );
  // Beside passing bytes on: its checks of names, lists, sizes and sessions.
  expect(cpu('the bridge') / cpu('bare HTTP')).toBeLessThan(3);
});
