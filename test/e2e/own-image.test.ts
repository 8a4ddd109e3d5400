import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Dockerd, testDocker } from './dockerd.ts';
import { childEnvironment, cli, cliDone, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';
import { root } from './harness/tree.ts';
import { type Server, startDockerRegistry } from './registry-servers.ts';

const run = promisify(execFile);

/** What the release workflow does with the tarball that npm gets: locked, built, signed and published by mcp-build itself. */
describeWith(['docker', 'docker-registry', 'git'], 'the image of mcp-build, made by itself', () => {
  let docker: Dockerd;
  let place: Workplace;
  let registry: Server;
  /** What `.ci/image` leaves: a manifest, a tarball and a lock. */
  let folder: string;
  let env: Record<string, string>;
  let version: string;
  let digest: string;

  beforeAll(async () => {
    docker = await testDocker();
    place = await workplace();
    registry = await startDockerRegistry(join(place.home, 'registry'));
    folder = join(place.cwd, 'image');
    env = { ...place.env, DOCKER_HOST: docker.host };
    ({ version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string });
    const made = await run(join(root, '.ci/image'), [folder], { cwd: place.cwd, env: childEnvironment(env) });
    digest = made.stdout.trim();
    await cliDone(['init', '--output', 'keys'], { cwd: folder, env });
    await cliDone(['publish', '--key', 'keys/mcp-build.key', '--to', `${registry.host}/tools`], { cwd: folder, env });
  });

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await docker?.stop();
    await place?.[Symbol.asyncDispose]();
  });

  /** In a container of what the registry serves, with no network and nothing to write to. */
  const inside = async (args: readonly string[], ...options: readonly string[]) => {
    const image = `${registry.host}/tools/mcp-build:${version}`;
    const words = ['run', '--rm', '--network', 'none', '--read-only', '--tmpfs', '/home/nonroot:uid=65532,mode=700'];
    return run('docker', [...words, ...options, image, ...args], { env: childEnvironment(env) });
  };

  test('is tagged by the version of the package, and is the image that was built', async () => {
    const answer = await fetch(`http://${registry.host}/v2/tools/mcp-build/manifests/${version}`, {
      headers: { accept: 'application/vnd.oci.image.index.v1+json' },
    });
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
  });

  test('says its version, and what it can do', async () => {
    expect((await inside(['--version'])).stdout.trim()).toBe(version);
    expect((await inside(['--help'])).stdout).toMatch(/^\s+serve\b/m);
  });

  test('verifies its own image, and refuses it by the policy of somebody else', async () => {
    const layout = join(place.cwd, 'layout');
    await cliDone(['copy', `${registry.host}/tools/mcp-build:${version}`, `oci:${layout}`], { cwd: folder, env });
    await cliDone(['init', '--output', 'others'], {
      cwd: folder,
      env: { ...env, MCP_BUILD_HOME: join(place.cwd, 'other') },
    });
    const verify = (keys: string) =>
      inside(
        ['verify', '--layers', '--policy', '/keys/policy.yaml', `oci:/layout:${version}`],
        ...['--volume', `${layout}:/layout:ro`, '--volume', `${join(folder, keys)}:/keys:ro`],
      );
    expect((await verify('keys')).stdout).toContain(`verified`);
    await expect(verify('others')).rejects.toMatchObject({ code: 3 });
  });

  test('is published of exactly the file that was locked, and of no other', async () => {
    const file = join(folder, `mcp-build-${version}.tgz`);
    const bytes = await readFile(file);
    const publish = () =>
      cli(['publish', '--key', 'keys/mcp-build.key', '--to', `${registry.host}/tools`, '--json'], { cwd: folder, env });
    expect((await publish()).json<{ servers: object[] }>().servers).toMatchObject([{ status: 'unchanged' }]);
    try {
      await writeFile(file, Buffer.concat([bytes, Buffer.from([0])]));
      const refused = await publish();
      expect(refused.code).toBe(4);
      expect(refused.json<{ servers: object[] }>().servers).toMatchObject([{ error: { code: 'lock-outdated' } }]);
    } finally {
      await writeFile(file, bytes);
    }
  });
});
