import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseLimits, parseNetwork, parsePermissions, parseSize, parseVolume } from '../../runner/index.ts';
import { resolveVolumes, unchanged } from '../../runner/volumes.ts';

describe('permissions', () => {
  test('are nothing unless something is declared', () => {
    expect(parsePermissions({})).toEqual({ network: 'none', volumes: [], environment: [] });
  });

  test('name destinations with a port, which is 443 where none is given', () => {
    expect(parsePermissions({ network: ['API.example.test', '*.example.test:8443'] }).network).toEqual([
      'api.example.test:443',
      '*.example.test:8443',
    ]);
  });

  test.each([
    [{ privileged: true }],
    [{ CapAdd: ['SYS_ADMIN'] }],
    [{ cap_add: [] }],
    [{ devices: ['/dev/sda'] }],
    [{ pid: 'host' }],
    [{ hostNetwork: true }],
    [{ network: 'host' }],
    [{ network: 'container:other' }],
    [{ 'security-opt': 'seccomp=unconfined' }],
    [{ user: 'root' }],
    [{ 'docker-socket': true }],
  ])('never hold %j', (value) => {
    expect(() => parsePermissions(value)).toThrow(expect.objectContaining({ code: 'permission-refused', exit: 3 }));
  });

  test.each([
    [{ networks: 'none' }],
    [{ network: [] }],
    [{ network: ['http://example.test'] }],
    [{ network: ['10.0.0.1:443'] }],
    [{ network: ['*'] }],
    [{ network: ['*.*.test'] }],
    [{ network: ['example.test:99999'] }],
    [{ volumes: [{ path: '/data', mode: 'rwx' }] }],
    [{ volumes: ['/data'] }],
    [{ environment: ['A=B'] }],
    [{ environment: ['A B'] }],
    ['none'],
    [null],
    [[]],
  ])('are not %j', (value) => {
    expect(() => parsePermissions(value)).toThrow(expect.objectContaining({ code: 'permission-invalid', exit: 2 }));
  });

  test('are read from flags', () => {
    expect(parseVolume('/data')).toEqual({ path: '/data', mode: 'ro' });
    expect(parseVolume('/data:ro')).toEqual({ path: '/data', mode: 'ro' });
    expect(parseVolume('/data:rw')).toEqual({ path: '/data', mode: 'rw' });
    expect(parseNetwork('all')).toBe('all');
    expect(parseNetwork('a.example.test, b.example.test:80')).toEqual(['a.example.test:443', 'b.example.test:80']);
    for (const text of ['data', './data:rw', '/data:/other:rw', '', ':rw']) {
      expect(() => parseVolume(text)).toThrow(expect.objectContaining({ code: 'permission-invalid' }));
    }
    expect(() => parseNetwork('host')).toThrow(expect.objectContaining({ code: 'permission-refused' }));
  });
});

describe('limits', () => {
  test('have defaults, and take their place one by one', () => {
    expect(parseLimits({ memory: parseSize('1g') })).toMatchObject({ memory: 1024 ** 3, pids: 256 });
    expect(parseSize('512M')).toBe(512 * 1024 ** 2);
    expect(parseSize('77')).toBe(77);
  });

  test.each([[{ memory: -1 }], [{ pids: 0 }], [{ cpus: 'all' }], [{ unlimited: true }]])('are not %j', (value) => {
    expect(() => parseLimits(value)).toThrow(expect.objectContaining({ code: 'limit-invalid' }));
  });

  test.each(['', '1t', '-1', 'all', '1.5g', '9999999999999999g'])('have no size "%s"', (text) => {
    expect(() => parseSize(text)).toThrow(expect.objectContaining({ code: 'limit-invalid' }));
  });
});

describe('volumes', () => {
  let folder: string;
  let home: string;
  let state: string;
  let socket: string;
  let server: net.Server;
  const judge = (path: string) => resolveVolumes([{ path, mode: 'rw' }], { home, state, sockets: [socket] });

  beforeAll(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'volumes-')));
    home = join(folder, 'home');
    state = join(home, 'state');
    socket = join(folder, 'daemon', 'docker.sock');
    for (const path of ['home/notes', 'home/state/keys', 'daemon', 'project'])
      await mkdir(join(folder, path), { recursive: true });
    await writeFile(join(folder, 'project', 'file'), '');
    await symlink('/etc', join(folder, 'project', 'etc'));
    await symlink(state, join(folder, 'project', 'state'));
    await symlink(join(folder, 'project'), join(folder, 'link'));
    server = net.createServer().listen(socket);
    await new Promise((resolve) => server.once('listening', resolve));
  });
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true, force: true });
  });

  test('are folders and files of the user, with what they were when they were judged', async () => {
    const [volume] = await judge(join(folder, 'project'));
    expect(volume).toMatchObject({ path: join(folder, 'project'), mode: 'rw', uid: process.getuid?.() });
    expect(await unchanged(volume!)).toBe(true);
    await expect(judge(join(folder, 'project', 'file'))).resolves.toHaveLength(1);
    await expect(judge(join(home, 'notes'))).resolves.toHaveLength(1);
  });

  test('notice that they were replaced', async () => {
    const path = join(folder, 'replaced');
    await mkdir(path);
    const [volume] = await judge(path);
    await rm(path, { recursive: true });
    await symlink('/etc', path);
    expect(await unchanged(volume!)).toBe(false);
  });

  test.each([
    '/',
    '/proc',
    '/proc/1',
    '/sys',
    '/dev',
    '/dev/shm',
    '/etc',
    '/etc/ssl',
    '/boot',
    '/root',
    '/home',
    '/usr',
    '/usr/bin',
    '/var',
    '/var/run',
    '/run',
    '/var/run/docker.sock',
    '/run/docker.sock',
    '/var/lib/docker',
    '/tmp',
    '/app',
    '/config',
  ])('are never %s, whether it exists or not', async (path) => {
    await expect(judge(path)).rejects.toMatchObject({ code: 'permission-refused' });
  });

  test.each([
    ['the home folder', () => home],
    ["mcp-build's own state", () => state],
    ['a part of it', () => join(state, 'keys')],
    ['what holds it', () => folder],
    ["the daemon's socket", () => socket],
    ['what holds the socket', () => join(folder, 'daemon')],
    ['a link that leads out', () => join(folder, 'project', 'etc')],
    ['a link to the state', () => join(folder, 'project', 'state')],
    ['a path through a link', () => join(folder, 'link', 'file')],
    ['a path with ..', () => `${folder}/project/../home/notes`],
    ['a relative path', () => 'project'],
  ])('are never %s', async (_name, path) => {
    await expect(judge(path())).rejects.toMatchObject({ code: 'permission-refused', exit: 3 });
  });

  test('must exist, so that no daemon makes them for root', async () => {
    await expect(judge(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'volume-missing' });
  });

  test('are given once each', async () => {
    const volume = { path: join(folder, 'project'), mode: 'ro' as const };
    await expect(resolveVolumes([volume, volume], { home, state, sockets: [] })).rejects.toMatchObject({
      code: 'permission-refused',
    });
  });
});
