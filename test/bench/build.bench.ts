import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Dockerd, testDocker } from '../e2e/dockerd.ts';
import { DOCKER_BASE, dockerBase } from './docker-base.ts';
import { type Contender, median, published, ratio, report, sideBySide } from './measure.ts';

/** A real server of some 190 packages. */
const SOURCE = 'npm:firecrawl-mcp@3.26.0';
const PACKAGE = 'firecrawl-mcp@3.26.0';
const NAME = 'big';
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);

let folder: string;
let work: string;
let docker: Dockerd | undefined;
let main: string;
const mcp = (...args: string[]) => [process.execPath, main, ...args];
const environment = () => ({ ...process.env, MCP_BUILD_HOME: join(folder, 'home'), MCP_BUILD_PASSPHRASE: 'bench' });
/** Warm metadata is used as it is, by both: how long a registry lets it be fresh is not what is measured. */
const preferOffline = () => ({ ...environment(), npm_config_prefer_offline: 'true' });
const run = (command: readonly string[], cwd = work) =>
  execFileSync(command[0]!, command.slice(1), {
    cwd,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
  }).toString();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-build-bench-'));
  main = published();
  work = join(folder, 'work');
  mkdirSync(work);
  run(mcp('lock', SOURCE, '--name', NAME, '--platform', 'linux/amd64', '--release-age', '0'));
  run(mcp('build', NAME));
  mkdirSync(join(folder, 'npm'));
  for (const file of ['package.json', 'package-lock.json'])
    cpSync(join(work, 'lockfiles', NAME, file), join(folder, 'npm', file));
  run(['npm', 'ci', '--ignore-scripts'], join(folder, 'npm'));
  docker = await testDocker().catch(() => undefined);
});
afterAll(async () => {
  await docker?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const gone = (path: string) => async () => rmSync(path, { recursive: true, force: true });

describe('build', () => {
  test('from a lock, downloads cached, no server layer', async () => {
    const tree = join(folder, 'npm');
    const contenders: Contender[] = [
      { name: 'mcp-build', command: mcp('build', NAME, '--no-layer-cache'), cwd: work, env: environment() },
      { name: 'tar | gzip', command: ['sh', '-c', 'tar c node_modules | gzip -6 > ../tree.tgz'], cwd: tree },
      {
        name: 'npm ci',
        command: ['npm', 'ci', '--prefer-offline', '--ignore-scripts'],
        cwd: copyOf(tree, 'ci'),
        before: gone(join(folder, 'ci', 'node_modules')),
      },
    ];
    const results = await sideBySide(contenders, ROUNDS);
    const size = execFileSync('du', ['-sm', 'node_modules'], { cwd: tree }).toString().split('\t')[0];
    report(`build of ${PACKAGE} (${size} MB) with --no-layer-cache`, [
      { what: '`tar c node_modules | gzip -6`', measured: ratio(results, 'mcp-build', 'tar | gzip'), target: 0.8 },
      { what: '`npm ci --prefer-offline`', measured: ratio(results, 'mcp-build', 'npm ci'), target: 0.25 },
      {
        what: 'peak memory',
        measured: Math.max(...results.get('mcp-build')!.map(({ memory }) => memory)) / 1e6,
        target: 200,
        unit: 'MB',
      },
    ]);
    expect(results.get('mcp-build')).toHaveLength(ROUNDS);
  });

  test('unchanged', async () => {
    const results = await sideBySide(
      [{ name: 'mcp-build', command: mcp('build', NAME), cwd: work, env: environment() }],
      ROUNDS,
    );
    report('build again with nothing changed', [
      {
        what: 'whole process',
        measured: median(results.get('mcp-build')!.map(({ seconds }) => seconds)),
        target: 0.35,
        unit: 's',
      },
    ]);
    expect(results.get('mcp-build')).toHaveLength(ROUNDS);
  });

  test('against docker build', async ({ skip }) => {
    if (!docker) skip('no Docker daemon could be had');
    const env = { ...process.env, DOCKER_HOST: docker!.host, DOCKER_BUILDKIT: '0' };
    dockerBase(env, folder);
    const context = join(folder, 'context');
    mkdirSync(context);
    writeFileSync(
      join(context, 'Dockerfile'),
      `FROM ${DOCKER_BASE}\nWORKDIR /app\nRUN npm install --ignore-scripts ${PACKAGE}\nENTRYPOINT ["node", "node_modules/firecrawl-mcp/dist/index.js"]\n`,
    );
    const build = ['docker', 'build', '--network', 'host', '-t', 'bench-server'];
    const results = await sideBySide(
      [
        { name: 'mcp-build', command: mcp('build', NAME, '--no-layer-cache'), cwd: work, env: environment() },
        { name: 'docker build', command: [...build, '--no-cache', context], env },
        { name: 'mcp-build again', command: mcp('build', NAME), cwd: work, env: environment() },
        { name: 'docker build again', command: [...build, context], env },
      ],
      Math.min(3, ROUNDS),
    );
    report('against `docker build` with `npm install`', [
      { what: 'no layer of the server cached', measured: ratio(results, 'mcp-build', 'docker build'), target: 0.125 },
      { what: 'everything cached', measured: ratio(results, 'mcp-build again', 'docker build again'), target: 1 },
    ]);
    expect(results.get('docker build')!.length).toBeGreaterThan(0);
  });

  test('cold: the base cached, nothing else', async () => {
    const home = join(folder, 'cold');
    const base = join(folder, 'base-only');
    cpSync(join(folder, 'home'), base, { recursive: true });
    const locked = JSON.parse(execFileSync('cat', [join(work, 'lockfiles', NAME, 'image.lock.json')]).toString());
    // What remains is what `base` and `runtime` are made of.
    rmSync(join(base, 'cache', 'artifacts'), { recursive: true, force: true });
    const cold = join(folder, 'cold-work', 'lockfiles', NAME);
    mkdirSync(cold, { recursive: true });
    for (const file of ['package.json', 'package-lock.json', 'image.lock.json'])
      cpSync(join(work, 'lockfiles', NAME, file), join(cold, file));
    const results = await sideBySide(
      [
        {
          name: 'mcp-build',
          before: async () => {
            rmSync(home, { recursive: true, force: true });
            cpSync(base, home, { recursive: true });
          },
          command: mcp('build', NAME, '--no-layer-cache'),
          cwd: join(folder, 'cold-work'),
          env: { ...environment(), MCP_BUILD_HOME: home },
        },
        {
          name: 'npm ci',
          before: async () => {
            rmSync(join(folder, 'cold-ci', 'node_modules'), { recursive: true, force: true });
            rmSync(join(folder, 'npm-cache'), { recursive: true, force: true });
          },
          command: ['npm', 'ci', '--ignore-scripts', '--cache', join(folder, 'npm-cache')],
          cwd: copyOf(join(folder, 'npm'), 'cold-ci'),
        },
      ],
      Math.min(3, ROUNDS),
    );
    report('cold', [
      { what: '`npm ci` with an empty cache', measured: ratio(results, 'mcp-build', 'npm ci'), target: 1.2 },
    ]);
    expect(locked.name).toBe(NAME);
  });

  test('lock, metadata warm', async () => {
    const fresh = join(folder, 'fresh');
    mkdirSync(fresh);
    const python = join(folder, 'python');
    mkdirSync(python);
    writeFileSync(join(python, 'requirements.in'), 'mcp-server-fetch\n');
    const uv = uvPath();
    const contenders: Contender[] = [
      {
        name: 'lock npm',
        command: mcp('lock', SOURCE, '--name', 'x', '--platform', 'linux/amd64', '--release-age', '0'),
        cwd: fresh,
        env: preferOffline(),
      },
      {
        name: 'npm install',
        before: gone(join(fresh, 'package-lock.json')),
        command: [
          'sh',
          '-c',
          `echo '{"dependencies":{"firecrawl-mcp":"3.26.0"}}' > package.json && npm install --package-lock-only --prefer-offline`,
        ],
        cwd: fresh,
      },
      {
        name: 'lock pypi',
        command: mcp('lock', 'pypi:mcp-server-fetch', '--name', 'y', '--platform', 'linux/amd64', '--release-age', '0'),
        cwd: fresh,
        env: environment(),
      },
      ...(uv
        ? [
            {
              name: 'uv',
              command: [
                uv,
                'pip',
                'compile',
                '-q',
                '-p',
                '3.13',
                '--python-platform',
                'x86_64-manylinux_2_36',
                '--no-build',
                'requirements.in',
                '-o',
                'out.txt',
              ],
              cwd: python,
              before: gone(join(python, 'out.txt')),
            },
          ]
        : []),
    ];
    const results = await sideBySide(contenders, ROUNDS);
    report('lock from warm metadata', [
      { what: '`npm install --package-lock-only`', measured: ratio(results, 'lock npm', 'npm install'), target: 1.1 },
      ...(uv ? [{ what: '`uv pip compile`', measured: ratio(results, 'lock pypi', 'uv'), target: 1.1 }] : []),
    ]);
    expect(results.get('lock npm')).toHaveLength(ROUNDS);
  });
});

function copyOf(from: string, name: string): string {
  const to = join(folder, name);
  mkdirSync(to, { recursive: true });
  for (const file of ['package.json', 'package-lock.json']) cpSync(join(from, file), join(to, file));
  return to;
}

/** uv as the line itself fetched it, or the machine's. */
function uvPath(): string | undefined {
  const found = execFileSync('sh', [
    '-c',
    `find ${join(folder, 'home', 'cache')} -type f -name uv -perm -100 2>/dev/null | head -1; command -v uv || true`,
  ])
    .toString()
    .trim()
    .split('\n')[0];
  return found || undefined;
}
