import { describe, expect, test } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import { inspectSchema } from '../../runner/compare.ts';
import { type ContainerSpec, containerSpec, differences, LIMITS, userFor } from '../../runner/index.ts';

const image = {
  env: ['PATH=/bin', 'HOME=/home/nonroot'],
  entrypoint: ['/bin/server'],
  labels: { title: 'x' },
  volumes: ['/data'],
};
const spec = containerSpec({
  imageId: sha256('image'),
  image,
  volumes: [
    { path: '/srv/read', mode: 'ro', device: 1, inode: 1, uid: 1000, gid: 1000 },
    { path: '/srv/write', mode: 'rw', device: 1, inode: 2, uid: 1000, gid: 1000 },
  ],
  network: { kind: 'none' },
  limits: LIMITS,
  identity: { user: { uid: 1000, gid: 1000 }, labels: { owner: 'me' } },
  launch: { args: ['--flag'], env: {}, files: [{ source: '/private/0', target: '/run/mcp-build/environment.cjs' }] },
});
const facts = { swapLimit: true, security: ['seccomp'], cpus: 2 };

/** What a daemon says of a container that it made exactly as asked. */
function honest(of: ContainerSpec): Record<string, unknown> {
  return JSON.parse(
    JSON.stringify({
      Id: 'a'.repeat(64),
      Name: '/x',
      Image: of.Image,
      State: { Status: 'created', Running: false, ExitCode: 0 },
      Config: {
        User: of.User,
        Env: [...of.Env, ...image.env],
        Entrypoint: of.Entrypoint ?? image.entrypoint,
        Cmd: of.Cmd,
        Labels: { ...image.labels, ...of.Labels },
        Tty: false,
        OpenStdin: true,
        StdinOnce: true,
      },
      HostConfig: { ...of.HostConfig, Runtime: 'runc', Binds: null, Devices: [], Sysctls: {} },
      Mounts: of.HostConfig.Mounts.map(({ Type, Source, Target, ReadOnly }) => ({
        Type,
        Source: Source ?? '',
        Destination: Target,
        RW: !ReadOnly,
      })),
    }),
  ) as Record<string, unknown>;
}

const wallsOf = (found: Record<string, unknown>, daemon = facts) =>
  differences(spec, image, inspectSchema.parse(found), daemon).map(({ wall }) => wall);

describe('the walls', () => {
  test('are what nobody has to ask for', () => {
    expect(spec).toMatchObject({
      User: '1000:1000',
      Tty: false,
      HostConfig: {
        NetworkMode: 'none',
        ReadonlyRootfs: true,
        Privileged: false,
        CapAdd: [],
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        Memory: 512 * 1024 ** 2,
        MemorySwap: 512 * 1024 ** 2,
        NanoCpus: 2e9,
        PidsLimit: 256,
        Init: true,
        LogConfig: { Type: 'none' },
        IpcMode: 'private',
        PidMode: '',
      },
    });
    expect(Object.keys(spec.HostConfig.Tmpfs).sort()).toEqual(['/home/nonroot', '/tmp']);
    for (const options of Object.values(spec.HostConfig.Tmpfs)) {
      expect(options).toMatch(/nosuid,nodev,noexec,size=67108864,mode=0700,uid=1000,gid=1000/);
    }
    expect(spec.HostConfig.MaskedPaths).toContain('/proc/kcore');
  });

  test('mount only what was declared, at the same path, and nothing below what is read-only', () => {
    const binds = spec.HostConfig.Mounts.filter(({ Type }) => Type === 'bind');
    expect(binds).toEqual([
      {
        Type: 'bind',
        Source: '/private/0',
        Target: '/run/mcp-build/environment.cjs',
        ReadOnly: true,
        BindOptions: { Propagation: 'rprivate', NonRecursive: true },
      },
      {
        Type: 'bind',
        Source: '/srv/read',
        Target: '/srv/read',
        ReadOnly: true,
        BindOptions: { Propagation: 'rprivate', NonRecursive: true },
      },
      {
        Type: 'bind',
        Source: '/srv/write',
        Target: '/srv/write',
        ReadOnly: false,
        BindOptions: { Propagation: 'rprivate', NonRecursive: false },
      },
    ]);
  });

  test('give a VOLUME of the image a bounded place in memory', () => {
    expect(spec.HostConfig.Mounts.at(-1)).toMatchObject({
      Type: 'tmpfs',
      Target: '/data',
      TmpfsOptions: { SizeBytes: LIMITS.tmp },
    });
  });
});

