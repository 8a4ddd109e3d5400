import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { childEnvironment, cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';

const exec = promisify(execFile);
const NAME = 'server-memory';

interface Result {
  readonly index: string;
}

/** What surrounds a build and must not show in it. Byte-code has a test of its own. */
describeWith([], 'an image of a real server is the same', () => {
  let place: Workplace;
  let folder: string;
  let index: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-nodes-'));
    place = await workplace();
    await cliDone(['lock', `npm:@modelcontextprotocol/${NAME}`], place);
    index = (await cliDone(['build', NAME, '--json'], place)).json<Result>().index;
  });

  afterAll(async () => {
    await place?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function elsewhere(cwd: string): Promise<void> {
    await mkdir(join(cwd, 'lockfiles'), { recursive: true });
    await cp(join(place.cwd, 'lockfiles', NAME), join(cwd, 'lockfiles', NAME), { recursive: true });
  }

  test.each([
    ['another folder, zone, locale and mask', { TZ: 'America/St_Johns', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR' }, 0o077],
    ['the C locale and no mask at all', { TZ: 'UTC', LC_ALL: 'C', LANG: undefined }, 0],
    ['a clock that runs elsewhere', { TZ: 'Pacific/Kiritimati', SOURCE_DATE_EPOCH: '86400' }, 0o022],
    [
      'other switches of Node',
      { NODE_OPTIONS: '--max-old-space-size=512 --no-warnings', UV_THREADPOOL_SIZE: '1' },
      0o022,
    ],
  ])('with %s', async (_, env, mask) => {
    await using other = await workplace();
    const cwd = join(other.cwd, 'größe, с пробелом');
    await elsewhere(cwd);
    const before = process.umask(mask);
    try {
      const built = await cliDone(['build', NAME, '--locked', '--json'], { cwd, env: { ...other.env, ...env } });
      expect(built.json<Result>().index).toBe(index);
    } finally {
      process.umask(before);
    }
  });

  test('with nothing in any cache', async () => {
    await using other = await workplace('cold');
    await elsewhere(other.cwd);
    expect((await cliDone(['build', NAME, '--locked', '--json'], other)).json<Result>().index).toBe(index);
  });

  test.each(['22', '24', '26'])('by Node %s', async (version) => {
    const arch = process.arch;
    const root = join(folder, version);
    const package_ = `node-linux-${arch}@${version}`;
    await exec('npm', ['install', '--prefix', root, '--ignore-scripts', '--no-save', '--no-audit', package_], {
      env: childEnvironment(),
    });
    await using other = await workplace();
    await elsewhere(other.cwd);
    const node = join(root, 'node_modules', `node-linux-${arch}`, 'bin/node');
    const { stdout: said } = await exec(node, ['--version']);
    expect(said.startsWith(`v${version}.`)).toBe(true);
    const { stdout } = await exec(node, [MAIN, 'build', NAME, '--locked', '--json', '--no-layer-cache'], {
      cwd: other.cwd,
      env: childEnvironment(other.env),
    });
    expect((JSON.parse(stdout) as Result).index).toBe(index);
  });
});
