import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { parseLock } from '../../builders/index.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { withClient } from './harness/clients.ts';
import { describeWith } from './harness/needs.ts';

const NAME = 'mcp-server-git';

interface Answer {
  readonly isError?: boolean;
  readonly content: readonly { readonly text: string }[];
}

describeWith(['docker', 'git'], 'a server that starts git, which its base lacks', () => {
  let docker: Dockerd;
  let place: Workplace;
  let repository: string;

  beforeAll(async () => {
    docker = await testDocker();
    place = await workplace();
    await cliDone(['init'], place);
    await cliDone(['lock', `pypi:${NAME}`, '--system', 'git', '--platform', 'host'], place);
    await cliDone(['build', NAME], place);
    await cliDone(['sign', NAME], place);
  });

  afterAll(async () => {
    await place?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  beforeEach(async () => {
    repository = await mkdtemp(join(tmpdir(), 'mcp-build-repository-'));
    git('init', '--quiet', '--initial-branch', 'main');
    git('config', 'user.name', 'Ada');
    git('config', 'user.email', 'ada@example.test');
    await writeFile(join(repository, 'notes.txt'), 'one\n');
    git('add', 'notes.txt');
    git('commit', '--quiet', '--message', 'first');
    return () => rm(repository, { recursive: true, force: true });
  });

  function git(...args: readonly string[]): string {
    // Neither the machine's configuration nor the owner of the folder has a say.
    const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
    const argv = ['-C', repository, '-c', 'user.name=Ada', '-c', 'user.email=ada@example.test', ...args];
    const safe = { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' };
    return execFileSync('git', argv, { encoding: 'utf8', env: { ...env, ...safe } });
  }

  function ownedBy(uid: number): void {
    // A container never runs as root: where root runs the tests, the folder is some user's, as it would be on a real machine.
    if (process.getuid?.() === 0) execFileSync('chown', ['--recursive', `${uid}:${uid}`, repository]);
  }

  /** Calls tools one after another in one session, and gives what each said. */
  function call(
    flags: readonly string[],
    ...calls: readonly (readonly [string, Readonly<Record<string, unknown>>?])[]
  ): Promise<readonly Answer[]> {
    const args = [MAIN, 'run', NAME, ...flags, '--', '--repository', repository];
    const env = { ...place.env, DOCKER_HOST: docker.host };
    return withClient('sdk 2.x', { command: process.execPath, args, cwd: place.cwd, env }, async (session) => {
      const answers: Answer[] = [];
      for (const [tool, given] of calls)
        answers.push((await session.call(tool, { repo_path: repository, ...given })) as Answer);
      return answers;
    });
  }

  const texts = (answers: readonly Answer[]) => answers.map(({ content }) => content.map(({ text }) => text).join());

  test('is locked with what git needs in a layer of its own, without shell or interpreter', async () => {
    const file = join(place.cwd, 'lockfiles', NAME, 'image.lock.json');
    const lock = parseLock(await readFile(file, 'utf8'), file);
    expect(lock.system).toEqual(['git']);
    const [platform] = Object.values(lock.platforms);
    const layers = platform?.layers.filter(({ name }) => !name.endsWith('-bytecode')) ?? [];
    expect(layers.map(({ name }) => name)).toEqual(['base', 'system', 'dependencies', 'server']);
    const names = layers[1]!.files.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['git', 'libpcre2-8-0', 'libcurl3t64-gnutls']));
    expect(names.filter((name) => /^(?:perl|dash|bash|coreutils|libc6|zlib1g$)/.test(name))).toEqual([]);
  });

  test('offers its tools', async () => {
    const tested = await cliDone(['test', NAME, '--json'], {
      ...place,
      env: { ...place.env, DOCKER_HOST: docker.host },
    });
    expect(tested.json<{ tools: readonly string[] }>().tools).toEqual(
      expect.arrayContaining(['git_status', 'git_commit', 'git_log']),
    );
  });

  test('works in a repository it was given', async () => {
    await writeFile(join(repository, 'notes.txt'), 'one\ntwo\n');
    ownedBy(1000);
    const answers = await call(
      ['--volume', `${repository}:rw`],
      ['git_status'],
      ['git_diff_unstaged'],
      ['git_add', { files: ['notes.txt'] }],
      ['git_commit', { message: 'second' }],
      ['git_create_branch', { branch_name: 'topic' }],
      ['git_checkout', { branch_name: 'topic' }],
      ['git_log'],
    );
    expect(answers.filter(({ isError }) => isError)).toEqual([]);
    const said = texts(answers);
    expect(said[0]).toContain('modified:   notes.txt');
    expect(said[1]).toContain('+two');
    expect(said[6]).toMatch(/second[\s\S]*first/);
    expect(git('log', '--format=%an <%ae> %s')).toBe('Ada <ada@example.test> second\nAda <ada@example.test> first\n');
    expect(git('branch', '--show-current')).toBe('topic\n');
    expect(git('status', '--porcelain')).toBe('');
  });

  test('reads a repository that someone else owns, and writes nothing to one it may only read', async () => {
    ownedBy(1234);
    const other = ['--volume', repository, '--env', 'GIT_OPTIONAL_LOCKS=0'];
    const [status, commit] = await call(other, ['git_status'], ['git_commit', { message: 'no' }]);
    expect(texts([status!])[0]).toContain('nothing to commit');
    expect(commit?.isError).toBe(true);
    expect(git('log', '--format=%s')).toBe('first\n');
  });
});
