import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builderDigest } from '../../cli/version.ts';
import { root } from './harness/tree.ts';

const run = promisify(execFile);

/** Node refuses to strip types under node_modules: what works in the checkout can fail when it is installed. */
describe('the packed and installed package', () => {
  let folder: string;
  let files: readonly string[];
  let bin: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-pack-'));
    await run('npm', ['run', 'build'], { cwd: root });
    const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
    });
    const packed = JSON.parse(stdout) as PackResult[] | Record<string, PackResult>;
    const result = Array.isArray(packed) ? packed[0] : Object.values(packed)[0];
    if (!result) throw new Error('npm pack printed nothing');
    files = result.files.map(({ path }) => path);
    await run('npm', ['init', '-y'], { cwd: folder });
    await run(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', `./${result.filename}`],
      {
        cwd: folder,
      },
    );
    bin = join(folder, 'node_modules/.bin/mcp-build');
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  const call = (args: readonly string[]) =>
    run(bin, [...args], { cwd: folder, env: { ...process.env, MCP_BUILD_HOME: join(folder, 'home') } });

  test('holds plain JavaScript and data, and nothing else', () => {
    const odd = files.filter(
      (file) => !/^dist\//.test(file) && !['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'].includes(file),
    );
    expect(odd).toEqual([]);
    expect(files).toContain('dist/cli/main.js');
    expect(files.filter((file) => file.endsWith('.ts'))).toEqual([]);
    expect(files.some((file) => file.startsWith('dist/images/'))).toBe(true);
    expect(files.some((file) => file.startsWith('dist/test/'))).toBe(false);
  });

  test('holds each program that another one starts by its path', () => {
    const programs = execFileSync('git', ['ls-files', '*-main.ts', ':!test'], { cwd: root, encoding: 'utf8' })
      .split('\n')
      .filter(Boolean);
    expect(programs).toContain('runner/reaper-main.ts');
    for (const file of programs) expect(files).toContain(`dist/${file.replace(/\.ts$/, '.js')}`);
  });

  test('names the same builder as the checkout it was made from', async () => {
    const { builder } = JSON.parse(await readFile(join(root, 'dist/package.json'), 'utf8')) as { builder: string };
    expect(builder).toBe(await builderDigest());
  });

  test('brings the licence of each package whose code it holds', async () => {
    const licences = await readFile(join(root, 'dist/THIRD-PARTY-LICENSES'), 'utf8');
    for (const name of ['commander', 'zod']) expect(licences).toMatch(RegExp(`^${name} \\d`, 'm'));
  });

  test('starts by its name', async () => {
    expect((await stat(bin)).mode & 0o111).toBe(0o111);
    expect(await readFile(bin, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    expect((await call(['--version'])).stdout.trim()).toBe(version);
  });

  test('--help names the commands', async () => {
    const { stdout } = await call(['--help']);
    for (const command of ['lock', 'build', 'sign', 'verify', 'run'])
      expect(stdout).toMatch(RegExp(`^\\s+${command}\\b`, 'm'));
  });

  test('tells clients to start it from where it is installed', async () => {
    await call(['add', 'npm:@modelcontextprotocol/server-memory', '--name', 'memory']);
    const { stdout } = await call(['export', 'claude', '--json']);
    const { servers } = JSON.parse(stdout) as { servers: readonly { command: string; args: readonly string[] }[] };
    const [command = '', script = ''] = [servers[0]?.command, servers[0]?.args[0]];
    // From another folder and without a PATH, as a graphical client does.
    const started = await run(command, [script, '--version'], { cwd: '/', env: { HOME: folder } });
    expect(started.stdout).toBe((await call(['--version'])).stdout);
  });

  test('locks a real server', async () => {
    const { stdout } = await call(['lock', 'npm:@modelcontextprotocol/server-memory', '--json']);
    const { name, packages } = JSON.parse(stdout) as { name: string; packages: number };
    expect(name).toBe('server-memory');
    expect(packages).toBeGreaterThan(10);
    expect((await readdir(join(folder, 'lockfiles/server-memory'))).sort()).toEqual([
      'image.lock.json',
      'package-lock.json',
      'package.json',
    ]);
  });
});

describe('.ci/pack', () => {
  test('refuses a tag of another version, and a version that the changelog is silent about', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    const folder = await mkdtemp(join(tmpdir(), 'mcp-build-release-'));
    const pack = (tag: string) => run(join(root, '.ci/pack'), [tag, folder], { cwd: root });
    await expect(pack('v999.0.0')).rejects.toMatchObject({ code: 1 });
    const changelog = await readFile(join(root, 'CHANGELOG.md'), 'utf8');
    const known = changelog.includes(`\n## [${version}]`);
    if (known) expect((await pack(`v${version}`)).stdout).toMatch(/^name=.*\nversion=.*\nsha256=[0-9a-f]{64}\n$/);
    else await expect(pack(`v${version}`)).rejects.toMatchObject({ code: 1 });
    expect(await readdir(folder)).toEqual(known ? [`mcp-build-${version}.tgz`] : []);
    await rm(folder, { recursive: true });
  });
});

interface PackResult {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}
