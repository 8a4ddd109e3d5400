import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { getCACertificates } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { npmConfiguration } from '../../builders/npm/configuration.ts';
import { wheel } from '../builders/pypi/wheel.ts';
import { type Authority, makeAuthority } from '../fakes/certificates.ts';
import { type ConnectProxy, startConnectProxy } from '../fakes/connect-proxy.ts';
import { type FakeRegistry, npmRegistry } from '../fakes/npm-registry.ts';
import { type FakeIndex, pypiIndex } from '../fakes/pypi-index.ts';
import { startTlsFront, type TlsFront } from '../fakes/tls-front.ts';
import { type CliResult, cli, cliDone, type Workplace, workplace } from './harness/cli.ts';
import { describeWith } from './harness/needs.ts';

/**
 * Private registries as companies run them: a scope of npm with a token, whose tarballs lie at another host, and a PyPI index by name with a
 * password, both by TLS of the company's own authority and through its proxy, set up in the files that npm and uv read. Public packages
 * (the Node runtime) come from where they always come from, through the same proxy.
 */
const SECRETS = {
  token: 'npm_t0ken-of-the-test',
  password: 'pypi-passw0rd-of-the-test',
  proxy: 'pr0xy-passw0rd-of-the-test',
};
/** As it is, and as an Authorization header has it. */
const FORMS = [
  ...Object.values(SECRETS),
  ...[`builder:${SECRETS.password}`, `worker:${SECRETS.proxy}`, SECRETS.token].map((text) => btoa(text)),
];
const NPM = 'npm.acme.example.test';
const FILES = 'files.acme.example.test';
const OTHER = 'npm.other.example.test';
const PYPI = 'pypi.acme.example.test';
const PUBLIC = 'pypi.public.example.test';

