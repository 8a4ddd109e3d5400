import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLayout } from '../../registry/index.ts';
import { type Dockerd, testDocker } from '../e2e/dockerd.ts';
import { commandPath, describeWith } from '../e2e/harness/needs.ts';
import { programEntries, putImage, putLayer, textEntry } from '../fakes/docker-image.ts';
import { answers, freePort, tbxarkCommand } from './gateway/peers.ts';
import { median } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const SECONDS = process.env.BENCH_SECONDS ?? '3';
const HERE = join(import.meta.dirname, 'gateway');
const NODE = [process.execPath, '--no-warnings'] as const;
const ECHO = [...NODE, join(HERE, 'echo.ts')] as const;
/** In this order, so that memory after 64 clients is theirs and not that of large answers. */
const LOADS = [
  { clients: 16, bytes: 100, times: 1.3 },
  { clients: 1, bytes: 100, times: 1 },
  { clients: 64, bytes: 100, times: 1.3 },
  { clients: 16, bytes: 100_000, times: 5 },
] as const;
/** Compiled for speed only after some ten thousand calls: those that are measured are not the first ones. In seconds. */
const WARM = '2.5';
const US = 'mcp-build';
const THEM = 'TBXark’s mcp-proxy';

interface Peer {
  readonly name: string;
  readonly command: (port: number) => readonly string[];
  readonly path: string;
}

