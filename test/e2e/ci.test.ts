import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { SIGSTORE_NEEDS, type Sigstore, startSigstore } from '../fakes/sigstore.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { childEnvironment, cli, cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { withClient } from './harness/clients.ts';
import { describeWith } from './harness/needs.ts';
import { root } from './harness/tree.ts';
import { execute, type Runner, runAction, runJob } from './harness/workflow.ts';
import { type Server, startDockerRegistry } from './registry-servers.ts';

const REPOSITORY = 'acme/servers';
const WORKFLOW = '.github/workflows/publish.yml';
const REF = 'refs/heads/main';
const SHA = '0123456789abcdef0123456789abcdef01234567';
const CLAIMS = { repository: REPOSITORY, repositoryId: '101', ownerId: '7', workflow: WORKFLOW, ref: REF };

interface Locked {
  readonly source: { readonly version: string };
  readonly tools?: string;
}

describeWith(['docker', 'docker-registry', 'git', ...SIGSTORE_NEEDS], 'CI', () => {
  let docker: Dockerd;
  let place: Workplace;
  let registry: Server;
  let sigstore: Sigstore;
  let tokens: http.Server;
  /** How often a job asked for its identity. */
  let asked = 0;
  /** A team's repository, with a server of the reference catalogue. */
  let repository: string;
  let policy: string;

  beforeAll(async () => {
    docker = await testDocker();
    place = await workplace();
    registry = await startDockerRegistry(join(place.home, 'registry'));
    sigstore = await startSigstore(join(place.home, 'sigstore'));
    // As GitHub answers ACTIONS_ID_TOKEN_REQUEST_URL.
    tokens = http.createServer((request, response) => {
      asked += 1;
      const right =
        request.headers.authorization?.toLowerCase() === 'bearer of-this-job' &&
        request.url?.includes('audience=sigstore');
      response.writeHead(right ? 200 : 401, { 'content-type': 'application/json' });
      response.end(JSON.stringify(right ? { value: sigstore.issuer.ciToken(CLAIMS) } : {}));
    });
    await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));

    policy = policyText(REPOSITORY);
    repository = join(place.cwd, 'servers');
    await mkdir(join(repository, 'lockfiles'), { recursive: true });
    cpSync(join(root, 'lockfiles/time'), join(repository, 'lockfiles/time'), { recursive: true });
    await writeFile(join(repository, 'policy.yaml'), policy);
    await writeFile(
      join(repository, 'mcp-build.yaml'),
      `version: 1\nregistry: \${MCP_BUILD_REGISTRY}\npolicy: policy.yaml\nservers:\n  time:\n    source: pypi:mcp-server-time\n    args: [--local-timezone=UTC]\n`,
    );
  });

  afterAll(async () => {
    tokens?.close();
    await sigstore?.stop();
    await registry?.[Symbol.asyncDispose]();
    await place?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  function policyText(of: string): string {
    return `version: 1
identities:
  servers:
    issuer: ${sigstore.issuer.ciUrl}
    identity: https://github.com/${REPOSITORY}/${WORKFLOW}@${REF}
    root: ${sigstore.trustedRoot}
    repository: https://github.com/${of}
    ref: ${REF}
    runner: github-hosted
rules:
  - name: our servers
    images: ["${registry.host}/**"]
    signatures: {by: [servers]}
    require:
      - {predicate: provenance, by: [servers]}
      - {predicate: server, by: [servers]}
`;
  }

  /** What a machine has that a job runs on: no home of anybody, no token, nothing of this process but how it reaches the indexes. */
  async function machine(
    name: string,
    extra: Readonly<Record<string, string>>,
  ): Promise<Readonly<Record<string, string>>> {
    const home = join(place.cwd, '..', `machine-${name}`);
    await mkdir(home, { recursive: true });
    const own = childEnvironment({});
    const kept = Object.entries(own).filter(([key]) =>
      /^(?:npm_config_|PIP_|UV_|SSL_|NODE_EXTRA|https?_proxy|no_proxy|MCP_BUILD_(?:DEBIAN|IMAGES|BASE))/i.test(key),
    );
    const state = join(home, 'state');
    await mkdir(state, { recursive: true });
    execFileSync('ln', ['-sfn', join(place.home, 'cache'), join(state, 'cache')]);
    for (const file of ['.npmrc', '.config/pip', '.config/uv']) {
      try {
        cpSync(join(process.env.HOME ?? '/', file), join(home, file), { recursive: true });
      } catch {
        // Not configured there.
      }
    }
    return {
      ...Object.fromEntries(kept),
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: home,
      LANG: 'C.UTF-8',
      CI: 'true',
      NO_PROXY: '127.0.0.1,localhost',
      MCP_BUILD_HOME: state,
      MCP_BUILD_REGISTRY: `${registry.host}/mcp`,
      ...extra,
    };
  }

  const GITHUB = {
    GITHUB_ACTIONS: 'true',
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_REPOSITORY: REPOSITORY,
    GITHUB_REPOSITORY_ID: '101',
    GITHUB_REPOSITORY_OWNER_ID: '7',
    GITHUB_WORKFLOW_REF: `${REPOSITORY}/${WORKFLOW}@${REF}`,
    GITHUB_EVENT_NAME: 'push',
    GITHUB_REF: REF,
    GITHUB_SHA: SHA,
    GITHUB_RUN_ID: '1',
    GITHUB_RUN_ATTEMPT: '1',
    RUNNER_ENVIRONMENT: 'github-hosted',
  };

  async function runner(name: string, extra: Readonly<Record<string, string>>): Promise<Runner> {
    return {
      workspace: repository,
      temp: join(place.cwd, '..', `temp-${name}`),
      env: await machine(name, { ...GITHUB, ...extra }),
      secrets: {},
      github: { repository: REPOSITORY, token: '' },
    };
  }

  const identity = () => ({
    ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token?api=1`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-this-job',
  });

  async function tags(name: string): Promise<readonly string[]> {
    const answer = await fetch(`http://${registry.host}/v2/mcp/${name}/tags/list`);
    return answer.ok ? (((await answer.json()) as { tags: readonly string[] | null }).tags ?? []) : [];
  }

  const lockedVersion = (): string =>
    (JSON.parse(readFileSync(join(repository, 'lockfiles/time/image.lock.json'), 'utf8')) as Locked).source.version;

  let strangers = 0;
  /** An image starts on a machine that has nothing but one policy, and on none that has another. */
  async function startsFor(image: string, accepting: string, ...refusing: readonly string[]): Promise<void> {
    // Each on a machine of its own: whoever has fetched the same image under another name has that one's signatures, too.
    const stranger = async (text: string) => {
      strangers += 1;
      const env = await machine(`stranger${strangers}`, { DOCKER_HOST: docker.host });
      await mkdir(join(env.HOME ?? '', '.config/mcp-build'), { recursive: true });
      await writeFile(join(env.HOME ?? '', '.config/mcp-build/policy.yaml'), text);
      return { ...env, XDG_CONFIG_HOME: join(env.HOME ?? '', '.config') };
    };
    const env = await stranger(accepting);
    const tools = await withClient(
      'sdk 1.x',
      { command: process.execPath, args: [MAIN, 'run', image, '--', '--local-timezone=UTC'], cwd: '/', env },
      (session) => session.tools(),
    );
    expect(tools.map(({ name }) => name)).toContain('get_current_time');
    for (const text of refusing) {
      const refused = await cli(['run', image], { cwd: '/', env: await stranger(text) });
      expect(refused.code, `${text}\n${refused.stderr}`).toBe(3);
    }
  }

  test('GitHub: the job that starts packages changes nothing, and has no identity to ask for', async () => {
    const on = await runner('check', { DOCKER_HOST: docker.host });
    const printed = await runJob('publish.yml', 'check', {}, on);
    expect(printed).toMatch(/time .*would/i);
    expect(asked).toBe(0);
    expect(await tags('time')).toEqual([]);
    expect(await readFile(join(on.temp, 'summary.md'), 'utf8')).toContain('time');
  });

  test('GitHub: the job that signs starts nothing, and tags what verifies', async () => {
    // No Docker on that machine: had it to start anything, it would fail.
    const on = await runner('sign', { ...identity(), DOCKER_HOST: 'unix:///nonexistent/docker.sock' });
    await runJob('publish.yml', 'sign', { 'signing-config': sigstore.signingConfig }, on);
    expect(asked).toBeGreaterThan(0);
    expect((await tags('time')).filter((tag) => !tag.startsWith('sha256-')).length).toBeGreaterThan(1);
  });

  test('a stranger whose policy names that identity can start it, and one who names another repository cannot', async () => {
    await startsFor(`${registry.host}/mcp/time:${lockedVersion()}`, policy, policyText('mallory/servers'));
  });

  test('the action that verifies says the same', async () => {
    const on = await runner('verify', {});
    const bin = join(on.temp, 'bin');
    await mkdir(bin, { recursive: true });
    await writeFile(join(bin, 'mcp-build'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
    await chmod(join(bin, 'mcp-build'), 0o755);
    const with_ = { ...on, env: { ...on.env, PATH: `${bin}:${on.env.PATH}` } };
    const image = `${registry.host}/mcp/time:${lockedVersion()}`;
    expect(await runAction('verify', { image, policy: join(repository, 'policy.yaml') }, with_)).toContain('verified');
    await writeFile(join(on.temp, 'other.yaml'), policyText('mallory/servers'));
    await expect(runAction('verify', { image, policy: join(on.temp, 'other.yaml') }, with_)).rejects.toThrow(
      /ended with 3/,
    );
  });

  test('GitLab: the script of docs/ci.md publishes what its policy lets a stranger start, and no other', async () => {
    const page = await readFile(join(root, 'docs/ci.md'), 'utf8');
    const fileOf = (name: string) =>
      page
        .split('```')
        .find((block) => block.startsWith(`yaml\n# ${name}\n`))!
        .slice(5);
    const pipeline = parse(fileOf('.gitlab-ci.yml')) as Record<string, { script: readonly string[] }>;
    const images = `${registry.host}/gitlab`;
    const gitlabPolicy = [
      ['issuer: https://gitlab.com', `issuer: ${sigstore.issuer.gitlabUrl}`],
      ['root: public-good', `root: ${sigstore.trustedRoot}`],
      ['registry.example.com/acme/servers', images],
    ].reduce((text, [public_ = '', own = '']) => {
      expect(text).toContain(public_);
      return text.replaceAll(public_, own);
    }, fileOf('policy.yaml'));
    const project = join(place.cwd, 'gitlab');
    cpSync(repository, project, { recursive: true });
    await writeFile(join(project, 'policy.yaml'), gitlabPolicy);
    const bin = join(place.cwd, '..', 'gitlab-bin');
    await mkdir(bin, { recursive: true });
    await writeFile(join(bin, 'mcp-build'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@" ${'$'}EXTRA\n`);
    await chmod(join(bin, 'mcp-build'), 0o755);
    // The machine of an earlier job, to build nothing twice.
    const env = await machine('check', {
      GITLAB_CI: 'true',
      CI_SERVER_URL: 'https://gitlab.com',
      CI_PROJECT_PATH: REPOSITORY,
      CI_PROJECT_URL: `https://gitlab.com/${REPOSITORY}`,
      CI_COMMIT_SHA: SHA,
      CI_COMMIT_BRANCH: 'main',
      CI_DEFAULT_BRANCH: 'main',
      CI_JOB_ID: '1',
      CI_JOB_URL: `https://gitlab.com/${REPOSITORY}/-/jobs/1`,
      CI_PIPELINE_ID: '1',
      CI_REGISTRY_IMAGE: images,
      SIGSTORE_ID_TOKEN: sigstore.issuer.gitlabToken({ project: REPOSITORY, branch: 'main' }),
      EXTRA: '',
    });
    const script = async (job: string, extra: Readonly<Record<string, string>>) => {
      // The registry of this test asks for no password.
      const lines = (pipeline[job]?.script ?? []).filter((line) => !line.includes('mcp-build login'));
      expect(lines.length).toBeGreaterThan(0);
      return execute('bash', ['-eo', 'pipefail', '-c', lines.join('\n')], project, {
        ...env,
        PATH: `${bin}:${env.PATH}`,
        ...extra,
      });
    };
    const { SIGSTORE_ID_TOKEN: _none, ...unprivileged } = env;
    const check = await execute(
      'bash',
      ['-eo', 'pipefail', '-c', (pipeline['check-servers']?.script ?? []).join('\n')],
      project,
      {
        ...unprivileged,
        PATH: `${bin}:${env.PATH}`,
        DOCKER_HOST: docker.host,
      },
    );
    expect(check.code, check.printed).toBe(0);
    const publish = await script('publish-servers', { EXTRA: `--signing-config ${sigstore.signingConfig}` });
    expect(publish.code, publish.printed).toBe(0);
    // The same lock gave the same image to both, so it is the signatures that differ.
    const image = `${images}/time:${lockedVersion()}`;
    await startsFor(image, gitlabPolicy, policy, gitlabPolicy.replaceAll('acme/', 'mallory/'));
  });

  test('GitHub: the scheduled job opens a pull request with the newer version, on a branch of its own', async () => {
    const team = join(place.cwd, 'updating');
    const remote = join(place.cwd, 'origin.git');
    const gh = join(place.cwd, '..', 'gh');
    await mkdir(join(gh, 'bin'), { recursive: true });
    // GitHub's own program, as far as a pull request needs it; which token it was given is all that it knows of the job.
    await writeFile(
      join(gh, 'bin', 'gh'),
      `#!/bin/sh\nprintf '%s\\n' "$GH_TOKEN $*" >>'${gh}/calls'\n[ "$2" != list ] || echo 0\nfor word; do last=$word; done\n[ "$2" != create ] || cp "$last" '${gh}/body.md'\n`,
    );
    await chmod(join(gh, 'bin', 'gh'), 0o755);
    await mkdir(team);
    await writeFile(
      join(team, 'mcp-build.yaml'),
      'version: 1\nservers:\n  time:\n    source: pypi:mcp-server-time\n    args: [--local-timezone=UTC]\n',
    );
    // What a team has that locked some months ago.
    await cliDone(['lock', 'pypi:mcp-server-time', '--name', 'time', '--release-age', '100'], {
      cwd: team,
      env: { ...place.env, DOCKER_HOST: docker.host },
    });
    const git = (...words: readonly string[]) =>
      execFileSync('git', ['-c', 'user.name=team', '-c', 'user.email=team@example.com', ...words], { cwd: team })
        .toString()
        .trim();
    execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', remote]);
    git('init', '--quiet', '--initial-branch=main');
    git('add', '.');
    git('commit', '--quiet', '--message', 'Allow time');
    git('remote', 'add', 'origin', remote);
    git('push', '--quiet', 'origin', 'main');

    const base = await runner('update', { DOCKER_HOST: docker.host, GITHUB_EVENT_NAME: 'schedule' });
    await runJob(
      'update.yml',
      'update',
      {},
      {
        ...base,
        workspace: team,
        env: { ...base.env, PATH: `${join(gh, 'bin')}:${base.env.PATH}` },
        github: { repository: REPOSITORY, token: 'token-of-this-job' },
      },
    );

    const before = JSON.parse(git('show', 'origin/main:lockfiles/time/image.lock.json')) as Locked;
    git('fetch', '--quiet', 'origin');
    const after = JSON.parse(git('show', 'origin/mcp-build/update:lockfiles/time/image.lock.json')) as Locked;
    const versions = [before, after].map(({ source }) => source.version);
    expect(versions).toEqual(versions.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })));
    expect(new Set(versions).size).toBe(2);
    // Tried, as the job says: what it offers is recorded with it.
    expect(after.tools).toMatch(/^sha256:/);
    expect(git('rev-parse', 'origin/mcp-build/update~1')).toBe(git('rev-parse', 'origin/main'));
    const calls = (await readFile(join(gh, 'calls'), 'utf8')).trim().split('\n');
    expect(calls).toHaveLength(2);
    expect(calls[1]).toMatch(/^token-of-this-job pr create --base main --head mcp-build\/update /);
    const body = await readFile(join(gh, 'body.md'), 'utf8');
    expect(body).toContain(after.source.version);
    expect(body).toContain('mcp-server-time');
  });
});
