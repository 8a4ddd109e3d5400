import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { constants, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { Dockerd } from '../e2e/dockerd.ts';
import { toolCache } from '../e2e/harness/needs.ts';
import { root } from '../e2e/harness/tree.ts';
import { currentBases } from './bases.ts';
import type { Count } from './reporter.ts';

const MODES = ['start', 'test', 'bench', 'soak'] as const;
type Mode = (typeof MODES)[number];

const PROJECTS: Readonly<Record<Exclude<Mode, 'start'>, readonly string[]>> = {
  test: ['unit', 'e2e'],
  bench: ['bench'],
  soak: ['soak'],
};

/** As many as `vitest.config.ts` lets run at once. */
const WORKERS = 2;

/** The child that runs now, for signals that come to us alone. */
let running: ReturnType<typeof spawn> | undefined;
let interrupted: NodeJS.Signals | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interrupted = signal;
    running?.kill(signal);
  });
}

const mode = MODES.find((name) => name === process.argv[2]);
if (mode === undefined) {
  process.stderr.write(`usage: run.ts ${MODES.join('|')} [filters and options of vitest]\n`);
  process.exit(2);
}
process.exitCode = await main(mode, process.argv.slice(3));

async function main(what: Mode, args: readonly string[]): Promise<number> {
  const cache = toolCache();
  mkdirSync(cache, { recursive: true });
  const environment: Record<string, string | undefined> = {
    ...process.env,
    MCP_BUILD_TEST_CACHE: cache,
    PATH: [
      dirname(process.execPath),
      join(root, 'node_modules/.bin'),
      join(cache, 'bin'),
      process.env.PATH ?? '',
      '/usr/sbin',
      '/sbin',
    ].join(delimiter),
  };
  const docker = await findDocker(what === 'test' ? WORKERS : 1);
  if (docker.hosts[0] !== undefined) environment.DOCKER_HOST = docker.hosts[0];
  if (docker.hosts.length > 1) environment.MCP_BUILD_TEST_DOCKER_HOSTS = docker.hosts.join(' ');
  let stopBases = () => undefined as unknown;
  try {
    const bases = await currentBases(environment);
    stopBases = bases.stop;
    Object.assign(environment, bases.environment);
    if (what === 'start') return await run(process.execPath, ['cli/main.ts', 'demo', ...args], environment);
    return await runTests(PROJECTS[what], args, environment);
  } finally {
    stopBases();
    await docker.stop();
  }
}

/** Runs each project's tests and ends with the counted line, always alone and last. */
async function runTests(
  projects: readonly string[],
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-build-count-'));
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  let ok = true;
  const reasons = new Map<string, number>();
  const failures: string[] = [];
  try {
    for (const project of projects) {
      if (interrupted) break;
      const file = join(folder, `${project}.json`);
      const vitest = [
        'run',
        '--project',
        project,
        '--passWithNoTests',
        '--reporter=default',
        '--reporter=./test/provision/reporter.ts',
      ];
      if (project === 'e2e' && environment.MCP_BUILD_TEST_DOCKER_HOSTS === undefined)
        vitest.push('--no-file-parallelism');
      const code = await run(process.execPath, ['node_modules/vitest/vitest.mjs', ...vitest, ...args], {
        ...environment,
        MCP_BUILD_TEST_COUNT: file,
      });
      const count = readCount(file);
      passed += count.passed;
      // A run that failed without a failing test (it was killed, or its configuration is wrong) still is a failure.
      failed += code === 0 ? count.failed : Math.max(1, count.failed);
      skipped += count.skipped;
      ok &&= code === 0;
      failures.push(...count.failures);
      for (const [reason, number] of Object.entries(count.reasons))
        reasons.set(reason, (reasons.get(reason) ?? 0) + number);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const failure of failures) console.log(`failed: ${failure}`);
  for (const [reason, number] of reasons) console.log(`skipped ${number}: ${reason}`);
  if (passed + failed + skipped === 0) console.log(`no test matches ${args.join(' ') || projects.join(', ')}`);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  if (interrupted) return 128 + constants.signals[interrupted];
  return ok && failed === 0 && passed > 0 ? 0 : 1;
}

function readCount(file: string): Count {
  if (!existsSync(file)) return { passed: 0, failed: 0, skipped: 0, reasons: {}, failures: [] };
  return JSON.parse(readFileSync(file, 'utf8')) as Count;
}

function run(command: string, args: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    running = spawn(command, args, { cwd: root, env: environment, stdio: 'inherit' });
    running.once('error', reject);
    running.once('close', (code, signal) => {
      running = undefined;
      resolve(code ?? 128 + (signal ? constants.signals[signal] : 0));
    });
  });
}

interface Daemons {
  readonly hosts: readonly string[];
  stop(): Promise<unknown>;
}

/** The daemon that is there, else as many of our own as are asked for where root can start them, else none, with the reason on stderr. */
async function findDocker(count: number): Promise<Daemons> {
  const found = (hosts: readonly string[]) => ({ hosts, stop: async () => undefined });
  const given = process.env.DOCKER_HOST;
  if (given) return found([given]);
  const socket = '/var/run/docker.sock';
  if (await answers(socket)) return found([`unix://${socket}`]);
  try {
    const { startDockerd } = await import('../e2e/dockerd.ts');
    const daemons: Dockerd[] = [];
    const stop = () => Promise.all(daemons.map((daemon) => daemon.stop()));
    try {
      // One after the other: two that start at once would both make the bridge that they share.
      while (daemons.length < count) daemons.push(await startDockerd());
    } catch (error) {
      await stop();
      throw error;
    }
    return { hosts: daemons.map(({ host }) => host), stop };
  } catch (error) {
    process.stderr.write(`No Docker: ${error instanceof Error ? error.message : String(error)}\n`);
    return found([]);
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get({ socketPath, path: '/_ping', timeout: 3_000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