describeWith(['uv', 'python3'], 'private registries', () => {
  const closing: (() => PromiseLike<unknown>)[] = [];
  let authority: Authority & Disposable;
  let place: Workplace;
  let user: string;
  let env: Record<string, string | undefined>;
  let proxy: ConnectProxy;
  let started: number;
  const registries = {} as Record<'acme' | 'files' | 'other', FakeRegistry>;
  const indexes = {} as Record<'acme' | 'public', FakeIndex>;

  beforeAll(async () => {
    started = Date.now();
    authority = makeAuthority();
    place = await workplace();
    closing.push(() => place[Symbol.asyncDispose]());
    registries.acme = await npmRegistry({
      token: SECRETS.token,
      unconventional: true,
      tarballs: (_release, file) => `https://${FILES}/elsewhere/${file}`,
    });
    registries.files = await npmRegistry();
    registries.other = await npmRegistry({ tarballs: (_release, file) => `https://${OTHER}/elsewhere/${file}` });
    indexes.acme = await pypiIndex({ auth: { username: 'builder', password: SECRETS.password }, authFiles: true });
    indexes.public = await pypiIndex();
    for (const fake of [...Object.values(registries), ...Object.values(indexes)]) closing.push(() => fake.close());
    publish();
    proxy = await startConnectProxy(
      {
        [NPM]: await behindTls(NPM, registries.acme.url),
        [FILES]: await behindTls(FILES, registries.files.url),
        [OTHER]: await behindTls(OTHER, registries.other.url),
        [PYPI]: await behindTls(PYPI, indexes.acme.url),
        [PUBLIC]: await behindTls(PUBLIC, indexes.public.url),
      },
      'connect',
    );
    closing.push(() => proxy[Symbol.asyncDispose]());
    user = join(dirname(place.cwd), 'user');
    env = await configure(SECRETS.token, SECRETS.password);
  });

  afterAll(async () => {
    for (const close of closing.reverse()) await close();
    authority?.[Symbol.dispose]();
  });

  async function behindTls(host: string, url: string): Promise<number> {
    const front: TlsFront = await startTlsFront(Number(new URL(url).port), authority.issue([host]));
    closing.push(() => front[Symbol.asyncDispose]());
    return front.port;
  }

  function publish(): void {
    // The downloads of earlier runs are kept by their hash: these are to be asked for.
    const run = { 'run.txt': randomUUID() };
    const notes = {
      name: '@acme/notes',
      version: '1.2.0',
      manifest: { bin: { notes: 'cli.js' }, dependencies: { '@acme/core': '^1.0.0', '@other/part': '1.0.0' } },
      files: { 'cli.js': '#!/usr/bin/env node\n', ...run },
    };
    const core = { name: '@acme/core', version: '1.0.1', files: { 'index.js': '', ...run } };
    registries.acme.publish(notes, core);
    registries.files.publish(notes, core);
    registries.other.publish({ name: '@other/part', version: '1.0.0', files: { 'index.js': '', ...run } });
    indexes.acme.add(
      'acme-notes',
      wheel({
        name: 'acme_notes',
        version: '2.0',
        requires: ['leftpart'],
        scripts: { 'acme-notes': 'acme_notes:main' },
        files: { 'acme_notes.py': 'def main(): pass\n', ...run },
      }),
    );
    // Dependency confusion: the same name, newer, where anybody may publish.
    indexes.public.add(
      'acme-notes',
      wheel({ name: 'acme_notes', version: '9.9', scripts: { 'acme-notes': 'x:y' }, files: { 'x.py': '' } }),
    );
    indexes.public.add(
      'leftpart',
      wheel({ name: 'leftpart', version: '1.0', files: { 'leftpart.py': 'x = 1\n', ...run } }),
    );
  }

  /** The user's files; nothing of this machine's own settings but whom it trusts. */
  async function configure(token: string, password: string): Promise<Record<string, string | undefined>> {
    const environment: Record<string, string | undefined> = Object.fromEntries(
      Object.keys(process.env)
        .filter((name) => /^(?:PIP_|UV_|XDG_CONFIG|npm_config_|(?:https?|all|no)_proxy$|NETRC$)/i.test(name))
        .map((name) => [name, undefined]),
    );
    const through = `http://worker:${SECRETS.proxy}@${new URL(proxy.url).host}`;
    const { flat } = await npmConfiguration({ environment: { ...process.env }, workspace: undefined });
    const trusted = [flat.ca ?? [], getCACertificates('default'), getCACertificates('system'), authority.ca].flat();
    const files = {
      'ca.pem': trusted.join('\n'),
      '.npmrc': [
        `@acme:registry=https://${NPM}/`,
        `//${NPM}/:_authToken=${token}`,
        `@other:registry=https://${OTHER}/`,
        `cafile=${join(user, 'ca.pem')}`,
        `https-proxy=${through}`,
      ].join('\n'),
      '.config/uv/uv.toml': [
        `https-proxy = "${through}"`,
        ...['[[index]]', 'name = "acme"', `url = "https://${PYPI}/simple/"`],
        ...['[[index]]', 'name = "public"', `url = "https://${PUBLIC}/simple/"`, 'default = true'],
      ].join('\n'),
      '.netrc': `machine ${PYPI} login builder password ${password}\n`,
    };
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(user, name)), { recursive: true });
      await writeFile(join(user, name), `${text}\n`, { mode: 0o600 });
    }
    return { ...environment, ...place.env, HOME: user, SSL_CERT_FILE: join(user, 'ca.pem') };
  }

  const run = (...args: string[]) => cliDone(args, { cwd: place.cwd, env });

  function expectSilent({ stdout, stderr }: Pick<CliResult, 'stdout' | 'stderr'>): void {
    for (const form of FORMS) expect(stdout + stderr).not.toContain(form);
  }

  async function built(source: string, name: string): Promise<string> {
    const locked = await run('lock', source, '--name', name, '--platform', 'linux/amd64', '--no-bytecode');
    const made = await run('build', name);
    for (const one of [locked, made]) expectSilent(one);
    const checked = await run('lock', '--check', name);
    expectSilent(checked);
    return readFile(join(place.cwd, 'lockfiles', name, 'image.lock.json'), 'utf8');
  }

  test('an npm scope with a token, whose tarballs lie elsewhere', async () => {
    const lock = await built('npm:@acme/notes', 'notes-npm');
    for (const name of ['@acme/notes', '@acme/core', '@other/part']) expect(lock).toContain(`"${name}"`);
    expect(lock).not.toContain('example.test');
    expect(registries.acme.asked.every(({ authorization }) => authorization === `Bearer ${SECRETS.token}`)).toBe(true);
    for (const { asked } of [registries.files, registries.other]) {
      expect(asked.some(({ path }) => path.endsWith('.tgz'))).toBe(true);
      expect(asked.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
    }
  });

  test('a PyPI index with a name and a password', async () => {
    const lock = await built('pypi:acme-notes', 'notes-pypi');
    expect(JSON.parse(lock)).toMatchObject({ source: { version: '2.0' } });
    expect(lock).not.toContain('example.test');
    // Of the first index that has a name; the newer one of a stranger doesn't count.
    expect(indexes.public.asked.map(({ path }) => path)).not.toContain(
      '/files/acme-notes/acme_notes-9.9-py3-none-any.whl',
    );
    const basic = `Basic ${Buffer.from(`builder:${SECRETS.password}`).toString('base64')}`;
    const headers = indexes.acme.asked.map(({ authorization }) => authorization);
    expect(headers).toContain(basic);
    // uv asks without a password first, and is told to have one.
    expect(headers.filter((header) => header !== undefined && header !== basic)).toEqual([]);
    expect(indexes.public.asked.some(({ path }) => path.includes('leftpart'))).toBe(true);
    expect(indexes.public.asked.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  });

  test('everything went through the proxy, which learnt its own password and no other', () => {
    for (const host of [NPM, FILES, OTHER, PYPI, PUBLIC]) expect(proxy.tunnels).toContain(`${host}:443`);
    const basic = `Basic ${Buffer.from(`worker:${SECRETS.proxy}`).toString('base64')}`;
    for (const headers of proxy.headers) {
      expect(headers['proxy-authorization']).toBe(basic);
      expect(headers.authorization).toBeUndefined();
    }
  });

  test('nothing that was written holds a credential: locks, images, logs, the cache', async () => {
    const cache = join(place.home, 'cache');
    const written = [...(await filesOf(place.cwd)), ...(await filesOf(place.home)), ...(await filesOf(`${cache}/`))];
    let layers = 0;
    for (const path of written) {
      const { mtimeMs, size } = await stat(path);
      if (mtimeMs < started || size > 8e6) continue;
      const bytes = await readFile(path);
      const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
      if (zipped) layers++;
      const texts = zipped ? [bytes, gunzipSync(bytes)] : [bytes];
      for (const form of FORMS)
        expect(
          texts.some((text) => text.includes(form)),
          `${form} in ${path}`,
        ).toBe(false);
    }
    // The image's own, of both servers at least.
    expect(layers).toBeGreaterThanOrEqual(4);
  });

  test.each([
    ['npm:@acme/core', 'wrong-t0ken', SECRETS.password, 'wrong-t0ken'],
    ['pypi:acme-notes', SECRETS.token, 'wrong-passw0rd', 'wrong-passw0rd'],
  ])(
    '%s with the wrong credential is refused by its code, and the credential not repeated',
    async (source, token, password, wrong) => {
      const own = await configure(token, password);
      // What another test has fetched isn't asked for again.
      const cold = join(dirname(place.cwd), `cold-${wrong}`);
      const refused = await cli(['lock', source, '--name', 'refused', '--platform', 'linux/amd64'], {
        cwd: place.cwd,
        env: { ...own, MCP_BUILD_HOME: cold },
      });
      expect(refused.stderr).toContain('[registry-unauthorized]');
      expect(refused.code).toBe(5);
      expect(refused.stderr).not.toContain(wrong);
      expectSilent(refused);
    },
  );
});

async function filesOf(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
