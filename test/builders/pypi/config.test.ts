import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readConfiguration } from '../../../builders/pypi/config/index.ts';
import { parseIni } from '../../../builders/pypi/config/ini.ts';
import { credentialsIn, parseNetrc } from '../../../builders/pypi/config/netrc.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'pypi-config-'));
});
afterEach(() => rm(home, { recursive: true }));

async function write(path: string, text: string): Promise<string> {
  const target = join(home, path);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text);
  return target;
}

const read = (environment: Record<string, string> = {}, workspace?: string) =>
  // Without the machine's own system-wide files: these tests are about what they write.
  readConfiguration({ environment: { HOME: home, XDG_CONFIG_DIRS: join(home, 'xdg'), ...environment }, workspace });
const addresses = async (environment: Record<string, string>, workspace?: string) =>
  (await read(environment, workspace)).indexes.map(({ name, url }) => [name, url]);

const A = 'https://a.example.test/simple';
const B = 'https://b.example.test/simple';
const C = 'https://c.example.test/simple';

describe("the user's configuration", () => {
  test('without any, the default index is one https URL that ends in a slash', async () => {
    const { indexes, strategy, timeout } = await read();
    expect(indexes).toHaveLength(1);
    expect(indexes[0]).toMatchObject({ name: 'default', credentials: undefined });
    expect(indexes[0]?.url).toMatch(/^https:\/\/[^/@?#]+\/simple\/$/);
    expect(strategy).toBeUndefined();
    expect(timeout).toBe(30);
  });

  test('the variables of uv', async () => {
    expect(await addresses({ UV_INDEX_URL: A })).toEqual([['default', `${A}/`]]);
    expect(await addresses({ UV_DEFAULT_INDEX: A, UV_INDEX_URL: B })).toEqual([['default', `${A}/`]]);
    expect(await addresses({ UV_DEFAULT_INDEX: A, UV_INDEX: `corp=${B} ${C}` })).toEqual([
      ['corp', `${B}/`],
      ['extra-1', `${C}/`],
      ['default', `${A}/`],
    ]);
    expect(await addresses({ UV_DEFAULT_INDEX: `mine=${A}`, UV_EXTRA_INDEX_URL: B })).toEqual([
      ['extra-1', `${B}/`],
      ['mine', `${A}/`],
    ]);
  });

  test('uv.toml of the user, below the variables', async () => {
    await write(
      '.config/uv/uv.toml',
      `index-strategy = "unsafe-best-match"
      allow-insecure-host = ["h.example.test:8443"]
      [[index]]
      name = "corp"
      url = "${B}"
      [[index]]
      name = "main"
      url = "${A}"
      default = true
      [[index]]
      name = "torch"
      url = "${C}"
      explicit = true
      [pip]
      prerelease = "allow"`,
    );
    const configuration = await read();
    expect(configuration.indexes.map(({ name }) => name)).toEqual(['corp', 'main']);
    expect(configuration).toMatchObject({
      strategy: 'unsafe-best-match',
      prerelease: 'allow',
      insecureHosts: ['h.example.test:8443'],
    });
    expect(await addresses({ UV_DEFAULT_INDEX: C })).toEqual([
      ['corp', `${B}/`],
      ['default', `${C}/`],
    ]);
    expect((await addresses({ UV_NO_CONFIG: '1', UV_DEFAULT_INDEX: C }))[0]).toEqual(['default', `${C}/`]);
    const other = await write('other.toml', `index-url = "${C}"`);
    expect(await addresses({ UV_CONFIG_FILE: other })).toEqual([['default', `${C}/`]]);
  });

  test('a workspace counts only when it is given', async () => {
    await write('work/uv.toml', `index-url = "${B}"`);
    await write('.config/uv/uv.toml', `index-url = "${A}"`);
    expect(await addresses({}, join(home, 'work'))).toEqual([['default', `${B}/`]]);
    expect(await addresses({})).toEqual([['default', `${A}/`]]);
    await write('project/pyproject.toml', `[tool.uv]\nindex-url = "${C}"`);
    expect(await addresses({}, join(home, 'project'))).toEqual([['default', `${C}/`]]);
  });

  test("pip's, where uv has no index", async () => {
    await write(
      '.config/pip/pip.conf',
      `[global]
index_url = ${A}
extra-index-url =
    ${B}
    ${C}
cert = /etc/ca.pem
trusted-host = H.example.test
proxy = http://proxy.example.test:3128
timeout = 7
[install]
client-cert: /etc/client.pem
`,
    );
    const configuration = await read();
    expect(configuration.indexes.map(({ name, url }) => [name, url])).toEqual([
      ['extra-1', `${B}/`],
      ['extra-2', `${C}/`],
      ['default', `${A}/`],
    ]);
    expect(configuration).toMatchObject({
      certificates: '/etc/ca.pem',
      clientCertificate: '/etc/client.pem',
      insecureHosts: ['h.example.test'],
      proxy: { http: 'http://proxy.example.test:3128', https: 'http://proxy.example.test:3128' },
      timeout: 7,
    });
    // All or nothing: an index of uv's switches pip's off.
    expect(await addresses({ UV_INDEX_URL: C })).toEqual([['default', `${C}/`]]);
    expect((await addresses({ PIP_INDEX_URL: B })).at(-1)).toEqual(['default', `${B}/`]);
    const { proxy } = await read({ HTTPS_PROXY: 'http://other.example.test' });
    expect(proxy.https).toBe('http://other.example.test');
    await write('venv/pip.conf', `[global]\nindex-url = ${C}\n`);
    expect((await addresses({ VIRTUAL_ENV: join(home, 'venv') })).at(-1)).toEqual(['default', `${C}/`]);
    expect(await addresses({ PIP_CONFIG_FILE: '/dev/null', PIP_INDEX_URL: C })).toEqual([['default', `${C}/`]]);
  });

  test('credentials, from the URL and from variables', async () => {
    const { indexes } = await read({
      UV_DEFAULT_INDEX: 'https://me:p%40ss@a.example.test/simple',
      UV_INDEX: `my-corp.index=${B}`,
      UV_INDEX_MY_CORP_INDEX_USERNAME: 'token',
      UV_INDEX_MY_CORP_INDEX_PASSWORD: 'secret',
    });
    expect(indexes).toEqual([
      { name: 'my-corp.index', url: `${B}/`, credentials: { username: 'token', password: 'secret' } },
      { name: 'default', url: `${A}/`, credentials: { username: 'me', password: 'p@ss' } },
    ]);
  });

  test.each([
    [{ UV_DEFAULT_INDEX: '/srv/wheels' }, 'index-unsupported'],
    [{ UV_DEFAULT_INDEX: 'file:///srv/wheels' }, 'index-unsupported'],
    [{ UV_NO_INDEX: '1' }, 'index-unsupported'],
    [{ PIP_NO_INDEX: '1' }, 'index-unsupported'],
  ])('%j is refused', async (environment, code) => {
    await expect(read(environment as Record<string, string>)).rejects.toMatchObject({ code });
  });

  test.each([
    ['index = "x"', 'uv-config-invalid'],
    ['[[index]]\nurl = "https://me:hunter2@h.example.test"\nurl = "https://me:hunter2@h"', 'uv-config-invalid'],
    [`[[index]]\nurl = "${A}"\nformat = "flat"`, 'index-unsupported'],
  ])('uv.toml with %j is refused, without repeating it', async (text, code) => {
    await write('.config/uv/uv.toml', text);
    const error = await read().catch((found: unknown) => found as Error & { code: string });
    expect(error).toMatchObject({ code });
    expect(String((error as Error).message) + String((error as Error).cause ?? '')).not.toContain('hunter2');
  });
});

describe('netrc', () => {
  test('machines, the default, macros, quotes and comments', () => {
    const netrc = parseNetrc(
      `# comment machine no.example.test
machine a.example.test login me password "p q"
machine b.example.test
  login you
  account x
  password #not-a-comment
macdef init
machine c.example.test login wrong password wrong

machine a.example.test login again password late
default login any password one`,
    );
    expect(credentialsIn(netrc, 'A.example.test')).toEqual({ username: 'me', password: 'p q' });
    expect(credentialsIn(netrc, 'b.example.test')).toEqual({ username: 'you', password: '#not-a-comment' });
    expect(credentialsIn(netrc, 'c.example.test')).toEqual({ username: 'any', password: 'one' });
    expect(credentialsIn(netrc, 'no.example.test')).toEqual({ username: 'any', password: 'one' });
  });

  test('a host without an entry has no credentials', () => {
    expect(credentialsIn(parseNetrc('machine a login b password c'), 'd')).toBeUndefined();
  });
});

test('ini files as pip reads them', () => {
  const sections = parseIni(
    '\uFEFFignored = 1\n[a]\nOne_Two = x = y\n; no\n# no\n--three: z\nfour =\n  p\n\n  q\n[b]\none-two=w\n',
  );
  expect([...(sections.get('a') ?? [])]).toEqual([
    ['one-two', 'x = y'],
    ['three', 'z'],
    ['four', '\np\nq'],
  ]);
  expect(sections.get('b')?.get('one-two')).toBe('w');
});
