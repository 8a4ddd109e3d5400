import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Dockerd, testDocker } from './dockerd.ts';
import { cli, cliDone, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';
import { root } from './harness/tree.ts';
import { type Server, startDockerRegistry } from './registry-servers.ts';

const catalogue = parse(readFileSync(join(root, 'mcp-build.yaml'), 'utf8')) as {
  servers: Record<string, { source: string }>;
};
const names = Object.keys(catalogue.servers);

interface Row {
  readonly name: string;
  readonly status: string;
  readonly digest: string;
  readonly test: unknown;
  readonly error?: { readonly code: string };
}

test('holds a dozen servers of both ecosystems', () => {
  expect(names.length).toBeGreaterThanOrEqual(12);
  for (const ecosystem of ['npm:', 'pypi:'])
    expect(
      Object.values(catalogue.servers).filter(({ source }) => source.startsWith(ecosystem)).length,
    ).toBeGreaterThan(4);
});

test('is in docs/catalogue.md', () => {
  const page = readFileSync(join(root, 'docs/catalogue.md'), 'utf8');
  expect([...page.matchAll(/^\| `([a-z0-9-]+)`/gm)].map(([, name]) => name).sort()).toEqual([...names].sort());
});

describeWith(['docker', 'docker-registry'], 'the catalogue', () => {
  let docker: Dockerd;
  let place: Workplace;
  let registry: Server;

  beforeAll(async () => {
    docker = await testDocker();
    place = await workplace();
    registry = await startDockerRegistry(join(place.home, '..', 'registry'));
    for (const part of ['mcp-build.yaml', 'lockfiles'])
      cpSync(join(root, part), join(place.cwd, part), { recursive: true });
  });

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await place?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  test('is built as locked, starts, and offers what stands beside its lock', { timeout: 900_000 }, async () => {
    // Whom a stranger would trust; nothing is signed.
    await cliDone(['init'], place);
    const env = { ...place.env, DOCKER_HOST: docker.host, MCP_BUILD_REGISTRY: `${registry.host}/mcp` };
    const publish = async () => {
      const options = { cwd: place.cwd, env, timeout: 880_000 };
      const result = await cli(['publish', '--dry-run', '--json', '--jobs', '2'], options);
      return { ...result, servers: result.json<{ servers: readonly Row[] }>().servers };
    };
    let { code, stderr, servers } = await publish();
    // Mirrors drop superseded Debian packages, by which nobody here did anything wrong: then these are locked on what there is today.
    const gone = servers.filter(({ error }) => error?.code === 'artifact-unavailable').map(({ name }) => name);
    for (const name of gone) await cliDone(['lock', '--refresh', name], { cwd: place.cwd, env });
    if (gone.length > 0) {
      console.error(`The mirror no longer has Debian packages of ${gone.join(', ')}: their digests can't be compared.`);
      ({ code, stderr, servers } = await publish());
    }
    expect(code, stderr).toBe(0);
    expect(servers.map(({ name }) => name).sort()).toEqual([...names].sort());
    for (const { name, status, digest, test: outcome } of servers) {
      const lock = JSON.parse(readFileSync(join(root, 'lockfiles', name, 'image.lock.json'), 'utf8')) as {
        index: string;
        tools?: string;
      };
      if (gone.includes(name)) {
        expect([name, status, outcome], stderr).toEqual([name, 'would-publish', 'passed']);
        continue;
      }
      expect([name, status, digest, outcome], stderr).toEqual([name, 'would-publish', lock.index, 'passed']);
      // Recorded, so that a server which offers something else is refused.
      expect(lock.tools, name).toBeDefined();
    }
  });
});
