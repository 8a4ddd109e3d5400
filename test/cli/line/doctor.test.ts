import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { diagnoseLine } from '../../../cli/line/doctor.ts';
import { homeOf } from '../../../cli/line/home.ts';
import { machineKey } from '../../../cli/line/keys.ts';
import { generateKey, publicPem } from '../../../trust/index.ts';

let folder: string;
let servers: Server[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'doctor-'));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await rm(folder, { recursive: true, force: true });
});

/** A registry that answers everything with this status, at this distance from our clock. */
async function registry(status: number, ahead = 0, headers: Record<string, string> = {}): Promise<string> {
  const server = createServer((_request, response) => {
    response.sendDate = false;
    response.writeHead(status, { date: new Date(Date.now() + ahead).toUTCString(), ...headers }).end('{}');
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function diagnosed(more: Record<string, string> = {}, offline = false) {
  const environment = {
    HOME: folder,
    PATH: process.env.PATH,
    MCP_BUILD_HOME: join(folder, 'state'),
    DOCKER_CONFIG: join(folder, 'docker'),
    npm_config_fetch_retries: '0',
    UV_HTTP_RETRIES: '0',
    ...more,
  };
  const checks = await diagnoseLine({ home: homeOf(environment), environment, workspace: folder, offline });
  return (id: string) => checks.filter((check) => check.id === id);
}

async function reachable(ahead = 0) {
  return { npm_config_registry: await registry(200, ahead), UV_DEFAULT_INDEX: `${await registry(200)}/simple` };
}

describe('registries', () => {
  test('that answer are said to, and the clock agrees', async () => {
    const found = await diagnosed(await reachable());
    expect(found('registry-npm')).toMatchObject([{ status: 'ok' }]);
    expect(found('registry-pypi')).toMatchObject([{ status: 'ok' }]);
    expect(found('clock')).toMatchObject([{ status: 'ok' }]);
  });

  test('that refuse, or are gone, are named with what to do, and without a password', async () => {
    const refusing = new URL(await registry(401));
    refusing.username = 'me';
    refusing.password = 'hidden-word';
    const gone = await registry(200);
    servers.pop()?.close();
    const found = await diagnosed({ npm_config_registry: gone, UV_DEFAULT_INDEX: `${refusing.href}simple` });
    expect(found('registry-npm')).toMatchObject([
      { status: 'fail', detail: expect.stringContaining(new URL(gone).host) },
    ]);
    expect(found('registry-pypi')).toMatchObject([
      { status: 'fail', detail: expect.stringContaining(refusing.host), fix: expect.any(String) },
    ]);
    expect(JSON.stringify([found('registry-pypi'), found('registry-npm')])).not.toContain('hidden-word');
    expect(found('clock')).toMatchObject([{ status: 'warn' }]);
  });

  test('of images are those with credentials and the manifest’s', async () => {
    const host = new URL(await registry(200)).host;
    const other = new URL(await registry(401, 0, { 'www-authenticate': 'Basic realm="x"' })).host;
    await mkdir(join(folder, 'docker'));
    const auth = Buffer.from('me:wrong-word').toString('base64');
    await writeFile(join(folder, 'docker/config.json'), JSON.stringify({ auths: { [other]: { auth } } }), {
      mode: 0o600,
    });
    await writeFile(join(folder, 'mcp-build.yaml'), `version: 1\nregistry: ${host}/team\nservers: {}\n`);
    const found = await diagnosed(await reachable());
    const details = found('registry-images').map(({ status, detail }) => [
      status,
      detail.includes(other),
      detail.includes(host),
    ]);
    expect(details).toEqual(
      expect.arrayContaining([
        ['fail', true, false],
        ['ok', false, true],
      ]),
    );
    expect(JSON.stringify(found('registry-images'))).not.toContain('wrong-word');
  });

  test.each([
    [2 * 60_000, 'warn', 'behind'],
    [-20 * 60_000, 'fail', 'ahead of'],
  ])('a clock %i ms off is noticed', async (ahead, status, word) => {
    const found = await diagnosed(await reachable(ahead));
    expect(found('clock')).toMatchObject([{ status, detail: expect.stringContaining(word), fix: expect.any(String) }]);
  });

  test('are left alone offline', async () => {
    const found = await diagnosed({ npm_config_registry: 'http://127.0.0.1:9' }, true);
    expect([...found('registry-npm'), ...found('clock')]).toEqual([]);
    expect(found('permissions')).toMatchObject([{ status: 'ok' }]);
  });
});

describe('keys', () => {
  const home = () => homeOf({ MCP_BUILD_HOME: join(folder, 'state') });

  test('there are none yet', async () => {
    expect((await diagnosed({}, true))('keys')).toMatchObject([{ status: 'ok' }]);
  });

  test('that belong together are in order', async () => {
    await machineKey(home(), () => undefined);
    const found = await diagnosed({}, true);
    expect(found('machine-key')).toMatchObject([{ status: 'ok' }]);
    expect(found('permissions')).toMatchObject([{ status: 'ok' }]);
  });

  test('that don’t belong together, are damaged or lack a half are not', async () => {
    await machineKey(home(), () => undefined);
    const open = join(home().keys, 'machine.pub');
    await writeFile(open, publicPem(generateKey()));
    expect((await diagnosed({}, true))('machine-key')).toMatchObject([
      { status: 'fail', detail: expect.stringMatching(/not the public half/) },
    ]);
    await writeFile(open, 'nonsense');
    expect((await diagnosed({}, true))('machine-key')).toMatchObject([{ status: 'fail', fix: expect.any(String) }]);
    await rm(open);
    expect((await diagnosed({}, true))('machine-key')).toMatchObject([
      { status: 'fail', detail: expect.stringMatching(/no public half/) },
    ]);
  });

  test('that others may read, and state that others may change, are named with the command', async () => {
    await machineKey(home(), () => undefined);
    const key = join(home().keys, 'machine.key');
    await chmod(key, 0o644);
    await chmod(home().root, 0o777);
    const fixes = (await diagnosed({}, true))('permissions').map(({ status, fix }) => [status, fix]);
    expect(fixes).toEqual(
      expect.arrayContaining([
        ['fail', `Run: chmod 600 ${key}`],
        ['fail', `Run: chmod go-w ${home().root}`],
      ]),
    );
  });
});
