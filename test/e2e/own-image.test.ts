import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority } from '../fakes/certificates.ts';
import { type Dockerd, testDocker } from './dockerd.ts';
import { childEnvironment, cli, cliDone, type Workplace, workplace } from './harness/cli.ts';
import { describeWith, missing } from './harness/needs.ts';
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

  describe('as a gateway', () => {
    const TOKEN = 'a-token-of-the-configuration';
    let reference: string;
    let port: number;
    let config: string;
    let scheme: 'http' | 'https' = 'http';

    beforeAll(async () => {
      reference = `${registry.host}/tools/mcp-build@${digest}`;
      port = await freePort();
      const server = '@modelcontextprotocol/server-memory';
      await cliDone(['prepare', `npm:${server}`], { cwd: place.cwd, env });
      config = join(place.cwd, 'config.json');
      // One for all: how many run doesn't depend on who called.
      const options = { sessions: 'shared' };
      const mcpServers = {
        memory: { command: 'npx', args: ['-y', server], env: { MEMORY_FILE_PATH: '/tmp/memory.json' }, options },
      };
      const mcpProxy = { addr: `:${port}`, options: { authTokens: [TOKEN] } };
      await writeFile(config, JSON.stringify({ mcpProxy, mcpServers }), { mode: 0o600 });
    });

    /** What `prepare` made, as another machine would bring it. */
    const fill = async (state: string, owner: number) => {
      for (const name of ['store', 'locks', 'keys'])
        await cp(join(place.home, name), join(state, name), { recursive: true });
      await run('chown', ['-R', `${owner}:${owner}`, state]);
    };
    const at = (command: string, ...args: readonly string[]) => run(command, args, { env: childEnvironment(env) });
    const servers = async () =>
      (await at('docker', 'ps', '-aq', '--filter', 'label=io.mcp-build.role=server')).stdout
        .split('\n')
        .filter(Boolean);
    const tools = async (token: string) => {
      const client = new Client({ name: 'test', version: '1' });
      const requestInit = { headers: { authorization: `Bearer ${token}` } };
      const url = new URL(`${scheme}://127.0.0.1:${port}/memory/mcp`);
      await client.connect(new StreamableHTTPClientTransport(url, { requestInit }));
      const { tools } = await client.listTools();
      await client.close();
      return tools.map(({ name }) => name);
    };
    const ready = async (logs: () => Promise<{ readonly stdout: string; readonly stderr: string }>) => {
      for (const end = Date.now() + 120_000; Date.now() < end; ) {
        const answer = await fetch(`${scheme}://127.0.0.1:${port}/_readyz`).catch(() => undefined);
        if (answer?.status === 200) return;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      const { stdout, stderr } = await logs();
      throw new Error(`it was not ready in time: ${stdout}${stderr}`);
    };

    /** The same program as an image of another digest, by the date in its lock. */
    const another = async () => {
      const later = { ...env, SOURCE_DATE_EPOCH: '2000000000' };
      await cliDone(['lock', 'mcp-build'], { cwd: folder, env: later });
      const { index } = (await cliDone(['build', 'mcp-build', '--json'], { cwd: folder, env: later })).json<{
        index: string;
      }>();
      expect(index).not.toBe(digest);
      await cliDone(['push', 'mcp-build', '--to', `${registry.host}/tools/mcp-build:another`], { cwd: folder, env });
      return `${registry.host}/tools/mcp-build@${index}`;
    };

    const composeless = missing('docker-compose', 'openssl');
    test.skipIf(composeless)(
      `is two containers by a compose file, and the one with a port has nothing of Docker’s${composeless ? ` [skipped: ${composeless}]` : ''}`,
      async () => {
        const folder = join(place.cwd, 'compose');
        const socket = docker.host.replace(/^unix:\/\//, '');
        using authority = makeAuthority();
        const { certificate, key } = authority.issue(['127.0.0.1']);
        await writeFile(join(place.cwd, 'cert.pem'), certificate);
        await writeFile(join(place.cwd, 'key.pem'), key, { mode: 0o600 });
        const { mcpProxy, mcpServers } = JSON.parse(await readFile(config, 'utf8'));
        const tls = { cert: join(place.cwd, 'cert.pem'), key: join(place.cwd, 'key.pem') };
        const secured = join(place.cwd, 'secured.json');
        await writeFile(secured, JSON.stringify({ mcpProxy: { ...mcpProxy, tls }, mcpServers }), { mode: 0o600 });
        const words = ['deploy', 'compose', '--config', secured, '--to', folder, '--image', reference, '--locked'];
        const deploy = [...words, '--docker-socket', socket, '--publish', '127.0.0.1', '--json'];
        const { steps } = (await cliDone(deploy, { cwd: place.cwd, env })).json<{ steps: string[] }>();
        // As it says: what copies the certificate to where only the gateway reads it.
        await run('sh', ['-ec', steps.find((step) => step.startsWith('install ')) ?? 'false']);
        const known = getCACertificates();
        setDefaultCACertificates([...known, authority.ca]);
        scheme = 'https';
        await fill(join(folder, 'daemon/state'), 65_531);
        const compose = (...args: string[]) =>
          at('docker-compose', '-f', join(folder, 'compose.yaml'), '-p', 'mcp-build-test', ...args);
        try {
          const made = await compose('run', '--rm', '-T', 'gateway', 'token', 'create', 'phone', '--json');
          const { token } = JSON.parse(made.stdout) as { token: string };
          await compose('up', '-d');
          await ready(() => compose('logs', '--no-color'));
          expect(await tools(token)).toContain('read_graph');
          expect(await tools(TOKEN)).toContain('read_graph');
          await expect(tools('another')).rejects.toThrow();
          const id = (await compose('ps', '-q', 'gateway')).stdout.trim();
          const { stdout } = await at('docker', 'inspect', id);
          const [{ Mounts, HostConfig, Config }] = JSON.parse(stdout);
          expect(Mounts.map(({ Source }: { Source: string }) => Source).sort()).toEqual(
            ['gateway/config', 'gateway/state', 'socket'].map((name) => join(folder, name)),
          );
          expect(HostConfig).toMatchObject({ ReadonlyRootfs: true, CapDrop: ['ALL'], Privileged: false });
          expect(Config.User).toBe('65532:65530');
          expect(await servers()).toHaveLength(1);
          // As the documentation has it: the other digest, `up`; and the same with the one before, on the state that is there.
          for (const image of [await another(), reference]) {
            const replaced = deploy.map((word) => (word === reference ? image : word));
            await cliDone([...replaced, '--replace'], { cwd: place.cwd, env });
            await compose('up', '-d');
            await ready(() => compose('logs', '--no-color'));
            const now = (await compose('ps', '-q', 'gateway')).stdout.trim();
            const running = await at('docker', 'inspect', '--format', '{{.Config.Image}}', now);
            expect(running.stdout.trim()).toBe(image);
            expect(await tools(token)).toContain('read_graph');
            expect(await servers()).toHaveLength(1);
          }
        } finally {
          await compose('down', '-t', '30');
          setDefaultCACertificates(known);
          scheme = 'http';
        }
        expect(await servers()).toEqual([]);
      },
    );

    test('is one docker command, and what a killed one leaves the next one removes', async () => {
      const folder = join(place.cwd, 'one');
      await mkdir(folder);
      await cp(config, join(folder, 'config.json'));
      await fill(join(folder, 'daemon'), 0);
      const name = 'mcp-build-test-one';
      const socket = docker.host.replace(/^unix:\/\//, '');
      const capabilities = ['SETUID', 'SETGID', 'CHOWN', 'FOWNER', 'KILL', 'DAC_OVERRIDE'];
      const walls = ['--read-only', '--tmpfs', '/tmp', '--security-opt', 'no-new-privileges', '--cap-drop', 'ALL'];
      const options = [...walls, ...capabilities.flatMap((one) => ['--cap-add', one]), '--user', '0', '--init'];
      const mounts = ['-v', `${socket}:/var/run/docker.sock`, '-v', `${folder}:${folder}`];
      const command = ['up', '--config', join(folder, 'config.json'), '--locked'];
      const publish = ['-p', `127.0.0.1:${port}:${port}`];
      const logs = () => at('docker', 'logs', name);
      try {
        await at('docker', 'run', '-d', '--name', name, ...options, ...publish, ...mounts, reference, ...command);
        await ready(logs);
        expect(await tools(TOKEN)).toContain('read_graph');
        const before = await servers();
        await at('docker', 'kill', name);
        await at('docker', 'start', name);
        await ready(logs);
        expect(await tools(TOKEN)).toContain('read_graph');
        const after = await servers();
        expect(after).toHaveLength(1);
        expect(before.filter((id) => after.includes(id))).toEqual([]);
        await at('docker', 'stop', '-t', '30', name);
        expect((await at('docker', 'inspect', '--format', '{{.State.ExitCode}}', name)).stdout.trim()).toBe('0');
        expect(await servers()).toEqual([]);
      } finally {
        await at('docker', 'rm', '-f', name);
      }
    });
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
