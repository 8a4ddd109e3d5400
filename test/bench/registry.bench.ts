import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { copy, openLayout, openRemote, parseRemoteReference } from '../../registry/index.ts';
import { commandPath, describeWith } from '../e2e/harness/needs.ts';
import { type Server, startDockerRegistry } from '../e2e/registry-servers.ts';
import { writeImage } from '../registry/image.ts';
import { median, published, report } from './measure.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
/** In bytes; 100 MB, as an image of a Python server has them. */
const LAYERS = [48_000_000, 30_000_000, 15_000_000, 7_000_000];

const tool = (command: string) => commandPath(command)!;
let folder: string;
let main: string;
let server: Server;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'registry-bench-'));
  main = published();
  server = await startDockerRegistry(join(folder, 'registry'));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** In seconds of processor time, user and system. */
type Cost = number;

interface Way {
  readonly name: string;
  readonly push: (from: string, to: string) => Promise<Cost>;
  readonly pull: (from: string, to: string) => Promise<Cost>;
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

async function inProcess(work: () => Promise<unknown>): Promise<Cost> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const WAYS: readonly Way[] = [
  {
    name: 'mcp-build',
    push: (from, to) =>
      inProcess(async () => {
        const layout = await openLayout(from);
        const reference = parseRemoteReference(to);
        await copy(layout, openRemote(reference), await layout.resolve('image'), { tags: [reference.tag!] });
      }),
    pull: (from, to) =>
      inProcess(async () => {
        const reference = parseRemoteReference(from);
        const remote = openRemote(reference);
        await copy(remote, await openLayout(to), await remote.resolve(reference.tag!), { tags: ['image'] });
      }),
  },
  {
    name: 'mcp-build, as a process',
    push: (from, to) => run(process.execPath, main, 'copy', `oci:${from}:image`, to),
    pull: (from, to) => run(process.execPath, main, 'copy', from, `oci:${to}:image`),
  },
  {
    name: 'crane',
    push: (from, to) => run(tool('crane'), 'push', from, to),
    pull: (from, to) => run(tool('crane'), 'pull', '--format', 'oci', from, to),
  },
  {
    name: 'skopeo',
    push: (from, to) => run(tool('skopeo'), 'copy', '--dest-tls-verify=false', `oci:${from}:image`, `docker://${to}`),
    pull: (from, to) => run(tool('skopeo'), 'copy', '--src-tls-verify=false', `docker://${from}`, `oci:${to}:image`),
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
        const push = await timed(() => way.push(source, target));
        const pull = await timed(() => way.pull(target, pulled));
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

async function timed(work: () => Promise<Cost>): Promise<{ readonly seconds: number; readonly cost: Cost }> {
  const started = performance.now();
  const cost = await work();
  return { seconds: (performance.now() - started) / 1000, cost };
}
