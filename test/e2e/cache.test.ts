import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import { childEnvironment, cli, cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';

const exec = promisify(execFile);
const NAME = 'server-memory';
const ARGS = ['build', NAME, '--platform', 'linux/amd64', '--json'];

interface Result {
  readonly manifests: Readonly<Record<string, string>>;
}

/** Whatever happens to a build, the next one gives the same image and nothing half-written is ever taken for whole. */
describeWith([], 'what builds leave behind', () => {
  let place: Workplace;
  let expected: unknown;

  beforeAll(async () => {
    place = await workplace('cold');
    await cliDone(['lock', `npm:@modelcontextprotocol/${NAME}`], place);
    expected = (await cliDone(ARGS, place)).json<Result>().manifests;
  });

  afterAll(() => place?.[Symbol.asyncDispose]());

  /** With this one's downloads, in a cache of its own, and nothing built. */
  async function another(): Promise<Workplace> {
    const other = await workplace('cold');
    await mkdir(join(other.cwd, 'lockfiles'), { recursive: true });
    await cp(join(place.cwd, 'lockfiles'), join(other.cwd, 'lockfiles'), { recursive: true });
    await cp(join(place.home, 'cache', 'artifacts'), join(other.home, 'cache', 'artifacts'), { recursive: true });
    return other;
  }

  test('is usable when it was killed at any moment', async () => {
    await using other = await another();
    // From the first file to the last tag; each goes on from where the one before was killed.
    for (let after = 100; after <= 1500; after += 200) {
      const child = spawn(process.execPath, [MAIN, ...ARGS], {
        cwd: other.cwd,
        env: childEnvironment(other.env),
        stdio: 'ignore',
      });
      const end = once(child, 'close');
      await Promise.race([sleep(after), end]);
      child.kill('SIGKILL');
      await end;
    }
    const built = await cliDone(ARGS, other);
    expect(built.json<Result>().manifests).toEqual(expected);
    // And what it left in the store is whole: what is there by its name has the bytes of that name.
    const blobs = join(other.home, 'store', 'blobs', 'sha256');
    for (const name of await readdir(blobs))
      if (/^[0-9a-f]{64}$/.test(name)) expect(sha256(await readFile(join(blobs, name)))).toBe(`sha256:${name}`);
  });

  test('heals where a byte of it rots', async () => {
    await using other = await another();
    const files = (await readdir(join(other.home, 'cache', 'artifacts'), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.length).toBeGreaterThan(50);
    for (const path of files.filter((_, at) => at % 10 === 0)) {
      const { size } = await stat(path);
      const file = await open(path, 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, size >> 1);
      await file.write(Buffer.of(byte[0]! ^ 1), 0, 1, size >> 1);
      await file.close();
    }
    expect((await cliDone(ARGS, other)).json<Result>().manifests).toEqual(expected);
  });

  test('serves ten builds at once', async () => {
    await using other = await another();
    // Two from nothing, the others of the server alone: ten times the base would only take long.
    const cold = await Promise.all([cliDone(ARGS, other), cliDone(ARGS, other)]);
    const warm = await Promise.all(
      Array.from({ length: 10 }, (_, at) => cliDone(at % 2 ? ARGS : [...ARGS, '--no-layer-cache'], other)),
    );
    for (const built of [...cold, ...warm]) expect(built.json<Result>().manifests).toEqual(expected);
  });

  test('is rebuilt where it was emptied', async () => {
    await using other = await another();
    await cliDone(ARGS, other);
    await rm(join(other.home, 'cache', 'layers'), { recursive: true });
    expect((await cliDone(ARGS, other)).json<Result>().manifests).toEqual(expected);
  });

  describeWith(['root', 'unshare', 'mount'], 'on a full disk', () => {
    test('is said to be full, and goes on when there is room again', async () => {
      await using other = await another();
      const words = [process.execPath, MAIN, ...ARGS];
      // The store, but not the downloads, on 20 MB: a layer is cut off in its middle.
      const script = [
        'mkdir -p "$1/store" && mount -t tmpfs -o size=20m none "$1/store" && shift',
        '"$@" && exit 90',
        'code=$?; [ "$(find "$MCP_BUILD_HOME/store" -type f -size +1M | wc -l)" -le 1 ] || exit 91',
        'mount -o remount,size=400m "$MCP_BUILD_HOME/store" && "$@" || exit 92',
        'exit $code',
      ].join('\n');
      const run = exec('unshare', ['-m', 'sh', '-c', script, 'sh', other.home, ...words], {
        cwd: other.cwd,
        env: childEnvironment(other.env),
      });
      const result = await run.then(
        () => ({ code: 0, stdout: '', stderr: '' }),
        (error: { code: number; stdout: string; stderr: string }) => error,
      );
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/ENOSPC|no space|full/i);
      expect((JSON.parse(result.stdout) as Result).manifests).toEqual(expected);
    });
  });

  test('does not hide that a lock is of another platform', async () => {
    const result = await cli(['build', NAME, '--platform', 'linux/riscv64'], place);
    expect(result.code).toBe(2);
  });
});
