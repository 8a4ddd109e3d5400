import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Dockerd, testDocker } from './dockerd.ts';
import { childEnvironment, MAIN, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';

const EVERYTHING = 'npm:@modelcontextprotocol/server-everything';
const SECRET = 'kept-in-the-keyring-4711';

const message = (id: number | undefined, method: string, params: unknown) =>
  JSON.stringify({ jsonrpc: '2.0', ...(id === undefined ? {} : { id }), method, params });

/** A session as a desktop has it: a bus, a keyring that is unlocked, one secret in it, and a client that starts a server. */
const SESSION = `
printf 'password of the login' | gnome-keyring-daemon --unlock --components=secrets >/dev/null
printf '%s' "$VALUE" | secret-tool store --label='a token' service mail account me
unset VALUE
exec "$@"
`;

describeWith(['docker', 'dbus-run-session', 'gnome-keyring-daemon', 'secret-tool'], 'a real keyring', () => {
  let docker: Dockerd;
  let place: Workplace;

  beforeAll(async () => {
    docker = await testDocker();
    place = await workplace();
  });

  afterAll(async () => {
    await place?.[Symbol.asyncDispose]();
    await docker?.stop();
  });

  async function inSession(args: readonly string[], input: string, until: RegExp) {
    const runtime = join(place.home, 'session');
    await mkdir(runtime, { recursive: true });
    await chmod(runtime, 0o700);
    const child = spawn(
      'dbus-run-session',
      ['--', '/bin/sh', '-c', SESSION, 'session', process.execPath, MAIN, ...args],
      {
        cwd: place.cwd,
        env: childEnvironment({
          ...place.env,
          DOCKER_HOST: docker.host,
          HOME: runtime,
          XDG_RUNTIME_DIR: runtime,
          VALUE: SECRET,
        }),
      },
    );
    const stderr = text(child.stderr);
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk;
      if (until.test(stdout)) child.stdin.end();
    });
    child.stdin.on('error', () => undefined);
    child.stdin.write(input);
    const timer = setTimeout(() => child.kill('SIGTERM'), 200_000);
    const [code] = (await once(child, 'close')) as [number | null];
    clearTimeout(timer);
    return { code, stdout, stderr: await stderr };
  }

  test('gives a server its secret, and nobody else', async () => {
    const talk = [
      message(0, 'initialize', {
        protocolVersion: '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'test', version: '1' },
      }),
      message(undefined, 'notifications/initialized', undefined),
      message(1, 'tools/call', { name: 'get-env', arguments: {} }),
    ];
    const { code, stdout, stderr } = await inSession(
      ['run', EVERYTHING, '--secret', 'TOKEN=keyring:mail/me'],
      `${talk.join('\n')}\n`,
      /"id":1\b[^\n]*\n/,
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(SECRET);
    expect(stderr).not.toContain(SECRET);
  });

  test('that has no such entry is said, and no server starts', async () => {
    const { code, stdout, stderr } = await inSession(
      ['run', EVERYTHING, '--secret', 'TOKEN=keyring:mail/nobody'],
      '',
      /never/,
    );
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/keyring:mail\/nobody/);
    expect(stderr).toMatch(/secret-unavailable/);
  });
});
