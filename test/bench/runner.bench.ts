import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serveEgress } from '../../runner/index.ts';
import { type Dockerd, testDocker } from '../e2e/dockerd.ts';
import { median, published } from './measure.ts';

/** A real server whose start is mostly its interpreter's. */
const SOURCE = 'npm:@modelcontextprotocol/server-memory';
const NAME = 'server-memory';
const PING = '{"jsonrpc":"2.0","id":1,"method":"ping"}\n';
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 10);
const MESSAGES = Number(process.env.BENCH_MESSAGES ?? 1_000_000);

let folder: string;
let docker: Dockerd;
let image: string;
let environment: NodeJS.ProcessEnv;
let main: string;
const mcp = (...words: string[]) => [process.execPath, main, ...words];
const bare = (...words: string[]) => ['docker', 'run', '-i', '--rm', '--network', 'none', ...words];
const call = (command: readonly string[]) =>
  execFileSync(command[0]!, command.slice(1), { env: environment, stdio: ['ignore', 'pipe', 'pipe'] }).toString();

function begin(command: readonly string[]): ChildProcessWithoutNullStreams {
  const child = spawn(command[0]!, command.slice(1), { env: environment });
  child.stderr.resume();
  child.stdin.on('error', () => undefined);
  return child;
}

function ended(child: ChildProcessWithoutNullStreams): Promise<void> {
  return new Promise((resolve) => (child.exitCode === null ? child.once('close', () => resolve()) : resolve()));
}

/** In milliseconds, from the start of the process to the first byte of its answer. */
async function firstAnswer(command: readonly string[]): Promise<number> {
  const started = performance.now();
  const child = begin(command);
  child.stdin.write(PING);
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('close', (code) => reject(new Error(`${command.join(' ')} ended with ${code}`)));
  });
  const took = performance.now() - started;
  child.removeAllListeners('close');
  child.stdin.end();
  await ended(child);
  return took;
}

