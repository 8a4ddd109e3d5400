import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLayout } from '../../registry/index.ts';
import { commandPath, describeWith } from '../e2e/harness/needs.ts';
import { type Server, startDockerRegistry } from '../e2e/registry-servers.ts';
import { writeImage } from '../registry/image.ts';
import { median, published, report } from './measure.ts';
import type { Order, Took } from './registry-copy.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
/** In bytes; 100 MB, as an image of a Python server has them. */
const LAYERS = [48_000_000, 30_000_000, 15_000_000, 7_000_000];

const tool = (command: string) => commandPath(command)!;
let folder: string;
let main: string;
let server: Server;
let running: ChildProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'registry-bench-'));
  main = published();
  server = await startDockerRegistry(join(folder, 'registry'));
  running = fork(join(import.meta.dirname, 'registry-copy.ts'), { execArgv: [] });
});
afterAll(async () => {
  running?.kill();
  await server?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** In seconds of processor time, user and system. */
type Cost = number;

interface Way {
  readonly name: string;
  readonly push: (from: string, to: string) => Promise<Took>;
  readonly pull: (from: string, to: string) => Promise<Took>;
}

/** A command, with what it and its children took: the second line of `times` (POSIX). */
async function run(...command: readonly string[]): Promise<Cost> {
  const script = '"$@" >/dev/null || exit; times';
  const { stdout } = await promisify(execFile)('sh', ['-c', script, 'sh', ...command], {
    env: { ...process.env, MCP_BUILD_HOME: join(folder, 'home') },
  });
  return [
    ...stdout
      .trim()
      .split('\n')
      .at(-1)!
      .matchAll(/(\d+)m([\d.]+)s/g),
  ].reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
}

async function command(...words: readonly string[]): Promise<Took> {
  const started = performance.now();
  const cost = await run(...words);
  return { seconds: (performance.now() - started) / 1000, cost };
}

async function inProcess(order: Order): Promise<Took> {
  running.send(order);
  const [took] = await once(running, 'message', { signal: AbortSignal.timeout(60_000) });
  return took as Took;
}

const WAYS: readonly Way[] = [
  {
    name: 'mcp-build',
    push: (from, to) => inProcess({ direction: 'push', layout: from, remote: to }),
    pull: (from, to) => inProcess({ direction: 'pull', layout: to, remote: from }),
  },
  {
    name: 'mcp-build, as a process',
    push: (from, to) => command(process.execPath, main, 'copy', `oci:${from}:image`, to),
    pull: (from, to) => command(process.execPath, main, 'copy', from, `oci:${to}:image`),
  },
  {
    name: 'crane',
    push: (from, to) => command(tool('crane'), 'push', from, to),
    pull: (from, to) => command(tool('crane'), 'pull', '--format', 'oci', from, to),
  },
  {
    name: 'skopeo',
    push: (from, to) =>
      command(tool('skopeo'), 'copy', '--dest-tls-verify=false', `oci:${from}:image`, `docker://${to}`),
    pull: (from, to) =>
      command(tool('skopeo'), 'copy', '--src-tls-verify=false', `docker://${from}`, `oci:${to}:image`),
  },
];

describeWith(['docker-registry', 'crane', 'skopeo'], 'registry', () => {
  test('push and pull of 100 MB over loopback', async () => {
    const taken = () => ({ push: [] as number[], pull: [] as number[] });
    const seconds = new Map(WAYS.map(({ name }) => [name, taken()]));
    const costs = new Map(WAYS.map(({ name }) => [name, taken()]));
    for (let round = -1; round < ROUNDS; round += 1) {
      // New bytes each round: a tool that remembers where it has seen a blob would else mount instead of sending.
      const source = join(folder, `source-${round}`);
      const layout = await openLayout(source);
      await layout.tag('image', await writeImage(layout, LAYERS));
      for (const [at, way] of WAYS.entries()) {
        const target = `${server.host}/round${round + 1}/way${at}:1`;
        const pulled = join(folder, `pulled-${round}-${at}`);
        const push = await way.push(source, target);
        const pull = await way.pull(target, pulled);
        await rm(pulled, { recursive: true, force: true });
        if (round < 0) continue;
        seconds.get(way.name)!.push.push(push.seconds);
        seconds.get(way.name)!.pull.push(pull.seconds);
        costs.get(way.name)!.push.push(push.cost);
        costs.get(way.name)!.pull.push(pull.cost);
      }
      await rm(source, { recursive: true, force: true });
    }
    for (const direction of ['push', 'pull'] as const) {
      const of = (name: string) => seconds.get(name)![direction];
      const against = (name: string) =>
        median(of(name).map((value, at) => value / Math.min(of('crane')[at]!, of('skopeo')[at]!)));
      report(`${direction}, 100 MB, load ${loadavg()[0]!.toFixed(1)}`, [
        { what: 'mcp-build by the faster of crane and skopeo', measured: against('mcp-build'), target: 1.2 },
        { what: 'the same with the start of a process', measured: against('mcp-build, as a process') },
        ...WAYS.map(({ name }) => ({ what: name, measured: median(of(name)), unit: 's' })),
        ...WAYS.map(({ name }) => ({
          what: `${name}, processor time`,
          measured: median(costs.get(name)![direction]),
          unit: 's',
        })),
      ]);
      expect(of('mcp-build')).toHaveLength(ROUNDS);
    }
  });
});
