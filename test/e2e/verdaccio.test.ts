import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pack, type Release } from '../fakes/npm-registry.ts';
import { type CliResult, cli, cliDone, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';
import { type NpmServer, startVerdaccio } from './registry-servers.ts';

/** A scope of a company's own npm registry, as Verdaccio serves one to whoever has logged in; everything else comes from where it always does. */
describeWith(['verdaccio'], 'a private scope of Verdaccio', () => {
  let place: Workplace;
  let registry: NpmServer;
  const release = (version: string, dependencies: Readonly<Record<string, string>> = {}): Release => ({
    name: '@acme/notes',
    version,
    manifest: { bin: { notes: 'cli.js' }, license: 'MIT', dependencies },
    // Kept by its hash by earlier runs otherwise, and asked for by nobody.
    files: { 'cli.js': '#!/usr/bin/env node\n', 'run.txt': randomUUID() },
  });

  beforeAll(async () => {
    place = await workplace();
    registry = await startVerdaccio(join(place.home, 'verdaccio'));
    await npmPublish(release('1.0.0'), { name: '@acme/core', version: '2.0.0', files: { 'index.js': '' } });
    await npmPublish(release('1.1.0', { '@acme/core': '^2.0.0' }));
  });

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await place?.[Symbol.asyncDispose]();
  });

  /** By npm itself, as a person who has logged in. */
  async function npmPublish(...releases: readonly Release[]): Promise<void> {
    const user = await userWith('publisher', registry.token);
    for (const one of releases) {
      const file = join(user.HOME, 'package.tgz');
      await writeFile(file, pack(one));
      const child = spawn('npm', ['publish', file, '--ignore-scripts', '--access', 'restricted'], {
        env: { ...process.env, ...user },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      const code = await new Promise((resolve) => child.once('close', resolve));
      expect(code, said).toBe(0);
    }
  }

  /** Somebody's own configuration: the scope's registry, and a token for it if they have one. */
  async function userWith(name: string, token: string | undefined): Promise<Record<string, string> & { HOME: string }> {
    const home = join(dirname(place.cwd), name);
    await mkdir(home, { recursive: true });
    const lines = [`@acme:registry=http://${registry.host}/`, 'fetch-retries=0'];
    if (token !== undefined) lines.push(`//${registry.host}/:_authToken=${token}`);
    const userconfig = join(home, '.npmrc');
    await writeFile(userconfig, `${lines.join('\n')}\n`);
    return { HOME: home, npm_config_userconfig: userconfig };
  }

  async function lock(name: string, token: string | undefined, source: string): Promise<CliResult> {
    const user = await userWith(name, token);
    const env = { ...place.env, ...user, MCP_BUILD_HOME: join(user.HOME, 'state') };
    return cli(['lock', source, '--name', name, '--release-age', '0', '--json'], { cwd: place.cwd, env });
  }

  test('is locked and vetted by who is logged in, and the lock says neither where it is nor who asked', async () => {
    const locked = await lock('member', registry.token, 'npm:@acme/notes');
    expect(locked.code, locked.stderr).toBe(0);
    expect(locked.json<{ version: string }>().version).toBe('1.1.0');
    const env = { ...place.env, ...(await userWith('member', registry.token)) };
    const texts = await Promise.all(
      ['image.lock.json', 'package-lock.json', 'package.json'].map((file) =>
        readFile(join(place.cwd, 'lockfiles/member', file), 'utf8'),
      ),
    );
    expect(texts.join('')).toContain('@acme/core');
    expect(texts.join('')).not.toContain(registry.host);
    expect(texts.join('')).not.toContain(registry.token);
    expect((await cliDone(['lock', '--check', 'member'], { cwd: place.cwd, env })).stdout).toContain(
      'every package has the hash that its index lists',
    );
  });

  test('is found by no stranger, who is told which registry refused', async () => {
    const refused = await lock('stranger', undefined, 'npm:@acme/notes');
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain(registry.host);
    const wrong = await lock('impostor', 'not-the-token', 'npm:@acme/notes');
    expect(wrong.code).toBe(5);
    expect(wrong.stderr).not.toContain('not-the-token');
  });
});