const keptReady = async () => {
  for (;;) {
    const { kept } = JSON.parse(call(mcp('ps', '--json'))) as { kept: { ready: string[] }[] };
    if (kept[0]?.ready.length === 1) return;
    await sleep(100);
  }
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-build-bench-'));
  main = published();
  docker = await testDocker();
  environment = { ...process.env, MCP_BUILD_HOME: join(folder, 'home'), DOCKER_HOST: docker.host };
  await firstAnswer(mcp('run', SOURCE));
  image = call(['docker', 'images', '-q', `mcp-build/${NAME}`]).trim();
});
afterAll(async () => {
  await docker?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

describe('run beside docker run of the same image', () => {
  test('start to first answer', async () => {
    const differences: Record<'cold' | 'warm', number[]> = { cold: [], warm: [] };
    const docked: number[] = [];
    for (let round = -1; round < ROUNDS; round += 1) {
      const plain = await firstAnswer(bare(image));
      const cold = await firstAnswer(mcp('run', SOURCE));
      call(mcp('start', '--detach', SOURCE));
      await keptReady();
      const again = await firstAnswer(bare(image));
      const warm = await firstAnswer(mcp('run', SOURCE));
      call(mcp('stop', NAME));
      if (round < 0) continue;
      docked.push(plain, again);
      differences.cold.push(cold - plain);
      differences.warm.push(warm - again);
    }
    const [cold, warm] = [median(differences.cold), median(differences.warm)];
    console.log(
      `first answer: docker run ${median(docked).toFixed(0)} ms; mcp-build run ${signed(cold)} ms cold${missed(cold < 150)}, ${signed(warm)} ms from those kept ready${missed(warm < 50)}`,
    );
    // All of them answered.
    expect(docked).toHaveLength(2 * ROUNDS);
  });

  test('bytes and round trips through the bridge', async () => {
    // The same program on both sides of the comparison: a container that sends back what it gets.
    const echo = ['--entrypoint', '/usr/local/bin/node', image, '-e', 'process.stdin.pipe(process.stdout)'];
    const { echoRun } = await import('./runner-echo.ts');
    const runs = { docker: bare(...echo), ours: await echoRun(folder, docker.host) };
    const rates: Record<string, number[]> = { docker: [], ours: [] };
    const trips: Record<string, number[]> = { docker: [], ours: [] };
    for (let round = -1; round < Math.max(3, ROUNDS / 2); round += 1) {
      for (const [name, command] of Object.entries(runs)) {
        const child = begin(command);
        const trip = await roundTrip(child);
        const rate = await throughput(child);
        child.stdin.end();
        await ended(child);
        if (round < 0) continue;
        rates[name]?.push(rate);
        trips[name]?.push(trip);
      }
    }
    const share = median(rates.ours!.map((rate, at) => rate / rates.docker![at]!));
    const more = median(trips.ours!.map((trip, at) => trip - trips.docker![at]!));
    console.log(
      `bridge: ${share.toFixed(2)} × the bytes of docker run -i (${median(rates.docker!).toFixed(0)} MB/s); a round trip ${signed(more, 3)} ms (docker run ${median(trips.docker!).toFixed(3)} ms)${missed(share > 0.9 && more < 0.3)}`,
    );
    expect(rates.ours!.length).toBe(rates.docker!.length);
  });

  test('memory, over a million messages', async () => {
    const child = begin(mcp('run', SOURCE));
    const early = await converse(child, MESSAGES / 10);
    const late = await converse(child, MESSAGES);
    child.stdin.end();
    await ended(child);
    console.log(
      `memory: ${(early / 1e6).toFixed(0)} MB after ${MESSAGES / 10} messages, ${(late / 1e6).toFixed(0)} MB after ${MESSAGES}`,
    );
    expect(late).toBeLessThan(90e6);
    expect(late - early).toBeLessThan(10e6);
  });

  test('the way out: a download over HTTPS by a server', async () => {
    const { downloads } = await import('./runner-download.ts');
    const by = await downloads(folder, docker.host);
    const shares: number[] = [];
    const rates: number[] = [];
    try {
      for (let round = -1; round < Math.max(3, ROUNDS / 2); round += 1) {
        // First, as it brings the image to the daemon.
        const proxied = await by.proxied();
        const bridged = await by.bridged();
        if (round < 0) continue;
        shares.push(proxied / bridged);
        rates.push(proxied);
      }
    } finally {
      await by.close();
    }
    const share = median(shares);
    console.log(
      `egress: ${median(rates).toFixed(0)} MB/s, ${share.toFixed(2)} × a container on a bridge of Docker's${missed(share > 0.7)}`,
    );
    expect(shares.length).toBeGreaterThan(2);
  });

  test('the way out: bare bytes through forwarder and proxy', async () => {
    const { download, forwarderProcess, origin } = await import('./runner-egress.ts');
    const from = await origin();
    const socket = join(folder, 'egress', 'egress.sock');
    const egress = await serveEgress(socket, {
      destinations: ['origin.example.test:443'],
      onDecision: () => undefined,
      resolve: async () => ['11.0.0.1'],
      dial: (_address, _port, onread) =>
        new Promise((resolve) => {
          const at = { port: from.port, host: '127.0.0.1', allowHalfOpen: true };
          const connection = net.connect({ ...at, ...(onread ? { onread } : {}) });
          connection.once('connect', () => resolve(connection)).once('error', () => resolve(undefined));
        }),
    });
    const forwarder = await forwarderProcess(folder, socket);
    const shares: number[] = [];
    const rates: number[] = [];
    let direct = 0;
    for (let round = -1; round < Math.max(3, ROUNDS / 2); round += 1) {
      direct = await download(from.port);
      const through = await download(forwarder.port, 'origin.example.test:443');
      if (round < 0) continue;
      shares.push(through / direct);
      rates.push(through);
    }
    forwarder.stop();
    await egress.close();
    await from.close();
    const share = median(shares);
    const rate = median(rates);
    console.log(
      `egress, bare bytes: ${rate.toFixed(0)} MB/s, ${share.toFixed(2)} × over loopback, whose two ends have a core each`,
    );
    expect(shares.length).toBeGreaterThan(2);
  });
});

function missed(met: boolean): string {
  return met ? '' : ' (MISSED)';
}

function signed(value: number, digits = 0): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;
}

/** Megabytes a second of what comes back. */
async function throughput(child: ChildProcessWithoutNullStreams): Promise<number> {
  const chunk = Buffer.alloc(1 << 20, 'x');
  const total = 128;
  let got = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const onData = (data: Buffer) => {
    got += data.length;
    if (got >= total * chunk.length) resolve();
  };
  child.stdout.on('data', onData);
  const started = performance.now();
  for (let sent = 0; sent < total; sent += 1) {
    if (!child.stdin.write(chunk)) await new Promise((go) => child.stdin.once('drain', go));
  }
  await promise;
  child.stdout.off('data', onData);
  return (total * 1.048576) / ((performance.now() - started) / 1000);
}

/** In milliseconds; the median of many. */
async function roundTrip(child: ChildProcessWithoutNullStreams): Promise<number> {
  const message = `${'x'.repeat(199)}\n`;
  const times: number[] = [];
  for (let turn = 0; turn < 2_000; turn += 1) {
    const started = performance.now();
    child.stdin.write(message);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    if (turn >= 200) times.push(performance.now() - started);
  }
  return median(times);
}

/** So many pings and their answers, a hundred under way. @returns bytes of resident memory at the end */
async function converse(child: ChildProcessWithoutNullStreams, messages: number): Promise<number> {
  let answered = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const onData = (data: Buffer) => {
    for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) answered += 1;
    if (answered >= messages) resolve();
  };
  child.stdout.on('data', onData);
  const hundred = PING.repeat(100);
  for (let sent = 0; sent < messages; sent += 100) {
    while (sent - answered > 1_000) await sleep(1);
    if (!child.stdin.write(hundred)) await new Promise((go) => child.stdin.once('drain', go));
  }
  await promise;
  child.stdout.off('data', onData);
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024;
}
