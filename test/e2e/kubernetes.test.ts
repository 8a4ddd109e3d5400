import { execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { until } from '../gateway/gateway.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { cli, cliDone, type Workplace, workplace } from './harness/cli.ts';
import { commandPath, describeWith } from './harness/needs.ts';
import { root } from './harness/tree.ts';
import { type Server, startDockerRegistry } from './registry-servers.ts';

const GOLDEN = join(root, 'test/cli/line/kubernetes/golden');

interface Judged {
  readonly kind: string;
  readonly name: string;
  readonly errors: readonly string[];
  readonly restricted: readonly string[];
}

/** What kube-apiserver's validation and the Pod Security evaluator say of manifests. */
async function judge(yaml: string): Promise<readonly Judged[]> {
  const child = spawn(commandPath('kubernetes-check')!, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const out: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stdin.end(yaml);
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`kubernetes-check ended with ${code}`);
  return JSON.parse(Buffer.concat(out).toString()) as readonly Judged[];
}

describeWith(['kubernetes-check'], 'an API server', () => {
  test.each(readdirSync(GOLDEN))('takes all of %s, and the restricted profile has nothing against it', async (file) => {
    const judged = await judge(readFileSync(join(GOLDEN, file), 'utf8'));
    expect(judged.length).toBeGreaterThan(3);
    for (const one of judged) expect(one, one.kind).toMatchObject({ errors: [], restricted: [] });
  });

  test.each([
    ['allowPrivilegeEscalation: false', 'allowPrivilegeEscalation: true', 'restricted'],
    ['runAsNonRoot: true', 'runAsNonRoot: false', 'restricted'],
    ['type: RuntimeDefault', 'type: Unconfined', 'restricted'],
    ['hostPID: false', 'hostPID: true', 'restricted'],
    ['drop:', 'add:', 'restricted'],
    ['restartPolicy: Always', 'restartPolicy: Never', 'errors'],
    ['enableServiceLinks: false', 'enableServiceLink: false', 'errors'],
    ['containerPort: 8080', 'containerPort: 80800', 'errors'],
  ] as const)('would notice %s becoming %s', async (before, after, where) => {
    const text = readFileSync(join(GOLDEN, 'memory.yaml'), 'utf8');
    expect(text).toContain(before);
    const judged = await judge(text.replaceAll(before, after));
    expect(judged.flatMap((one) => one[where])).not.toEqual([]);
  });
});

interface Container {
  readonly image: string;
  readonly args?: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext: {
    readonly runAsUser: number;
    readonly runAsGroup: number;
    readonly readOnlyRootFilesystem: boolean;
    readonly allowPrivilegeEscalation: boolean;
    readonly capabilities: { readonly drop: readonly string[] };
  };
  readonly resources: { readonly limits: { readonly memory: string; readonly cpu: string } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

describeWith(['docker', 'docker-registry'], 'servers that were published for a cluster', () => {
  let docker: Dockerd;
  let team: Workplace;
  let registry: Server;
  let env: Record<string, string>;
  let yaml: string;

  beforeAll(async () => {
    docker = await testDocker();
    team = await workplace();
    registry = await startDockerRegistry(join(team.home, 'registry'));
    env = { ...team.env, DOCKER_HOST: docker.host };
    await cliDone(['init', '--output', 'keys'], { ...team, env });
    await writeFile(
      join(team.cwd, 'mcp-build.yaml'),
      `version: 1
registry: ${registry.host}/mcp
signer: {key: keys/mcp-build.key}
policy: keys/policy.yaml
platforms: [linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}]
servers:
  memory:
    source: npm:@modelcontextprotocol/server-memory
    transport: http
  time:
    source: pypi:mcp-server-time
    transport: http
    stateless: true
    args: [--local-timezone, Europe/Berlin]
  plain:
    source: npm:@modelcontextprotocol/server-memory
`,
    );
    await cliDone(['lock'], { ...team, env });
  }, 900_000);

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await team?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  const deploy = (...words: readonly string[]) => cli(['deploy', 'kubernetes', ...words], { ...team, env });

  test('are refused before they are published', async () => {
    const early = await deploy('memory');
    expect([early.code, early.stdout]).toEqual([2, '']);
    expect(early.stderr).toContain('[not-published]');
  });

  test('are tested over stdio, without their bridge, and published', async () => {
    for (const [at, name] of ['memory', 'time'].entries()) {
      const published = await cliDone(['publish', '--shard', `${at + 1}/3`, '--json'], {
        ...team,
        env,
        timeout: 800_000,
      });
      const { servers } = published.json<{ servers: readonly { name: string; status: string; test: string }[] }>();
      expect(servers).toMatchObject([{ name, status: 'published', test: 'passed' }]);
    }
    const empty = await cliDone(['publish', 'memory', '--shard', '2/2', '--json'], { ...team, env });
    expect(empty.json<{ servers: readonly unknown[] }>().servers).toEqual([]);
  }, 1_800_000);

  test('become manifests of what was signed', async () => {
    const done = await cliDone(['deploy', 'kubernetes', 'memory', 'time'], { ...team, env });
    yaml = done.stdout;
    for (const name of ['memory', 'time']) {
      const { index } = JSON.parse(await readFile(join(team.cwd, 'lockfiles', name, 'image.lock.json'), 'utf8')) as {
        index: string;
      };
      expect(yaml).toContain(`image: ${registry.host}/mcp/${name}@${index}`);
    }
    if (commandPath('kubernetes-check'))
      for (const one of await judge(yaml)) expect(one).toMatchObject({ errors: [], restricted: [] });
    const again = await cliDone(['deploy', 'kubernetes', 'memory', 'time'], { ...team, env });
    expect(again.stdout).toBe(yaml);
  });

  test('are refused where they speak over stdio, or the policy is another', async () => {
    const stdio = await deploy('plain');
    expect(stdio.stderr).toContain('[transport-not-http]');
    await cliDone(['init', '--output', 'others'], { ...team, env });
    const others = await deploy('memory', '--policy', 'others/policy.yaml');
    expect([others.code, others.stdout]).toEqual([3, '']);
  });

  test.each(['memory', 'time'])('%s starts as its Deployment says, and answers over HTTP', async (name) => {
    const pods = parseAllDocuments(yaml)
      .map((document) => document.toJS() as { kind: string; metadata: { name: string }; spec: never })
      .filter(({ kind }) => kind === 'Deployment');
    const deployment = pods.find(({ metadata }) => metadata.name === name) as unknown as {
      spec: { template: { spec: { containers: [Container] } } };
    };
    const [container] = deployment.spec.template.spec.containers;
    const { securityContext: walls, resources } = container;
    expect(walls).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false });
    const run = (...words: readonly string[]) =>
      promisify(execFile)('docker', [...words], { env: { ...process.env, DOCKER_HOST: docker.host } });
    const started = await run(
      ...['run', '--detach', '--publish', '127.0.0.1::8080', '--read-only', '--security-opt', 'no-new-privileges'],
      ...['--user', `${walls.runAsUser}:${walls.runAsGroup}`, '--cap-drop', walls.capabilities.drop.join(',')],
      ...['--memory', resources.limits.memory.replace('Mi', 'm'), '--cpus', '1'],
      ...container.volumeMounts.flatMap(({ mountPath }) => ['--tmpfs', `${mountPath}:rw,mode=1777,size=64m`]),
      ...container.env.flatMap(({ name: variable, value }) => ['--env', `${variable}=${value}`]),
      container.image,
      ...(container.args ?? []),
    );
    const id = started.stdout.trim();
    try {
      const { stdout } = await run('port', id, '8080/tcp');
      const url = `http://${stdout.trim().split('\n')[0]}`;
      await until(async () => {
        const answer = await fetch(`${url}/_readyz`).catch(() => undefined);
        return answer?.status === 200;
      }, 120_000);
      for (const mode of ['legacy', 'auto'] as const) {
        const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
        await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`)));
        const { tools } = await client.listTools();
        expect(tools.map((tool) => tool.name)).toContain(name === 'time' ? 'get_current_time' : 'read_graph');
        if (name === 'time') {
          const answer = await client.callTool({ name: 'get_current_time', arguments: { timezone: 'Europe/Berlin' } });
          expect(JSON.stringify(answer)).toContain('Europe/Berlin');
        }
        await client.close();
      }
    } finally {
      await run('rm', '--force', id);
    }
  });
});

describe('deploy kubernetes', () => {
  test('says what is wrong with a flag', async () => {
    await using place = await workplace();
    await writeFile(join(place.cwd, 'mcp-build.yaml'), 'version: 1\nservers: {}\n');
    for (const [flag, value] of [
      ['--gateway', 'nowhere'],
      ['--cpus', 'many'],
      ['--max-replicas', '0'],
    ] as const)
      expect((await cli(['deploy', 'kubernetes', flag, value], place)).code, flag).toBe(2);
  });
});
