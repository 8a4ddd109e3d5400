import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRemote } from '../../registry/index.ts';
import { assess, gather, loadPolicy } from '../../trust/index.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { childEnvironment, cli, cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';
import { countingProxy, type Server, startDockerRegistry, startReferrersRegistry } from './registry-servers.ts';

/** How often a publish is killed and run again. The full proof is a hundred; each takes some seconds. */
const KILLS = Number(process.env.MCP_BUILD_TEST_KILLS ?? 3);
const SERVERS = ['memory', 'time'] as const;
const HELLO = `${JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
})}\n`;

interface Result {
  readonly servers: readonly {
    readonly name: string;
    readonly status: string;
    readonly digest: string;
    readonly tags: readonly string[];
    readonly test: unknown;
  }[];
}

describeWith(['docker', 'docker-registry', 'go'], 'publishing two real servers', () => {
  let docker: Dockerd;
  let team: Workplace;
  let stranger: Workplace;
  let env: Record<string, string>;
  const registries: Record<string, Server> = {};

  beforeAll(async () => {
    docker = await testDocker();
    team = await workplace();
    stranger = await workplace('cold');
    registries['docker-registry'] = await startDockerRegistry(join(team.home, 'registry'));
    registries['go-containerregistry'] = await startReferrersRegistry(join(team.home, 'referrers'));
    env = { ...team.env, DOCKER_HOST: docker.host };
    await cliDone(['init', '--output', 'keys'], { ...team, env });
    await cliDone(['add', 'npm:@modelcontextprotocol/server-memory', '--name', 'memory'], { ...team, env });
    await cliDone(['add', 'pypi:mcp-server-time', '--name', 'time', '--arg', '--local-timezone', '--arg', 'UTC'], {
      ...team,
      env,
    });
    const file = join(team.cwd, 'mcp-build.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(
      file,
      text.replace('version: 1\n', 'version: 1\nsigner: {key: keys/mcp-build.key}\npolicy: keys/policy.yaml\n'),
    );
    await cliDone(['lock'], { ...team, env });
    // What a stranger has: the public key and the policy, in their own configuration.
    const configuration = join(stranger.home, 'config', 'mcp-build');
    await mkdir(configuration, { recursive: true });
    for (const name of ['policy.yaml', 'mcp-build.pub'])
      await writeFile(join(configuration, name), await readFile(join(team.cwd, 'keys', name)));
  });

  afterAll(async () => {
    for (const server of Object.values(registries)) await server[Symbol.asyncDispose]();
    await team?.[Symbol.asyncDispose]();
    await stranger?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  const publish = (to: string, ...words: readonly string[]) =>
    cli(['publish', '--to', to, '--json', ...words], { ...team, env });
  const strangers = () => ({
    ...stranger,
    env: { ...stranger.env, DOCKER_HOST: docker.host, XDG_CONFIG_HOME: join(stranger.home, 'config') },
  });

  /** Every tag below `prefix` that the stranger's policy refuses. */
  const unverified = async (host: string, prefix: string): Promise<readonly string[]> => {
    const policy = await loadPolicy(join(team.cwd, 'keys', 'policy.yaml'));
    const bad: string[] = [];
    for (const name of SERVERS) {
      const repository = `${prefix}/${name}`;
      const answer = await fetch(`http://${host}/v2/${repository}/tags/list`);
      const { tags } = (answer.ok ? await answer.json() : {}) as { tags?: readonly string[] | null };
      for (const tag of (tags ?? []).filter((one) => !one.startsWith('sha256-'))) {
        const remote = openRemote({ registry: host, repository });
        const evidence = await gather(remote, await remote.resolve(tag), {
          layers: true,
          asked: { image: `${host}/${repository}` },
        });
        if (assess(policy, evidence, new Date()).verdict.verdict === 'fail') bad.push(`${repository}:${tag}`);
      }
    }
    return bad;
  };

  describe.each(['docker-registry', 'go-containerregistry'])('to %s', (which) => {
    it('lets a stranger start them', async () => {
      const { host } = registries[which]!;
      const first = await publish(`${host}/mcp`);
      expect(first.stderr + first.stdout).not.toContain('"failed"');
      expect(first.code).toBe(0);
      const { servers } = first.json<Result>();
      expect(servers.map(({ status, test }) => [status, test])).toEqual([
        ['published', 'passed'],
        ['published', 'passed'],
      ]);
      expect(await unverified(host, 'mcp')).toEqual([]);
      for (const { name, tags } of servers) {
        const started = await cli(
          ['run', `${host}/mcp/${name}:${tags[1]}`, ...(name === 'time' ? ['--', '--local-timezone', 'UTC'] : [])],
          { ...strangers(), input: HELLO, until: /"serverInfo"/ },
        );
        expect(started.stdout, started.stderr).toContain('"serverInfo"');
      }
    });

    it('asks a dozen questions a server when nothing changed', async () => {
      const { host } = registries[which]!;
      await using proxy = await countingProxy(host);
      const again = await publish(`${proxy.host}/mcp`);
      expect(again.stderr).toBe('');
      // The image's name is another one to the policy, not to the registry.
      expect(again.json<Result>().servers.map(({ status }) => status)).toEqual(['unchanged', 'unchanged']);
      expect(proxy.count()).toBeLessThanOrEqual(12 * SERVERS.length);
    });

    it('by two at once harms neither', async () => {
      const { host } = registries[which]!;
      const both = await Promise.all([publish(`${host}/both`, '--no-test'), publish(`${host}/both`, '--no-test')]);
      expect(both.map(({ code, stderr }) => (code === 0 ? '' : stderr))).toEqual(['', '']);
      const digests = both.map((one) => one.json<Result>().servers.map(({ digest }) => digest));
      expect(digests[0]).toEqual(digests[1]);
      expect(await unverified(host, 'both')).toEqual([]);
    });

    it('finishes after being killed at any moment, and never shows a tag whose image isn’t signed', {
      timeout: 300_000 + KILLS * 60_000,
    }, async () => {
      const { host } = registries[which]!;
      const started = performance.now();
      expect((await publish(`${host}/whole`, '--no-test')).code).toBe(0);
      const whole = performance.now() - started;
      for (let kill = 0; kill < KILLS; kill++) {
        const prefix = `kill${kill}`;
        await killed(['publish', '--to', `${host}/${prefix}`, '--no-test'], whole * Math.random(), team.cwd, env);
        expect(await unverified(host, prefix)).toEqual([]);
        const again = await publish(`${host}/${prefix}`, '--no-test');
        expect(again.code, again.stderr).toBe(0);
        expect(await unverified(host, prefix)).toEqual([]);
      }
    });
  });

  it('says in CI’s summary what it did, and by its exit code what failed', async () => {
    const { host } = registries['docker-registry']!;
    const summary = join(team.cwd, 'summary.md');
    const file = join(team.cwd, 'mcp-build.yaml');
    const text = await readFile(file, 'utf8');
    try {
      await writeFile(
        file,
        text.replace('npm:@modelcontextprotocol/server-memory', 'npm:@modelcontextprotocol/server-memory@^2026'),
      );
      const result = await cli(['publish', '--to', `${host}/mcp`, '--json'], {
        ...team,
        env: { ...env, GITHUB_STEP_SUMMARY: summary },
      });
      expect(result.code).toBe(4);
      expect(result.json<{ servers: { status: string; error?: { code: string } }[] }>().servers).toMatchObject([
        { status: 'failed', error: { code: 'lock-outdated' } },
        { status: 'unchanged' },
      ]);
      expect(await readFile(summary, 'utf8')).toMatch(/❌ failed[\s\S]*➖ unchanged[\s\S]*`lock-outdated`/);
    } finally {
      await writeFile(file, text);
    }
  });
});

/** Runs a command and kills it, and nothing else, after so many milliseconds. */
async function killed(
  args: readonly string[],
  after: number,
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: childEnvironment(env),
    stdio: 'ignore',
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), after);
  await new Promise((resolve) => child.once('exit', resolve));
  clearTimeout(timer);
}
