import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { composeFiles } from '../../../../cli/line/deploy/compose.ts';
import { splitConfig } from '../../../../cli/line/deploy/split.ts';
import { systemdFiles } from '../../../../cli/line/deploy/systemd.ts';
import { writeTree } from '../../../../cli/line/deploy/tree.ts';

const config = (more: object = {}) => ({
  mcpProxy: {
    addr: ':443',
    options: { maxContainers: 4, authTokens: ['t0k'] },
    tls: { cert: '/c.pem', key: '/k.pem' },
  },
  mcpServers: {
    files: {
      command: 'npx',
      args: ['-y', 'files@1', '/home/me/notes'],
      env: { KEY: `\${FROM_HERE}` },
      secrets: { TOKEN: 'op://vault/item/token' },
      permissions: { volumes: [{ path: '/home/me/notes', mode: 'rw' }] },
      limits: { memory: 1_000_000_000 },
      options: { toolFilter: { mode: 'block', list: ['write'] } },
    },
    far: { url: 'https://far.example.test/mcp', headers: { authorization: 'Bearer f' } },
    off: { command: 'uvx', args: ['off'], options: { disabled: true } },
    ...more,
  },
});
const split = (value: unknown) => splitConfig(JSON.stringify(value), 'config.json', { FROM_HERE: 'x' });

describe('a configuration taken apart', () => {
  test('gives the daemon what is started and the gateway who may call it, and each nothing of the other’s', () => {
    const { daemon, gateway, port, volumes, tls } = split(config());
    expect(daemon).toEqual({
      mcpServers: {
        files: {
          command: 'npx',
          args: ['-y', 'files@1', '/home/me/notes'],
          // Filled in where it is used: no value of this machine's gets into a file.
          env: { KEY: `\${FROM_HERE}` },
          secrets: { TOKEN: 'op://vault/item/token' },
          permissions: { volumes: [{ path: '/home/me/notes', mode: 'rw' }] },
          limits: { memory: 1_000_000_000 },
          options: { maxContainers: 4 },
        },
        off: { command: 'uvx', args: ['off'], options: { maxContainers: 4, disabled: true } },
      },
    });
    expect(gateway.mcpServers).toEqual({
      files: { options: { toolFilter: { mode: 'block', list: ['write'] } } },
      far: { url: 'https://far.example.test/mcp', headers: { authorization: 'Bearer f' } },
      off: { options: { disabled: true } },
    });
    expect(gateway.mcpProxy).toEqual(config().mcpProxy);
    expect([port, volumes, tls]).toEqual([443, ['/home/me/notes'], { cert: '/c.pem', key: '/k.pem' }]);
    expect(JSON.stringify(daemon)).not.toContain('t0k');
  });

  test('is refused where the gateway itself would refuse it', () => {
    expect(() => split(config({ bad: { command: 'bash', args: ['-c', 'x'] } }))).toThrow(/bad/);
    expect(() => split({ server: {}, clients: {} })).toThrow(/mcpProxy/);
    expect(() => split([])).toThrow(/JSON/);
    const unset = splitConfig(JSON.stringify(config()), 'config.json', {});
    expect(unset.daemon).toEqual(split(config()).daemon);
  });
});

describe('units', () => {
  const files = systemdFiles({ halves: split(config()), program: ['/opt/m b/mcp-build'], backups: '/b', locked: true });
  const of = (name: string) => files.find(({ path }) => path.endsWith(name))?.text ?? '';

  test('give the socket to the gateway’s group, Docker to the daemon alone, and low ports to the gateway alone', () => {
    expect(of('daemon.socket')).toMatch(/SocketGroup=mcp-gateway\nSocketMode=0660/);
    expect(of('daemon.service')).toMatch(/^SupplementaryGroups=docker$/m);
    expect(of('gateway.service')).not.toMatch(/docker$/m);
    expect(of('gateway.service')).toMatch(/^InaccessiblePaths=-\/run\/docker\.sock /m);
    expect(of('gateway.service')).toMatch(/^AmbientCapabilities=CAP_NET_BIND_SERVICE$/m);
    expect(of('daemon.service')).toMatch(/^CapabilityBoundingSet=$/m);
    expect(of('daemon.service')).toMatch(/^ExecStart="\/opt\/m b\/mcp-build" daemon .* --locked$/m);
    // A server is given a folder of somebody's home: the daemon has to see that it is there.
    expect(of('daemon.service')).toMatch(/^ProtectHome=read-only$/m);
    expect(of('gateway.service')).toMatch(/^ProtectHome=yes$/m);
  });

  test('keep configurations from others', () => {
    for (const { path, mode } of files) expect(mode, path).toBe(path.endsWith('.json') ? 0o600 : 0o644);
  });
});

describe('a compose file', () => {
  const image = `registry.example.test/mcp-build@sha256:${'a'.repeat(64)}`;
  const files = composeFiles({
    halves: split(config()),
    image,
    folder: '/srv/mcp$1',
    socket: '/run/docker.sock',
    dockerGroup: 998,
    publish: '127.0.0.1',
    locked: false,
  });
  const text = files.find(({ path }) => path === 'compose.yaml')?.text ?? '';
  const { services } = JSON.parse(text.replace(/^#.*\n/, ''));

  test('mounts Docker’s socket into the container without ports only', () => {
    expect(services.daemon.volumes).toContain('/run/docker.sock:/var/run/docker.sock');
    expect(services.daemon.ports).toBeUndefined();
    expect(JSON.stringify(services.gateway)).not.toContain('docker.sock');
    expect(services.gateway.ports).toEqual(['127.0.0.1:443:9090']);
    expect(services.gateway.group_add).toBeUndefined();
  });

  test('walls both, and shows the daemon its state under the name that it has on the machine', () => {
    for (const service of [services.daemon, services.gateway]) {
      expect(service).toMatchObject({
        image,
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
      expect(service.user).not.toMatch(/^0/);
    }
    expect(services.daemon.volumes).toContain('/srv/mcp$$1/daemon/state:/srv/mcp$$1/daemon/state');
    expect(services.daemon.volumes).toContain('/home/me/notes:/home/me/notes:ro');
    expect(services.daemon.user.split(':')[0]).not.toBe(services.gateway.user.split(':')[0]);
    const inside = JSON.parse(files.find(({ path }) => path.endsWith('gateway.json'))?.text ?? '');
    expect(inside.mcpProxy).toMatchObject({ addr: ':9090', tls: { cert: '/etc/mcp-build/tls/cert.pem' } });
  });
});

describe('files of a deployment', () => {
  test('are written whole, and none is where one is there that differs', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mcp-build-deploy-'));
    try {
      const files = [
        { path: 'a/b', text: 'b', mode: 0o600 },
        { path: 'c', text: 'c', mode: 0o644 },
      ];
      expect(await writeTree(folder, files, false)).toHaveLength(2);
      expect((await stat(join(folder, 'a/b'))).mode & 0o777).toBe(0o600);
      expect(await writeTree(folder, files, false)).toEqual([]);
      const changed = files.map((file) => ({ ...file, text: `${file.text}2` }));
      await writeFile(join(folder, 'a/b'), 'b2');
      await expect(writeTree(folder, changed, false)).rejects.toMatchObject({ code: 'deploy-differs' });
      expect(await readFile(join(folder, 'c'), 'utf8')).toBe('c');
      expect(await writeTree(folder, changed, true)).toEqual([join(folder, 'c')]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
