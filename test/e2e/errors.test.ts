import { chmod, mkdir, readdir, rm, symlink } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type CliResult, cli, type Workplace, workplace } from './harness/cli.ts';
import { fakePackage } from './harness/package.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function fresh(): Promise<Workplace> {
  const place = await workplace('cold');
  closing.push(() => place[Symbol.asyncDispose]());
  return place;
}

/** A registry that answers as the test says; its address goes into npm's own configuration, as a user's mirror would. */
async function registry(answer: http.RequestListener): Promise<string> {
  const server = http.createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(
    () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

function status(code: number, body = '', type = 'application/json'): http.RequestListener {
  return (_request, response) => {
    response.writeHead(code, { 'content-type': type });
    response.end(body);
  };
}

/** Exactly one error, said once, with its code and what to do; no stack, nothing on stdout. */
function expectError(result: CliResult, exit: number, ...codes: readonly string[]): void {
  const errors = [...result.stderr.matchAll(/^mcp-build: .*\[([a-z0-9-]+)\]$/gm)].map((match) => match[1]);
  expect(errors, result.stderr).toHaveLength(1);
  expect(codes, result.stderr).toContain(errors[0]);
  expect(result.code, result.stderr).toBe(exit);
  expect(result.stderr).not.toMatch(/^\s+at .+:\d+/m);
  expect(result.stdout).toBe('');
}

/** Nothing in the working directory, and in the state nothing that a crash would leave: temporaries, locks, half a store. */
async function expectNothingLeft(place: Workplace): Promise<void> {
  expect(await readdir(place.cwd)).toEqual([]);
  const left = await readdir(place.home, { recursive: true });
  expect(
    left.filter(
      (file) => /\.tmp$|(^|\/)tmp-|\.lock$|image\.lock\.json$/.test(file) && !file.startsWith('cache/_cacache'),
    ),
  ).toEqual([]);
}

describe('lock', () => {
  test('a package that does not exist', async () => {
    const place = await fresh();
    const host = await registry(status(404, '{"error":"not found"}'));
    const result = await cli(['lock', 'npm:no-such-server'], {
      ...place,
      env: { ...place.env, npm_config_registry: host },
    });
    expectError(result, 1, 'package-not-found');
    expect(result.stderr).toContain('no-such-server');
    await expectNothingLeft(place);
  });

  test('a version that does not exist', async () => {
    const place = await fresh();
    const host = await registry(
      fakePackage({ name: 'a-server', version: '1.0.0', bin: { 'a-server': 'index.js' } }).listener,
    );
    const result = await cli(['lock', 'npm:a-server@9.9.9'], {
      ...place,
      env: { ...place.env, npm_config_registry: host },
    });
    expectError(result, 1, 'version-not-found');
    expect(result.stderr).toContain('9.9.9');
    await expectNothingLeft(place);
  });

  test('a package that is no server', async () => {
    const place = await fresh();
    const host = await registry(fakePackage({ name: 'a-library', version: '1.0.0' }).listener);
    const result = await cli(['lock', 'npm:a-library'], { ...place, env: { ...place.env, npm_config_registry: host } });
    expectError(result, 1, 'not-a-server');
    await expectNothingLeft(place);
  });

  test.each([
    ['npm:foo;touch canary'],
    ['npm:$(touch canary)'],
    ['npm:../../etc/passwd'],
    ['npm:`touch canary`'],
    ['npm:foo@git+ssh://example.test/x.git'],
    ['pypi:foo && touch canary'],
    ['pypi:foo @ https://example.test/foo.whl'],
    ['npm:'],
  ])('%s is no source', async (source) => {
    const place = await fresh();
    expectError(await cli(['lock', source], place), 2, 'source-invalid');
    await expectNothingLeft(place);
  });

  test('a name of ten thousand letters', async () => {
    const place = await fresh();
    expectError(await cli(['lock', `npm:${'a'.repeat(10_000)}`], place), 2, 'source-invalid');
    await expectNothingLeft(place);
  });

  test.each([
    ['500', status(500, 'oops'), ['registry-unavailable']],
    ['503 with HTML', status(503, '<html>maintenance</html>', 'text/html'), ['registry-unavailable']],
    [
      'HTML instead of JSON',
      status(200, '<!doctype html><title>Log in</title>', 'text/html'),
      ['registry-invalid', 'registry-unavailable'],
    ],
    ['JSON of another shape', status(200, '[]'), ['registry-invalid', 'registry-unavailable']],
  ] as const)('a registry that answers %s', async (_name, answer, codes) => {
    const place = await fresh();
    const host = await registry(answer);
    const env = { ...place.env, npm_config_registry: host, npm_config_fetch_retries: '0' };
    expectError(await cli(['lock', 'npm:a-server'], { ...place, env }), 5, ...codes);
    await expectNothingLeft(place);
  });

  test('a registry that nobody serves', async () => {
    const place = await fresh();
    const env = { ...place.env, npm_config_registry: 'http://127.0.0.1:1/', npm_config_fetch_retries: '0' };
    expectError(await cli(['lock', 'npm:a-server'], { ...place, env }), 5, 'registry-unavailable');
    await expectNothingLeft(place);
  });

  test('a download that ends too early, or has other bytes than the index says', async () => {
    for (const fault of ['truncated', 'swapped'] as const) {
      const place = await fresh();
      const host = await registry(
        fakePackage({ name: 'a-server', version: '1.0.0', bin: { 'a-server': 'index.js' } }, fault).listener,
      );
      const env = { ...place.env, npm_config_registry: host, npm_config_fetch_retries: '0' };
      const result = await cli(['lock', 'npm:a-server'], { ...place, env });
      if (fault === 'swapped') expectError(result, 1, 'integrity');
      else expectError(result, result.code === 1 ? 1 : 5, 'integrity', 'artifact-unavailable', 'registry-unavailable');
      await expectNothingLeft(place);
    }
  });
});

describe('a store that can’t be written', () => {
  test('is one error that names it', async () => {
    const place = await fresh();
    const root = process.getuid?.() === 0;
    const work = join(place.cwd, 'lockfiles');
    await mkdir(work, { mode: 0o555 });
    await chmod(place.home, 0o555);
    const result = await cli(['build', 'npm:@modelcontextprotocol/server-memory'], {
      ...place,
      env: { ...place.env, HOME: place.home, npm_config_cache: undefined },
      // Root writes where nobody else may.
      ...(root ? { uid: 65534 } : {}),
    });
    expectError(result, 1, 'not-writable');
    await chmod(place.home, 0o755);
    expect(await readdir(place.home)).toEqual([]);
    await rm(work, { recursive: true });
  });

  test('a state folder that is a file', async () => {
    const place = await fresh();
    await rm(place.home, { recursive: true });
    await symlink('/dev/null', place.home);
    const result = await cli(['build', 'npm:@modelcontextprotocol/server-memory'], place);
    expectError(result, 1, 'not-writable', 'home-invalid');
  });
});

describe('run without Docker', () => {
  test('says that Docker can’t be reached', async () => {
    const place = await workplace();
    closing.push(() => place[Symbol.asyncDispose]());
    const env = { ...place.env, DOCKER_HOST: `unix://${join(place.cwd, 'nothing.sock')}` };
    expectError(
      await cli(['run', 'npm:@modelcontextprotocol/server-memory'], { ...place, env }),
      1,
      'docker-unavailable',
    );
    expect(await readdir(place.cwd)).toEqual([]);
  });
});

describe('usage', () => {
  test.each([
    [['frobnicate']],
    [['lock']],
    [['lock', 'npm:x', '--no-such-flag']],
    [['build', 'no-such-lock']],
    [['build', '../../etc']],
  ])('%j', async (args) => {
    const place = await fresh();
    const result = await cli(args, place);
    expect([1, 2]).toContain(result.code);
    expect(result.stdout).toBe('');
    expect(result.stderr.trim()).not.toBe('');
    expect(result.stderr).not.toMatch(/^\s+at .+:\d+/m);
    await expectNothingLeft(place);
  });
});
