import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Dockerd, testDocker } from '../e2e/dockerd.ts';
import { cliDone, type Workplace, workplace } from '../e2e/harness/cli.ts';
import { commandPath, describeWith } from '../e2e/harness/needs.ts';
import { median } from './measure.ts';

/**
 * What byte-code gains at the start of real servers: from `docker run` to the answer to `initialize`, the same server with and without it
 * in turn. And what Node's compile cache would gain, which images don't have: it is filled by runs before those that count.
 */
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 9);
const SERVERS = [
  { name: 'time', source: 'pypi:mcp-server-time', args: [] },
  { name: 'fetch', source: 'pypi:mcp-server-fetch', args: [] },
  { name: 'arxiv', source: 'pypi:arxiv-mcp-server', args: [] },
] as const;
const NODE_SERVERS = [
  { name: 'memory', source: 'npm:@modelcontextprotocol/server-memory', args: [] },
  { name: 'context7', source: 'npm:@upstash/context7-mcp', args: [] },
  { name: 'notion', source: 'npm:@notionhq/notion-mcp-server', args: [] },
] as const;

const run = promisify(execFile);
let place: Workplace;
let daemon: Dockerd;
let cache: string;

beforeAll(async () => {
  place = await workplace();
  daemon = await testDocker();
  cache = await mkdtemp(join(tmpdir(), 'compile-cache-'));
});
afterAll(async () => {
  await daemon?.stop();
  await place?.[Symbol.asyncDispose]();
  await rm(cache, { recursive: true, force: true });
});

/** Locks, builds and loads a server. @returns what `docker run` calls it, and its size in MB */
async function load(name: string, source: string, flags: readonly string[]): Promise<{ image: string; size: number }> {
  await cliDone(['lock', source, '--name', name, '--platform', 'linux/amd64', ...flags], place);
  const built = await cliDone(['build', name, '--json', '--output', `docker-archive:${name}.tar`], place);
  const { layers } = built.json<{ layers: { size: number }[] }>();
  const { stdout } = await docker('load', '--input', join(place.cwd, `${name}.tar`));
  const image = /Loaded image: (\S+)/.exec(stdout)?.[1] ?? '';
  return { image, size: layers.reduce((sum, { size }) => sum + size, 0) / 1e6 };
}

function docker(...args: readonly string[]) {
  return run(commandPath('docker')!, [...args], { env: { ...process.env, DOCKER_HOST: daemon.host } });
}

/** From the start of a container to its first answer, in seconds. */
async function firstAnswer(image: string, flags: readonly string[], args: readonly string[]): Promise<number> {
  const walls = ['--network', 'none', '--read-only', '--tmpfs', '/tmp', '--tmpfs', '/home/nonroot', '--init'];
  const started = performance.now();
  const child = spawn(commandPath('docker')!, ['run', '--rm', '-i', ...walls, ...flags, image, ...args], {
    env: { ...process.env, DOCKER_HOST: daemon.host },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } };
  child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params })}\n`);
  for await (const line of createInterface({ input: child.stdout })) {
    const seconds = (performance.now() - started) / 1000;
    if (!line.includes('"result"')) continue;
    await ended(child);
    return seconds;
  }
  throw new Error(`${image} doesn't answer`);
}

async function ended(child: ChildProcess): Promise<void> {
  const end = new Promise((resolve) => child.once('close', resolve));
  child.stdin?.end();
  await end;
}

interface Way {
  readonly image: string;
  readonly flags: readonly string[];
  readonly args: readonly string[];
}

/** In turn, so that a machine that gets slower gets slower for both. */
async function pairs(without: Way, withIt: Way): Promise<{ without: number; withIt: number; gain: number }> {
  const times: [number, number][] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const pair: [number, number] = [
      await firstAnswer(without.image, without.flags, without.args),
      await firstAnswer(withIt.image, withIt.flags, withIt.args),
    ];
    if (round >= 0) times.push(pair);
  }
  return {
    without: median(times.map(([a]) => a)),
    withIt: median(times.map(([, b]) => b)),
    gain: median(times.map(([a, b]) => b / a)),
  };
}

describeWith(['docker'], 'the start of real servers', () => {
  test('Python, with byte-code and without', async () => {
    const lines: string[] = [];
    for (const { name, source, args } of SERVERS) {
      const plain = await load(`${name}-plain`, source, ['--no-bytecode']);
      const compiled = await load(name, source, ['--bytecode']);
      const found = await pairs({ image: plain.image, flags: [], args }, { image: compiled.image, flags: [], args });
      expect(found.gain).toBeLessThan(1);
      lines.push(
        `| \`${source}\` | ${found.without.toFixed(2)} | ${found.withIt.toFixed(2)} | ${found.gain.toFixed(2)} | ${plain.size.toFixed(1)} | ${compiled.size.toFixed(1)} |`,
      );
    }
    console.log(
      `load ${loadavg()[0]?.toFixed(1)}; seconds without, with, ratio; MB without, with\n${lines.join('\n')}`,
    );
  });

  test('Node, with a compile cache and without', async () => {
    const lines: string[] = [];
    for (const { name, source, args } of NODE_SERVERS) {
      const { image } = await load(name, source, []);
      const folder = join(cache, name);
      await mkdir(folder);
      await chmod(folder, 0o777);
      const flags = ['--volume', `${folder}:/cache`, '--env', 'NODE_COMPILE_CACHE=/cache'];
      for (let fill = 0; fill < 2; fill += 1) await firstAnswer(image, flags, args);
      const found = await pairs({ image, flags: [], args }, { image, flags, args });
      const { stdout } = await run('du', ['-sk', folder]);
      lines.push(
        `| \`${source}\` | ${found.without.toFixed(2)} | ${found.withIt.toFixed(2)} | ${found.gain.toFixed(2)} | ${(Number.parseInt(stdout, 10) / 1000).toFixed(1)} |`,
      );
    }
    console.log(`load ${loadavg()[0]?.toFixed(1)}; seconds without, with, ratio; MB of cache\n${lines.join('\n')}`);
  });
});
