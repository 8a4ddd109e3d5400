import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Dockerd, testDocker } from './dockerd.ts';
import { childEnvironment, cli, cliDone, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { withClient } from './harness/clients.ts';
import { describeWith } from './harness/needs.ts';

const MEMORY = 'npm:@modelcontextprotocol/server-memory';

describeWith(['docker'], 'moving a client over', () => {
  let docker: Dockerd;
  let place: Workplace;
  const env = () => ({ ...place.env, DOCKER_HOST: docker.host });

  beforeAll(async () => {
    docker = await testDocker();
    place = await workplace();
  });

  afterAll(async () => {
    await place?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  test('a client that gives up on the first start finds the work done at its next', async () => {
    const first = spawn(process.execPath, [MAIN, 'run', MEMORY], {
      cwd: place.cwd,
      env: childEnvironment(env()),
      // A group of its own, as a client that kills all that it has started would.
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let stderr = '';
    await new Promise<void>((resolve) =>
      first.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString();
        if (stderr.includes('it goes on')) resolve();
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    process.kill(-(first.pid ?? 0), 'SIGKILL');

    // Nobody asks; it is built all the same.
    const deadline = Date.now() + 240_000;
    let tags: readonly string[] = [];
    while (tags.length === 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      const outcome = await readdir(join(place.home, 'prepare'));
      expect(outcome.filter((name) => name.endsWith('.json'))).toEqual([]);
      tags = outcome.some((name) => name.endsWith('.lock')) ? [] : await locked();
    }
    expect(tags).toHaveLength(1);

    const again = await cli(['run', MEMORY], { cwd: place.cwd, env: env(), input: '' });
    expect(again.stderr).not.toMatch(/building|first use/);
    expect(again.code).toBe(0);
  });

  /** Locks of sources that were built. */
  async function locked(): Promise<readonly string[]> {
    const files = await readdir(join(place.home, 'locks'), { recursive: true }).catch((): string[] => []);
    const locks = files.filter((file) => file.endsWith('image.lock.json'));
    const texts = await Promise.all(locks.map((file) => readFile(join(place.home, 'locks', file), 'utf8')));
    return texts.filter((text) => (JSON.parse(text) as { index?: string }).index !== undefined);
  }

  test('two that ask at once build once', async () => {
    const both = await Promise.all(
      [1, 2].map(() => cli(['run', 'pypi:mcp-server-time'], { cwd: place.cwd, env: env(), input: '' })),
    );
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    const log = (await readdir(join(place.home, 'prepare'))).find((name) => /^mcp-server-time-.*\.log$/.test(name));
    const lines = (await readFile(join(place.home, 'prepare', log ?? ''), 'utf8')).split('\n');
    expect(lines.filter((line) => line.includes('first use of'))).toHaveLength(1);
  });

  test('what fails in the background is told where it was asked for', async () => {
    const { code, stderr } = await cli(['run', 'npm:@modelcontextprotocol/server-memory@0.0.0-none'], {
      cwd: place.cwd,
      env: env(),
    });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/\[[a-z-]+\]\n\s+fix: /);
    expect(stderr).not.toContain('prepare-died');
  });

  test('import --write builds ahead, and the client’s own entry then starts the server', async () => {
    const file = join(place.cwd, 'claude_desktop_config.json');
    const before = `{
  // mine
  "mcpServers": {
    "memory": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-memory"], "env": { "MY_TOKEN": "secret-value" } },
    "shell": { "command": "bash", "args": ["-c", "npx -y x"] },
  },
}
`;
    await writeFile(file, before);
    const result = await cli(['import', '--write', file, '--json'], { cwd: place.cwd, env: env() });
    // One of them could not be taken over.
    expect(result.code).toBe(1);
    const told = result.json<{ backup: string; servers: readonly { name: string; state: string; code?: string }[] }>();
    expect(told.servers).toMatchObject([
      { name: 'memory', state: 'moved' },
      { name: 'shell', state: 'refused', code: 'runs-shell' },
    ]);
    expect(await readFile(told.backup, 'utf8')).toBe(before);
    const after = await readFile(file, 'utf8');
    expect(after.split('\n').filter((line) => !line.includes('"memory"'))).toEqual(
      before.split('\n').filter((line) => !line.includes('"memory"')),
    );
    const manifest = await readFile(join(place.cwd, 'mcp-build.yaml'), 'utf8');
    expect(manifest).toContain('MY_TOKEN');
    expect(manifest).not.toContain('secret-value');

    const line = after.split('\n').find((text) => text.includes('"memory"')) ?? '';
    const entry = JSON.parse(`{${line.trim().replace(/,$/, '')}}`) as {
      memory: { command: string; args: readonly string[]; env: Record<string, string> };
    };
    // As a graphical client starts it: with its own environment and nothing of a shell's PATH.
    const tools = await withClient(
      'sdk 1.x',
      { ...entry.memory, cwd: '/', env: { PATH: '/nonexistent', HOME: place.home, ...entry.memory.env } },
      (session) => session.tools(),
    );
    expect(tools.map(({ name }) => name)).toContain('create_entities');
  });

  test('export writes what import reads', async () => {
    await cliDone(['export', 'vscode', '--portable', '--write', 'mcp.json'], { cwd: place.cwd, env: env() });
    const { servers } = (
      await cliDone(['import', '--dry-run', 'mcp.json', '--json'], { cwd: place.cwd, env: env() })
    ).json<{ servers: readonly { state: string }[] }>();
    expect(servers.map(({ state }) => state)).toEqual(['skipped']);
  });
});