describe('differences', () => {
  test('are none where the daemon did as it was asked', () => {
    expect(wallsOf(honest(spec))).toEqual([]);
  });

  const host = (change: Record<string, unknown>) => (found: Record<string, unknown>) => ({
    ...found,
    HostConfig: { ...(found.HostConfig as object), ...change },
  });
  const config = (change: Record<string, unknown>) => (found: Record<string, unknown>) => ({
    ...found,
    Config: { ...(found.Config as object), ...change },
  });
  const mounts = (change: (list: unknown[]) => unknown[]) => (found: Record<string, unknown>) => ({
    ...found,
    Mounts: change(found.Mounts as unknown[]),
  });

  test.each<[string, string, (found: Record<string, unknown>) => Record<string, unknown>]>([
    ['another image', 'Image', (found) => ({ ...found, Image: sha256('other') })],
    ['root', 'Config.User', config({ User: '0:0' })],
    ['no user at all', 'Config.User', config({ User: '' })],
    ['another command', 'Config.Cmd', config({ Cmd: ['--flag', '--evil'] })],
    ['another entrypoint', 'Config.Entrypoint', config({ Entrypoint: ['/bin/sh'] })],
    ['one more variable', 'Config.Env', config({ Env: [...image.env, 'LD_PRELOAD=/x.so'] })],
    ['a terminal', 'Config.Tty', config({ Tty: true })],
    ['a writable root', 'HostConfig.ReadonlyRootfs', host({ ReadonlyRootfs: false })],
    ['the bridge', 'HostConfig.NetworkMode', host({ NetworkMode: 'bridge' })],
    ["the host's network", 'HostConfig.NetworkMode', host({ NetworkMode: 'host' })],
    ['privileges', 'HostConfig.Privileged', host({ Privileged: true })],
    ['a capability', 'HostConfig.CapAdd', host({ CapAdd: ['SYS_PTRACE'] })],
    ['kept capabilities', 'HostConfig.CapDrop', host({ CapDrop: null })],
    ['no seccomp', 'HostConfig.SecurityOpt', host({ SecurityOpt: ['no-new-privileges', 'seccomp=unconfined'] })],
    ['new privileges', 'HostConfig.SecurityOpt', host({ SecurityOpt: [] })],
    ['more memory', 'HostConfig.Memory', host({ Memory: 0 })],
    ['swap', 'HostConfig.MemorySwap', host({ MemorySwap: -1 })],
    ['any number of processes', 'HostConfig.PidsLimit', host({ PidsLimit: null })],
    ['more processors', 'HostConfig.NanoCpus', host({ NanoCpus: 0 })],
    ['no OOM killer', 'HostConfig.OomKillDisable', host({ OomKillDisable: true })],
    ['a device', 'HostConfig.Devices', host({ Devices: [{ PathOnHost: '/dev/kvm' }] })],
    ['a bind', 'HostConfig.Binds', host({ Binds: ['/:/host'] })],
    ['the pid namespace of the host', 'HostConfig.PidMode', host({ PidMode: 'host' })],
    ['shared memory of the host', 'HostConfig.IpcMode', host({ IpcMode: 'host' })],
    ['the user namespace of the host', 'HostConfig.UsernsMode', host({ UsernsMode: 'host' })],
    ['a published port', 'HostConfig.PortBindings', host({ PortBindings: { '80/tcp': [{}] } })],
    ['a sysctl', 'HostConfig.Sysctls', host({ Sysctls: { 'net.ipv4.ip_forward': '1' } })],
    ['nothing masked', 'HostConfig.MaskedPaths', host({ MaskedPaths: [] })],
    ['/proc writable', 'HostConfig.ReadonlyPaths', host({ ReadonlyPaths: [] })],
    ['tmpfs for programs', 'HostConfig.Tmpfs', host({ Tmpfs: { '/tmp': 'rw,exec' } })],
    ['another runtime', 'HostConfig.Runtime', host({ Runtime: 'evil' })],
    ['no init', 'HostConfig.Init', host({ Init: false })],
    ['fewer ulimits', 'HostConfig.Ulimits', host({ Ulimits: [] })],
    ['restarts', 'HostConfig.RestartPolicy', host({ RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } })],
    [
      'one more mount',
      'Mounts',
      mounts((list) => [...list, { Type: 'volume', Source: '/x', Destination: '/x', RW: true }]),
    ],
    ['a mount writable', 'Mounts', mounts((list) => list.map((one) => ({ ...(one as object), RW: true })))],
    ['a mount from elsewhere', 'Mounts', mounts((list) => list.map((one) => ({ ...(one as object), Source: '/etc' })))],
  ])('show %s', (_name, wall, change) => {
    expect(wallsOf(change(honest(spec)))).toEqual([wall]);
  });

  test('show a daemon without seccomp, and a container without its AppArmor profile', () => {
    expect(wallsOf(honest(spec), { ...facts, security: [] })).toEqual(['daemon.seccomp']);
    const apparmor = { ...facts, security: ['seccomp', 'apparmor'] };
    expect(wallsOf(honest(spec), apparmor)).toEqual(['AppArmorProfile']);
    expect(wallsOf({ ...honest(spec), AppArmorProfile: 'docker-default' }, apparmor)).toEqual([]);
  });

  test('allow for a kernel that counts no swap', () => {
    expect(wallsOf(host({ MemorySwap: -1 })(honest(spec)), { ...facts, swapLimit: false })).toEqual([]);
  });
});

describe('the user', () => {
  const volume = (uid: number, mode: 'ro' | 'rw' = 'rw') => ({ path: '/srv/x', uid, gid: uid, mode });

  test('is nobody in particular without volumes', () => {
    expect(userFor([], { uid: 1000, gid: 1000 })).toEqual({ uid: 65532, gid: 65532 });
    expect(userFor([], { uid: 0, gid: 0 })).toEqual({ uid: 65532, gid: 65532 });
  });

  test('is who invokes it with volumes', () => {
    expect(userFor([volume(1000)], { uid: 1000, gid: 100 })).toEqual({ uid: 1000, gid: 100 });
  });

  test.each([
    ['the owner of what root shares', [volume(1000)], 1000],
    ['nobody where root owns it, too', [volume(0)], 65532],
    ['the owner of the folder it writes to', [volume(0, 'ro'), volume(1001)], 1001],
  ])('is never root, but %s', (_name, volumes, uid) => {
    const user = userFor(volumes, { uid: 0, gid: 0 });
    expect(user.uid).toBe(uid);
    expect(user.gid).toBe(uid);
    expect(user.note).toBeDefined();
  });
});