/** All but ours, each with the same command behind it. Those that this machine lacks are left out, and said to be. */
function others(behind: readonly string[]): readonly Peer[] {
  const found: Peer[] = [
    { name: 'bare Node', command: (port) => [...NODE, join(HERE, 'bare.ts'), `${port}`, ...behind], path: '/' },
  ];
  const lacking = (name: string, why: string) => console.log(`${name} is left out: ${why}`);
  // Its module isn't to be had by `go install`: whoever has the program names it.
  const tbxark = process.env.MCP_BUILD_BENCH_TBXARK;
  if (tbxark) found.push({ name: THEM, command: (port) => tbxarkCommand(tbxark, port, behind), path: '/echo/mcp' });
  else lacking(THEM, 'MCP_BUILD_BENCH_TBXARK names no program');
  const supergateway = commandPath('supergateway');
  const options = ['--outputTransport', 'streamableHttp', '--stateful', '--logLevel', 'none'];
  if (supergateway) {
    found.push({
      name: 'supergateway',
      command: (port) => [process.execPath, supergateway, '--stdio', behind.join(' '), '--port', `${port}`, ...options],
      path: '/mcp',
    });
  } else lacking('supergateway', 'provision.sh has not installed it');
  const uvx = commandPath('uvx');
  if (uvx) {
    found.push({
      name: 'sparfenyuk’s mcp-proxy',
      command: (port) => [uvx, '-q', 'mcp-proxy@0.13.0', '--port', `${port}`, '--', ...behind],
      path: '/mcp',
    });
  } else lacking('sparfenyuk’s mcp-proxy', 'provision.sh has not installed uvx');
  return found;
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

interface Round {
  /** From the start of the process to the first answer, in seconds. */
  readonly ready: number;
  /** One for each of LOADS. */
  readonly loads: readonly Measured[];
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gateway-bench-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** As it is published: plain JavaScript in few files. What strips types from sources takes memory and time that no user's gateway does. */
async function published(entry: string): Promise<string> {
  const bundle = await rolldown({ input: join(HERE, `${entry}.ts`), platform: 'node', logLevel: 'silent' });
  const { output } = await bundle.write({ dir: folder, format: 'esm', entryFileNames: '[name].mjs' });
  return join(folder, output[0].fileName);
}

test('calls a second, side by side', async () => {
  const ours = await published('ours');
  const echo = join(HERE, 'echo.ts');
  const peers = [
    { name: US, command: (port: number) => [...NODE, ours, `${port}`, echo], path: '/echo/mcp' },
    ...others(ECHO),
  ];
  const results = await inTurn(peers);
  const alone = median(await Promise.all(Array.from({ length: 3 }, firstAnswer)));
  const ready = (name: string) => median((results.get(name) ?? []).map((round) => round.ready));
  console.log(`the server itself answers after ${alone.toFixed(2)} s`);
  for (const { name } of peers) console.log(`${name.padEnd(24)} answers ${(ready(name) - alone).toFixed(2)} s later`);
  show(results);
  // The checks of tokens, names, lists and sizes may cost as much again as passing bytes on, and no more.
  for (const at of LOADS.keys()) expect(ratio(results, at, 'cpu', 'bare Node')).toBeLessThan(2);
  expect(ready(US) - alone).toBeLessThan(0.3);
  const after64 = LOADS.findIndex(({ clients }) => clients === 64);
  expect(median((results.get(US) ?? []).map(({ loads }) => loads[after64]?.memory ?? 0))).toBeLessThan(120);
});

describeWith(['docker'], 'with every server in a container', () => {
  let daemon: Dockerd;
  beforeAll(async () => {
    daemon = await testDocker();
  });
  afterAll(() => daemon?.stop());

  test('calls a second, side by side', async () => {
    const path = join(folder, 'store');
    const store = await openLayout(path);
    const node = await putLayer(store, await programEntries(process.execPath, 'usr/local/bin/node'));
    const server = readFileSync(join(HERE, 'echo.ts'), 'utf8');
    const layers = [node, await putLayer(store, [textEntry('app/echo.ts', server)])];
    const entrypoint = ['/usr/local/bin/node', '--no-warnings', '/app/echo.ts'];
    const env = ['PATH=/usr/local/bin', 'HOME=/home/nonroot'];
    const image = await putImage(store, layers, { entrypoint, env });
    // From its sources, beside which what cleans up after servers is found.
    const ours = join(HERE, 'contained.ts');
    const given = JSON.stringify({ host: daemon.host, store: path, state: join(folder, 'state'), image });
    const peer = { name: US, command: (port: number) => [...NODE, ours, `${port}`, given], path: '/echo/mcp' };
    // Its first start brings the image into the daemon, for the others as well.
    await withPeer(peer, async () => undefined);
    const docker = [commandPath('docker') as string, '-H', daemon.host];
    const [program = '', ...words] = [...docker, 'images', '-q', 'mcp-build/echo'];
    const id = execFileSync(program, words).toString().trim();
    const results = await inTurn([peer, ...others([...docker, 'run', '-i', '--rm', '--network', 'none', id])]);
    show(results);
  });
});

/** Each peer for all loads, one after another, round by round: a machine that gets slower gets slower for all of them. */
async function inTurn(peers: readonly Peer[]): Promise<ReadonlyMap<string, readonly Round[]>> {
  const results = new Map<string, Round[]>(peers.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const peer of round % 2 === 0 ? peers : peers.toReversed()) {
      await withPeer(peer, async (child, url, ready) => {
        await load(url, 16, 100, WARM);
        const loads: Measured[] = [];
        for (const { clients, bytes } of LOADS) loads.push(await measure(child, url, clients, bytes));
        results.get(peer.name)?.push({ ready, loads });
      }).catch((error: unknown) => {
        if (peer.name === US) throw error;
        console.log(`${peer.name}: ${String(error).slice(0, 300)}`);
      });
    }
  }
  return results;
}

function ratio(
  results: ReadonlyMap<string, readonly Round[]>,
  at: number,
  field: keyof Measured,
  other: string,
): number {
  const [ours, theirs] = [US, other].map((name) => results.get(name) ?? []);
  const pairs = (ours ?? []).flatMap((round, number) => {
    const [mine, its] = [round.loads[at]?.[field], theirs?.[number]?.loads[at]?.[field]];
    return mine === undefined || its === undefined ? [] : [mine / its];
  });
  return median(pairs);
}

function show(results: ReadonlyMap<string, readonly Round[]>): void {
  console.log(`load ${loadavg()[0]?.toFixed(1)}; medians of ${ROUNDS} rounds of ${SECONDS} s`);
  for (const [at, { clients, bytes, times }] of LOADS.entries()) {
    const what = `${clients} clients, ${bytes} B`;
    for (const [name, rounds] of results) {
      if (rounds.length === 0) continue;
      const of = (field: keyof Measured) => median(rounds.map(({ loads }) => loads[at]?.[field] ?? Number.NaN));
      const wrong = Math.max(...rounds.map(({ loads }) => loads[at]?.wrong ?? 0));
      console.log(
        `${what}  ${name.padEnd(24)} ${of('perSecond').toFixed(0).padStart(7)}/s  p50 ${of('p50').toFixed(2)} ms  p99 ${of('p99').toFixed(1)} ms  ${of('cpu').toFixed(0)} µs of CPU a call  ${of('memory').toFixed(0)} MB${wrong > 0 ? `  WRONG ANSWERS ${wrong}` : ''}`,
      );
      if (name === US) expect(wrong).toBe(0);
    }
    if ((results.get(THEM)?.length ?? 0) === 0) continue;
    const [calls, p50, p99] = (['perSecond', 'p50', 'p99'] as const).map((field) => ratio(results, at, field, THEM));
    console.log(
      `${what}  ${US} has ${calls?.toFixed(2)} × the calls of ${THEM} (goal ${times}), ${p50?.toFixed(2)} × its p50 and ${p99?.toFixed(2)} × its p99`,
    );
  }
}

/** Starts a peer, waits for its first answer, and ends it with whatever it has started. */
async function withPeer(
  { command, path }: Peer,
  use: (child: ChildProcess, url: string, ready: number) => Promise<void>,
): Promise<void> {
  const port = await freePort();
  const [program = '', ...args] = command(port);
  const began = performance.now();
  const child = spawn(program, args, { stdio: 'ignore', detached: true });
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    const url = `http://127.0.0.1:${port}${path}`;
    await answers(url, child);
    await use(child, url, (performance.now() - began) / 1000);
  } finally {
    if (child.pid && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    await ended;
  }
}

async function load(url: string, clients: number, bytes: number, seconds: string): Promise<string> {
  const words = [join(HERE, 'load.ts'), url, `${clients}`, seconds, `${bytes}`, 'bench-token'];
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', ...words]);
  return stdout;
}

async function measure(child: ChildProcess, url: string, clients: number, bytes: number): Promise<Measured> {
  const before = ticks(child);
  const said = JSON.parse(await load(url, clients, bytes, SECONDS)) as Measured & { readonly calls: number };
  const share = Number(SECONDS) / (Number(SECONDS) + 0.5);
  // Ticks are hundredths of a second; the half second of warming up was work, too.
  return { ...said, cpu: ((ticks(child) - before) * 10_000 * share) / said.calls, memory: resident(child) };
}

/** Of the server alone, in seconds. */
async function firstAnswer(): Promise<number> {
  const began = performance.now();
  const child = spawn(ECHO[0], ECHO.slice(1), { stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdin.write('{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}\n');
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGKILL');
  return (performance.now() - began) / 1000;
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
