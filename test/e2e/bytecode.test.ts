import { execFile } from 'node:child_process';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseLock } from '../../builders/index.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { cliDone, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';

const exec = promisify(execFile);
const NAME = 'mcp-server-time';
const onLinux = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch) ? [] : ['linux'];

interface BuildResult {
  readonly index: string;
  readonly layers: readonly { readonly platform: string; readonly name: string; readonly diffId: string }[];
}

describeWith(onLinux, 'byte-code of a real server', () => {
  let place: Workplace;
  let first: BuildResult;

  beforeAll(async () => {
    place = await workplace();
    await cliDone(['lock', `pypi:${NAME}`], place);
    first = (await cliDone(['build', NAME, '--json'], place)).json<BuildResult>();
  });

  afterAll(() => place?.[Symbol.asyncDispose]());

  test('is the same from another folder, time zone, locale and mask, and with nothing built before', async () => {
    await using other = await workplace();
    const cwd = join(other.cwd, 'größer, and with spaces');
    await mkdir(join(cwd, 'lockfiles'), { recursive: true });
    await cp(join(place.cwd, 'lockfiles', NAME), join(cwd, 'lockfiles', NAME), { recursive: true });
    const env = { ...other.env, TZ: 'Pacific/Chatham', LC_ALL: 'tr_TR.UTF-8', PYTHONHASHSEED: '7', PYTHONPATH: '/tmp' };
    const before = process.umask(0o077);
    try {
      const again = (await cliDone(['build', NAME, '--locked', '--json'], { cwd, env })).json<BuildResult>();
      expect(again.index).toBe(first.index);
    } finally {
      process.umask(before);
    }
  });

  test('is the same on both platforms, wherever the sources are', () => {
    const of = (platform: string, name: string) =>
      first.layers.find((layer) => layer.platform === platform && layer.name === name)?.diffId;
    for (const name of ['base-bytecode', 'server-bytecode']) {
      expect(of('linux/amd64', name)).toBeDefined();
      expect(of('linux/arm64', name)).toBe(of('linux/amd64', name));
    }
  });

  test('is reproduced', async () => {
    const { stdout } = await cliDone(['reproduce', NAME], place);
    expect(stdout).toContain(first.index);
  });

  // A home on a file system that nothing may be started from, as hardened machines have.
  describeWith(['root', 'unshare', 'mount'], 'on a machine that may not start the interpreter', () => {
    test('is refused, and no other image is made', async () => {
      await using other = await workplace('cold');
      const cwd = other.cwd;
      await mkdir(join(cwd, 'lockfiles'), { recursive: true });
      await cp(join(place.cwd, 'lockfiles', NAME), join(cwd, 'lockfiles', NAME), { recursive: true });
      const mounted = async (...args: readonly string[]) => {
        const script = 'mount -t tmpfs -o noexec,size=300m none "$1" && mkdir -p "$1/cache" && shift && exec "$@"';
        const words = [process.execPath, join(import.meta.dirname, '../../cli/main.ts'), ...args];
        const env = { ...process.env, ...other.env };
        return exec('unshare', ['-m', 'sh', '-c', script, 'sh', other.home, ...words], { cwd, env }).then(
          () => ({ code: 0, stderr: '' }),
          (error: { code: number; stderr: string }) => error,
        );
      };
      const refused = await mounted('build', NAME, '--platform', 'linux/amd64', '--json');
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('bytecode-unavailable');
    });
  });
});

describeWith(['docker', 'skopeo'], 'a container with byte-code', () => {
  let place: Workplace;
  let daemon: Dockerd;

  beforeAll(async () => {
    place = await workplace();
    daemon = await testDocker();
    await cliDone(['lock', `pypi:${NAME}`, '--platform', 'linux/amd64'], place);
    await cliDone(['build', NAME, '--output', 'docker-archive:image.tar'], place);
    await docker('load', '--input', join(place.cwd, 'image.tar'));
  });

  afterAll(async () => {
    await daemon?.stop();
    await place?.[Symbol.asyncDispose]();
  });

  async function docker(...args: readonly string[]) {
    return exec('docker', [...args], { env: { ...process.env, DOCKER_HOST: daemon.host }, maxBuffer: 64 << 20 });
  }

  async function image(): Promise<string> {
    const { stdout } = await docker('images', '--format', '{{.Repository}}:{{.Tag}}', '--filter', `reference=${NAME}`);
    return stdout.trim().split('\n')[0]!;
  }

  test.runIf(process.arch === 'x64')('loads every module of the server from it, and writes none', async () => {
    const run = ['run', '--name', 'bytecode', '--entrypoint', '/usr/bin/python3.13', await image()];
    const { stderr } = await docker(...run, '-v', '-c', 'import mcp_server_time.server, ssl, asyncio');
    const compiled = stderr.split('\n').flatMap((line) => /^# code object from '([^']+\.py)'$/.exec(line)?.[1] ?? []);
    const loaded = stderr.split('\n').filter((line) => /^# code object from '[^']+\.pyc'$/.test(line));
    expect(loaded.length).toBeGreaterThan(300);
    // What isn't worth its bytes is compiled when it is needed; a start needs little of it.
    expect(compiled.filter((path) => path.startsWith('/usr/local/'))).toEqual([]);
    expect(compiled.length).toBeLessThan(8);
    const { stdout } = await docker('diff', 'bytecode');
    expect(stdout).not.toContain('.pyc');
    await docker('rm', 'bytecode');
  });

  test.runIf(process.arch === 'x64')('is what the interpreter in the image would have made itself', async () => {
    const file = join(place.cwd, 'lockfiles', NAME, 'image.lock.json');
    const lock = parseLock(await readFile(file, 'utf8'), file);
    expect(lock.platforms['linux/amd64']?.layers.map(({ name }) => name)).toContain('dependencies-bytecode');
    const script = [
      'import importlib.util, pathlib, py_compile, sys',
      'bad = seen = 0',
      'for source in pathlib.Path("/usr/local/lib/python3.13/dist-packages").rglob("*.py"):',
      '    cached = pathlib.Path(importlib.util.cache_from_source(source))',
      '    if not cached.exists(): continue',
      '    seen += 1',
      '    loader = importlib.machinery.SourcelessFileLoader("m", str(cached))',
      '    ours, theirs = loader.get_code("m"), compile(source.read_bytes(), str(source), "exec", dont_inherit=True)',
      '    bad += ours != theirs',
      'print(seen, bad)',
    ].join('\n');
    // Byte-code has lines and no columns, as documented.
    const options = ['-X', 'no_debug_ranges', '-c', script];
    const { stdout } = await docker('run', '--rm', '--entrypoint', '/usr/bin/python3.13', await image(), ...options);
    const [seen, bad] = stdout.trim().split(' ').map(Number);
    expect(seen).toBeGreaterThan(300);
    expect(bad).toBe(0);
  });
});
