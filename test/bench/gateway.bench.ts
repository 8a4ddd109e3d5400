import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { commandPath } from '../e2e/harness/needs.ts';
import { median } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const SECONDS = process.env.BENCH_SECONDS ?? '3';
const HERE = join(import.meta.dirname, 'gateway');
const NODE = [process.execPath, '--no-warnings'] as const;
const ECHO = [...NODE, join(HERE, 'echo.ts')] as const;
const LOADS = [
  { clients: 1, bytes: 100 },
  { clients: 16, bytes: 100 },
  { clients: 64, bytes: 100 },
  { clients: 16, bytes: 100_000 },
] as const;

interface Peer {
  readonly name: string;
  readonly command: (port: number) => readonly string[];
  readonly path: string;
}

/** Each with the same plain child process behind it. Those that this machine lacks are left out, and said to be. */
function peers(): readonly Peer[] {
  const found: Peer[] = [
    { name: 'mcp-build', command: (port) => [...NODE, join(HERE, 'ours.ts'), `${port}`], path: '/echo/mcp' },
    { name: 'bare Node', command: (port) => [...NODE, join(HERE, 'bare.ts'), `${port}`], path: '/' },
  ];
  const supergateway = commandPath('supergateway');
  const options = ['--outputTransport', 'streamableHttp', '--stateful', '--logLevel', 'none'];
  if (supergateway) {
    found.push({
      name: 'supergateway',
      command: (port) => [process.execPath, supergateway, '--stdio', ECHO.join(' '), '--port', `${port}`, ...options],
      path: '/mcp',
    });
  }
  const uvx = commandPath('uvx');
  if (uvx) {
    found.push({
      name: 'sparfenyuk’s mcp-proxy',
      command: (port) => [uvx, '-q', 'mcp-proxy@0.13.0', '--port', `${port}`, '--', ...ECHO],
      path: '/mcp',
    });
  }
  // Its module isn't to be had by `go install`: whoever has the program names it.
  const tbxark = process.env.MCP_BUILD_BENCH_TBXARK;
  if (tbxark)
    found.push({ name: 'TBXark’s mcp-proxy', command: (port) => tbxarkCommand(tbxark, port), path: '/echo/mcp' });
  return found;
}

function tbxarkCommand(program: string, port: number): readonly string[] {
  const mcpProxy = {
    baseURL: `http://127.0.0.1:${port}`,
    addr: `127.0.0.1:${port}`,
    name: 'p',
    version: '1',
    type: 'streamable-http',
  };
  const [command, ...args] = ECHO;
  const options = { authTokens: ['bench-token'], toolFilter: { mode: 'block', list: ['other'] } };
  const config = JSON.stringify({ mcpProxy, mcpServers: { echo: { command, args, options } } });
  return ['sh', '-c', 'f=$(mktemp) && printf %s "$1" >"$f" && exec "$0" --config "$f"', program, config];
}

interface Measured {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly wrong: number;
  /** Processor time of the proxy itself for a call, in microseconds; the server behind it is not counted. */
  readonly cpu: number;
  /** Resident at the end, in MB. */
  readonly memory: number;
}

test('calls a second, side by side', async () => {
  const all = peers();
  const results = new Map<string, Measured[]>();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const peer of all) {
      for (const { clients, bytes } of LOADS) {
        const key = `${peer.name} ${clients}×${bytes}`;
        const measured = await measure(peer, clients, bytes).catch((error: unknown) =>
          console.log(`${key}: ${String(error).slice(0, 200)}`),
        );
        if (measured) results.set(key, [...(results.get(key) ?? []), measured]);
      }
    }
  }
  console.log(`load ${loadavg()[0]?.toFixed(1)}; medians of ${ROUNDS} rounds of ${SECONDS} s`);
  for (const { clients, bytes } of LOADS) {
    for (const { name } of all) {
      const of = results.get(`${name} ${clients}×${bytes}`) ?? [];
      const at = (field: keyof Measured) => median(of.map((each) => each[field]));
      if (of.length === 0) continue;
      console.log(
        `${clients} clients, ${bytes} B  ${name.padEnd(24)} ${at('perSecond').toFixed(0).padStart(7)}/s  p50 ${at('p50').toFixed(2)} ms  p99 ${at('p99').toFixed(1)} ms  ${at('cpu').toFixed(0)} µs of CPU a call  ${at('memory').toFixed(0)} MB${at('wrong') > 0 ? `  WRONG ANSWERS ${at('wrong')}` : ''}`,
      );
    }
    const ratio = (other: string) => {
      const [ours, theirs] = ['mcp-build', other].map((name) => results.get(`${name} ${clients}×${bytes}`) ?? []);
      return median((ours ?? []).map((each, at) => each.cpu / (theirs?.[at]?.cpu ?? Number.NaN)));
    };
    // The checks of tokens, names, lists and sizes may cost as much again as passing bytes on, and no more.
    expect(ratio('bare Node')).toBeLessThan(2);
    expect((results.get(`mcp-build ${clients}×${bytes}`) ?? []).every(({ wrong }) => wrong === 0)).toBe(true);
  }
});

async function measure({ command, path }: Peer, clients: number, bytes: number): Promise<Measured> {
  const port = await freePort();
  const [program = '', ...args] = command(port);
  const child = spawn(program, args, { stdio: 'ignore', detached: true });
  try {
    const url = `http://127.0.0.1:${port}${path}`;
    await answers(url, child);
    const load = (seconds: string) =>
      promisify(execFile)(process.execPath, [
        '--no-warnings',
        ...[join(HERE, 'load.ts'), url, `${clients}`, seconds, `${bytes}`, 'bench-token'],
      ]);
    await load('1');
    const before = ticks(child);
    const { stdout } = await load(SECONDS);
    const said = JSON.parse(stdout) as Measured & { readonly calls: number };
    const share = Number(SECONDS) / (Number(SECONDS) + 0.5);
    // Ticks are hundredths of a second; the half second of warming up was work, too.
    return { ...said, cpu: ((ticks(child) - before) * 10_000 * share) / said.calls, memory: resident(child) };
  } finally {
    const ended = new Promise((resolve) => child.once('close', resolve));
    // With whatever it has started.
    if (child.pid) process.kill(-child.pid, 'SIGKILL');
    await ended;
  }
}

/** uvx stays the parent of what it runs. */
function worker(child: ChildProcess): number {
  const pid = child.pid ?? 0;
  const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  if (name !== 'uvx' && name !== 'uv') return pid;
  // Which of its threads started it is nobody's to know.
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' '),
  );
  return Number(children.find((child) => child !== '') ?? pid);
}

function ticks(child: ChildProcess): number {
  const fields =
    readFileSync(`/proc/${worker(child)}/stat`, 'utf8')
      .split(') ')[1]
      ?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

function resident(child: ChildProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${worker(child)}/status`, 'utf8'))?.[1]) / 1024;
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const end = Date.now() + 60_000;
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'probe', version: '1' } };
  for (;;) {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          authorization: 'Bearer bench-token',
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params }),
      });
      if ((await response.text()).includes('echo')) return;
    } catch {
      // Not yet.
    }
    if (child.exitCode !== null || Date.now() > end) throw new Error('it did not start');
    await new Promise((resolve) => setTimeout(resolve, 100));
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
