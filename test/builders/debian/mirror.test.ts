import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mirrorOf, withoutCredentials } from '../../../builders/debian/mirror.ts';

let apt: string;

beforeEach(async () => {
  apt = await mkdtemp(join(tmpdir(), 'mcp-build-apt-'));
});

afterEach(async () => {
  await rm(apt, { recursive: true, force: true });
});

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(apt, path)), { recursive: true });
  await writeFile(join(apt, path), text);
}

const DEB822 = `# A comment
Types: deb deb-src
URIs: https://mirror.example.test/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://security.example.test/debian-security
Suites: bookworm-security
Components: main
`;

describe('mirrorOf', () => {
  test('takes the mirror that is set, and derives where its security archive is', async () => {
    const environment = { MCP_BUILD_DEBIAN_MIRROR: 'https://mirror.example.test/debian//' };
    expect(await mirrorOf({ environment, apt })).toMatchObject({
      main: 'https://mirror.example.test/debian',
      security: 'https://mirror.example.test/debian-security',
      snapshot: undefined,
    });
  });

  test('takes the security mirror and the snapshot service that are set', async () => {
    const environment = {
      MCP_BUILD_DEBIAN_MIRROR: 'https://mirror.example.test/debian',
      MCP_BUILD_DEBIAN_SECURITY_MIRROR: 'http://127.0.0.1:1/sec',
      MCP_BUILD_DEBIAN_SNAPSHOT: 'https://snapshot.example.test/',
    };
    expect(await mirrorOf({ environment, apt })).toMatchObject({
      security: 'http://127.0.0.1:1/sec',
      snapshot: 'https://snapshot.example.test',
    });
  });

  test('reads deb822 sources of apt', async () => {
    await write('sources.list.d/debian.sources', DEB822);
    expect(await mirrorOf({ environment: {}, apt })).toMatchObject({
      main: 'https://mirror.example.test/debian',
      security: 'https://security.example.test/debian-security',
    });
  });

  test('reads one-line sources of apt, whichever Debian the machine has', async () => {
    await write(
      'sources.list',
      '# deb http://no.example.test/debian bookworm main\ndeb [arch=amd64 signed-by=/x] http://a.example.test/debian bullseye main # x\n',
    );
    await write(
      'sources.list.d/s.list',
      'deb-src http://no.example.test/s bullseye-security main\ndeb http://a.example.test/s bullseye-security main\n',
    );
    expect(await mirrorOf({ environment: {}, apt })).toMatchObject({
      main: 'http://a.example.test/debian',
      security: 'http://a.example.test/s',
    });
  });

  test.each([
    ['disabled', 'sources.list.d/a.sources', `${DEB822.split('\n\n')[0]}\nEnabled: no\n`],
    ['of a vendor', 'sources.list', 'deb https://vendor.example.test/apt nodistro main\n'],
    ['of another distribution', 'sources.list', 'deb https://mirror.example.test/ubuntu noble main\n'],
    ['of another component', 'sources.list', 'deb https://mirror.example.test/debian trixie non-free-firmware\n'],
    [
      'not of a kind that can be read',
      'sources.list',
      'deb cdrom:[x]/ trixie main\ndeb file:/srv/debian trixie main\n',
    ],
    ['unreadable', 'sources.list.d/a.sources', 'no field\n'],
    ['not named as apt would take it', 'sources.list.d/a.sources.disabled', DEB822],
  ])('a source that is %s names no mirror', async (_, path, text) => {
    await write(path, text);
    await expect(mirrorOf({ environment: {}, apt })).rejects.toMatchObject({ code: 'mirror-unset', exit: 2 });
  });

  test('takes the proxy of apt with the mirror of apt, and the environment over both', async () => {
    await write('sources.list.d/debian.sources', DEB822);
    await write('apt.conf.d/01proxy', 'Acquire::http::Proxy "http://a.example.test:3128";\n');
    await write(
      'apt.conf.d/02proxy',
      'Acquire::http::proxy "http://b.example.test:3128/";\n// Acquire::http::Proxy "http://c.example.test";\n',
    );
    expect((await mirrorOf({ environment: {}, apt })).proxy).toBe('http://b.example.test:3128/');
    const environment = { https_proxy: 'http://c.example.test' };
    expect((await mirrorOf({ environment, apt })).proxy).toBe('http://c.example.test');
    await write('apt.conf.d/03proxy', 'Acquire::http::Proxy "DIRECT";\n');
    expect((await mirrorOf({ environment: {}, apt })).proxy).toBeUndefined();
  });

  test.each(['ftp://mirror.example.test/debian', '/srv/debian', 'https://', 'javascript:1'])(
    'refuses %s',
    async (url) => {
      const refused = mirrorOf({ environment: { MCP_BUILD_DEBIAN_MIRROR: url }, apt });
      await expect(refused).rejects.toMatchObject({
        code: 'mirror-invalid',
        input: 'MCP_BUILD_DEBIAN_MIRROR',
        exit: 2,
      });
    },
  );
});

test('withoutCredentials leaves none, an @ in the password included', () => {
  expect(withoutCredentials('https://user:p@ss@mirror.example.test/debian/a@b')).toBe(
    'https://mirror.example.test/debian/a@b',
  );
  expect(withoutCredentials('https://mirror.example.test/a@b')).toBe('https://mirror.example.test/a@b');
});
