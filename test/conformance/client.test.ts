import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import { verifyFile } from './verify.ts';

const client = fileURLToPath(new URL('client.ts', import.meta.url));
const fixture = new URL('../fixtures/trust/keyless.json', import.meta.url);

describe('the client of sigstore-conformance', () => {
  let folder: string;
  let issuer: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'conformance-'));
    const recorded = JSON.parse(await readFile(fixture, 'utf8'));
    issuer = recorded.issuer;
    for (const name of ['email', 'witnessed', 'trustedRoot']) {
      await writeFile(join(folder, `${name}.json`), JSON.stringify(recorded[name]));
    }
    await writeFile(join(folder, 'key.pub'), recorded.publicKey);
    await writeFile(join(folder, 'image'), 'image');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const run = (...args: readonly string[]): Promise<number> =>
    new Promise((resolve) => {
      execFile(process.execPath, [client, ...args], { cwd: folder }, (error) =>
        resolve(error ? Number(error.code) : 0),
      );
    });
  const who = () => ['--certificate-identity', 'someone@example.test', '--certificate-oidc-issuer', issuer];
  const root = ['--trusted-root', 'trustedRoot.json'];
  const bundle = ['verify-bundle', '--bundle', 'email.json'];

  test('gives its verdict by its exit code', async () => {
    expect(await run(...bundle, ...who(), ...root, 'image')).toBe(0);
    expect(await run(...bundle, ...who(), ...root, sha256('image'))).toBe(0);
    expect(await run(...bundle, ...who(), ...root, sha256('other'))).toBe(1);
    expect(await run(...bundle, ...who(), 'image')).toBe(1);
    expect(await run('verify-bundle', '--bundle', 'witnessed.json', '--key', 'key.pub', ...root, 'image')).toBe(0);
    expect(await run(...bundle, '--key', 'key.pub', ...root, 'image')).toBe(1);
    expect(await run(...bundle, '--certificate-identity', 'x', ...who().slice(2), ...root, 'image')).toBe(1);
    expect(await run(...bundle, ...who(), ...root, 'none')).toBe(1);
    expect(await run('sign-bundle', '--bundle', 'x', 'image')).toBe(2);
  }, 180_000);
});

// The suite's files are not ours to keep: a checkout of github.com/sigstore/sigstore-conformance.
const checkout = process.env.MCP_BUILD_TEST_CONFORMANCE;
const cases = join(checkout ?? '', 'test/assets/bundle-verify');
const names = checkout
  ? (await readdir(cases, { withFileTypes: true })).filter((one) => one.isDirectory()).map(({ name }) => name)
  : [];
const title = checkout ? '' : ' [skipped: MCP_BUILD_TEST_CONFORMANCE names no checkout of it]';

describe.skipIf(!checkout)(`the bundles of sigstore-conformance${title}`, () => {
  const workflow = '.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main';
  const identity = `https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/${workflow}`;

  test.each(names.flatMap((name) => [[name, 'file'] as const, [name, 'digest'] as const]))(
    '%s, by its %s',
    async (name, by) => {
      const text = (file: string) => readFile(join(cases, name, file), 'utf8').catch(() => undefined);
      const own = await text('artifact');
      const artifact = own === undefined ? join(cases, 'a.txt') : join(cases, name, 'artifact');
      const reason = await verifyFile({
        bundle: await readFile(join(cases, name, 'bundle.sigstore.json')),
        artifact: by === 'file' ? artifact : sha256(await readFile(artifact)),
        identity: (await text('identity'))?.trim() ?? identity,
        issuer: (await text('issuer'))?.trim() ?? 'https://token.actions.githubusercontent.com',
        key: await text('key.pub'),
        root: await text('trusted_root.json'),
      }).catch((error: Error) => error.message);
      if (name.endsWith('_fail')) expect(reason).toEqual(expect.any(String));
      else expect(reason).toBeUndefined();
    },
  );

  test('are all there', () => {
    expect(names.length).toBeGreaterThanOrEqual(70);
  });
});
