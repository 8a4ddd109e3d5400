import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import { type FakeRegistry, npmRegistry, pack, type Release } from '../fakes/npm-registry.ts';
import { type CliResult, cli, cliDone, type Workplace, workplace } from './harness/cli.ts';

/** Files and a `server.json` as sources, where they are taken and where they aren't. */
describe('sources that are files', () => {
  const release: Release = {
    name: 'hello-mcp',
    version: '1.0.0',
    manifest: { bin: { 'hello-mcp': 'cli.js' } },
    files: { 'cli.js': '#!/usr/bin/env node\n' },
  };
  let registry: FakeRegistry;
  let place: Workplace;
  let env: Record<string, string>;

  beforeAll(async () => {
    registry = await npmRegistry();
    registry.publish(release);
    place = await workplace('cold');
    env = { ...place.env, npm_config_registry: registry.url };
    await writeFile(join(place.cwd, 'hello-mcp-1.0.0.tgz'), pack(release));
  });
  afterAll(async () => {
    await place?.[Symbol.asyncDispose]();
    await registry?.close();
  });

  const run = (...args: readonly string[]) => cli(args, { cwd: place.cwd, env });
  function expectRefused({ code, stderr }: CliResult, name: string, exit: number): void {
    expect(stderr).toContain(`[${name}]`);
    expect(code, stderr).toBe(exit);
  }

  async function document(name: string, fileSha256: string): Promise<string> {
    const server = {
      $schema: 'https://example.test/schemas/2025-12-11/server.schema.json',
      name: 'io.github.example/hello',
      description: 'Says hello.',
      version: '1.0.0',
      packages: [
        {
          registryType: 'npm',
          identifier: release.name,
          version: release.version,
          transport: { type: 'stdio' },
          fileSha256,
        },
      ],
    };
    await writeFile(join(place.cwd, name), JSON.stringify(server));
    return `./${name}`;
  }

  test('a server.json’s fileSha256 is held against the file: the right one is locked, another leaves nothing', async () => {
    const right = sha256(pack(release)).replace('sha256:', '');
    const locking = (text: string, name: string) => ['lock', text, '--name', name, '--platform', 'linux/amd64'];
    await cliDone(locking(await document('right.json', right), 'right'), { cwd: place.cwd, env });
    expect(existsSync(join(place.cwd, 'lockfiles/right/image.lock.json'))).toBe(true);
    const wrong = await run(...locking(await document('wrong.json', 'a'.repeat(64)), 'wrong'));
    expectRefused(wrong, 'integrity', 1);
    expect(wrong.stderr).toContain(right);
    expect(await readdir(join(place.cwd, 'lockfiles'))).toEqual(['right']);
  });

  test('a lock of a file is never refreshed from a registry, where the name may be somebody else’s', async () => {
    await cliDone(['lock', './hello-mcp-1.0.0.tgz', '--name', 'mine', '--platform', 'linux/amd64'], {
      cwd: place.cwd,
      env,
    });
    const path = join(place.cwd, 'lockfiles/mine/image.lock.json');
    const before = await readFile(path, 'utf8');
    const asked = registry.asked.length;
    expectRefused(await run('lock', '--refresh', 'mine'), 'locked-from-file', 2);
    expect(await readFile(path, 'utf8')).toBe(before);
    expect(registry.asked.length).toBe(asked);
  });

  test.each([
    ['./right.json', 'source-invalid'],
    ['https://example.test/v0/servers/x', 'source-invalid'],
    ['../elsewhere-1.0.0.tgz', 'manifest-invalid'],
  ])('add refuses %s, which others who read the manifest may not have', async (text, code) => {
    await writeFile(join(place.cwd, '..', 'elsewhere-1.0.0.tgz'), pack(release));
    const result = await run('add', text);
    expectRefused(result, code, 2);
    expect(existsSync(join(place.cwd, 'mcp-build.yaml'))).toBe(false);
  });

  test('a file below the manifest is committed with it: locked and built as it is, and told when it is another one', async () => {
    const team = await workplace('cold');
    const there = { cwd: team.cwd, env: { ...team.env, npm_config_registry: registry.url } };
    try {
      await mkdir(join(team.cwd, 'vendor'));
      const file = join(team.cwd, 'vendor/hello-mcp-1.0.0.tgz');
      await writeFile(file, pack(release));
      await cliDone(['add', './vendor/hello-mcp-1.0.0.tgz', '--name', 'hello'], there);
      const manifest = join(team.cwd, 'mcp-build.yaml');
      expect(await readFile(manifest, 'utf8')).toContain(
        'source: npm:hello-mcp\n    file: vendor/hello-mcp-1.0.0.tgz\n',
      );
      await cliDone(['lock'], there);
      const asked = registry.asked.length;
      expect((await cliDone(['lock', '--json'], there)).json()).toMatchObject({ servers: [{ status: 'kept' }] });
      expect(registry.asked.length).toBe(asked);
      expect((await cli(['lock', '--check', 'hello'], there)).stdout).not.toContain('outdated');

      // Whoever has cloned it has nothing but what was committed.
      const env = { ...there.env, MCP_BUILD_HOME: join(team.cwd, '..', 'other') };
      const audited = await cli(['audit', 'hello', '--json'], { cwd: team.cwd, env });
      expect(audited.stdout).toContain('"hello"');
      expect(audited.stdout + audited.stderr).not.toContain('artifact-unavailable');

      await writeFile(file, pack({ ...release, files: { 'cli.js': '#!/usr/bin/env node\n//' } }));
      const outdated = await cli(['lock', '--check', 'hello'], there);
      expect(outdated.code, outdated.stderr).toBe(4);
      expect(outdated.stdout).toContain('outdated  file is sha512-');
      await writeFile(file, pack({ ...release, name: 'other-mcp' }));
      expectRefused(await cli(['lock', 'hello'], there), 'file-mismatch', 4);
    } finally {
      await team[Symbol.asyncDispose]();
    }
  });

  test('serve refuses them in a configuration', async () => {
    const entry = { command: 'mcp-build', args: ['run', './right.json'] };
    await writeFile(
      join(place.cwd, 'config.json'),
      JSON.stringify({ mcpProxy: { addr: '127.0.0.1:0' }, mcpServers: { hello: entry } }),
    );
    const result = await run('serve', '--config', 'config.json', '--check');
    expectRefused(result, 'command-refused', 2);
  });
});
