import { describe, expect, test } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import { LIMITS } from '../../runner/limits.ts';
import {
  podmanRequest,
  profileOf,
  type RuntimeConfig,
  runtimeDifferences,
  runtimeSchema,
} from '../../runner/podman.ts';
import { seccompProfile } from '../../runner/seccomp.ts';
import { containerSpec, type Network } from '../../runner/spec.ts';

const image = { env: ['PATH=/bin', 'HOME=/home/nonroot'], entrypoint: ['/bin/server'], volumes: [] };
const specOf = (network: Network = { kind: 'none' }) =>
  containerSpec({
    imageId: sha256('image'),
    image,
    volumes: [
      { path: '/srv/data', mode: 'ro', device: 1, inode: 1, uid: 1, gid: 1 },
      { path: '/srv/out', mode: 'rw', device: 1, inode: 2, uid: 1, gid: 1 },
    ],
    network,
    limits: LIMITS,
    seccomp: seccompProfile(),
    identity: { user: { uid: 65532, gid: 65532 }, labels: {} },
    launch: { args: ['--flag'], env: { A: 'b' }, files: [] },
  });

/** What Podman 4.3.1 makes of that request, as its runtime gets it. */
function config(): RuntimeConfig {
  const memory = (destination: string, size: number, mode: string) => ({
    destination,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['rw', 'nosuid', 'nodev', 'noexec', `size=${size}`, `mode=${mode}`, 'rprivate', 'tmpcopyup'],
  });
  const bind = (destination: string, source: string, ...options: string[]) => ({
    destination,
    type: 'bind',
    source,
    options: ['bind', 'rprivate', ...options],
  });
  const own = (destination: string) =>
    bind(destination, `/storage/userdata${destination}`, 'ro', 'nosuid', 'noexec', 'nodev');
  const limit = (type: string, value: number) => ({ type, soft: value, hard: value });
  return runtimeSchema.parse({
    process: {
      user: { uid: 65532, gid: 65532, additionalGids: [65532] },
      args: ['/run/podman-init', '--', '/bin/server', '--flag'],
      env: ['TERM=xterm', 'container=podman', 'PATH=/bin', 'HOME=/tmp', 'A=b', 'HOSTNAME=mcp'],
      capabilities: {},
      noNewPrivileges: true,
      rlimits: [
        limit('RLIMIT_CORE', 0),
        limit('RLIMIT_MEMLOCK', 65536),
        limit('RLIMIT_NOFILE', LIMITS.files),
        limit('RLIMIT_NPROC', 16384),
      ],
    },
    root: { readonly: true },
    mounts: [
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'noexec', 'size=65536k'] },
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro'] },
      memory('/run', 65536, '1777'),
      memory('/var/tmp', 65536, '1777'),
      memory('/tmp', LIMITS.tmp, '1777'),
      own('/etc/hosts'),
      own('/etc/passwd'),
      bind('/run/podman-init', '/usr/libexec/podman/catatonit', 'ro'),
      bind('/dev/shm', '/storage/userdata/shm', 'nosuid', 'noexec', 'nodev'),
      bind('/srv/data', '/srv/data', 'ro'),
      bind('/srv/out', '/srv/out', 'rw'),
    ],
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
      maskedPaths: [
        ...['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats'],
        ...['/proc/sched_debug', '/proc/scsi', '/sys/firmware'],
      ],
      readonlyPaths: ['/proc/asound', '/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
      seccomp: JSON.parse(seccompProfile()),
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        memory: { limit: LIMITS.memory, swap: LIMITS.memory },
        cpu: { quota: 200000, period: 100000 },
        pids: { limit: LIMITS.pids },
      },
    },
  });
}

describe('the request for Podman', () => {
  const spec = specOf();
  const { HostConfig: host, Env } = podmanRequest(spec, '/profile.json');

  test('names the profile’s file, and bounds all memory that is writable', () => {
    expect(host.SecurityOpt).toEqual(['no-new-privileges', 'seccomp=/profile.json']);
    expect(profileOf(spec)).toBe(seccompProfile());
    expect(Object.keys(host.Tmpfs).sort()).toEqual(['/run', '/tmp', '/var/tmp']);
    for (const options of Object.values(host.Tmpfs))
      expect(options).toMatch(/^rw,nosuid,nodev,noexec,size=[0-9]+,mode=1777$/);
    expect(Env).toContain('HOME=/tmp');
  });

  test('is in all else what Docker gets', () => {
    const { SecurityOpt: _a, Tmpfs: _b, Ulimits: _c, ...rest } = host;
    expect(spec.HostConfig).toMatchObject(rest);
  });
});

describe('what Podman built', () => {
  test('as it was asked for is right', () => {
    expect(runtimeDifferences(specOf(), image, config())).toEqual([]);
  });

  test('with the network of a forwarder is right, and with anybody else’s namespace is not', () => {
    const joined = specOf({ kind: 'joined', container: 'abc' });
    const it = config();
    expect(runtimeDifferences(joined, image, it).map(({ wall }) => wall)).toEqual(['linux.namespaces.network']);
    const namespaces = it.linux.namespaces.map((one) =>
      one.type === 'network' ? { ...one, path: '/proc/1/ns/net' } : one,
    );
    const linux = { ...it.linux, namespaces };
    expect(runtimeDifferences(joined, image, { ...it, linux })).toEqual([]);
    expect(runtimeDifferences(specOf(), image, { ...it, linux }).map(({ wall }) => wall)).toEqual([
      'linux.namespaces.network',
    ]);
  });

  type Draft = { -readonly [key in keyof RuntimeConfig]: RuntimeConfig[key] };
  const mounts = (it: Draft) =>
    it.mounts as { destination: string; type?: string; source?: string; options: string[] }[];
  const mount = (it: Draft, path: string) => mounts(it).find(({ destination }) => destination === path)!;
  const cases: readonly (readonly [string, (it: Draft) => void])[] = [
    ['process.user', (it) => (it.process.user.uid = 0)],
    ['process.user.additionalGids', (it) => (it.process.user.additionalGids = [0])],
    ['process.args', (it) => it.process.args.push('--more')],
    ['process.env', (it) => it.process.env.push('LD_PRELOAD=/x')],
    ['process.terminal', (it) => (it.process.terminal = true)],
    ['process.noNewPrivileges', (it) => (it.process.noNewPrivileges = false)],
    ['process.capabilities', (it) => (it.process.capabilities = { bounding: ['CAP_CHOWN'] })],
    ['process.rlimits.nofile', (it) => (it.process.rlimits = [])],
    ['root.readonly', (it) => (it.root.readonly = false)],
    ['hooks', (it) => (it.hooks = { prestart: [] })],
    ['linux.devices', (it) => (it.linux.devices = [{ path: '/dev/kmsg' }])],
    ['linux.resources.devices', (it) => (it.linux.resources.devices = [{ allow: true, access: 'rwm' }])],
    ['linux.resources.memory', (it) => (it.linux.resources.memory = { limit: -1, swap: -1 })],
    ['linux.resources.cpu', (it) => (it.linux.resources.cpu = {})],
    ['linux.resources.pids', (it) => (it.linux.resources.pids = { limit: 0 })],
    ['linux.seccomp', (it) => delete it.linux.seccomp],
    ['linux.seccomp', (it) => it.linux.seccomp?.syscalls.push({ names: ['ptrace'], action: 'SCMP_ACT_ALLOW' })],
    ['linux.seccomp', (it) => (it.linux.seccomp!.defaultAction = 'SCMP_ACT_ALLOW')],
    ['linux.maskedPaths', (it) => (it.linux.maskedPaths = [])],
    ['linux.readonlyPaths', (it) => (it.linux.readonlyPaths = [])],
    ['linux.namespaces.pid', (it) => (it.linux.namespaces = it.linux.namespaces.filter(({ type }) => type !== 'pid'))],
    ['linux.namespaces.ipc', (it) => (it.linux.namespaces.find(({ type }) => type === 'ipc')!.path = '/proc/1/ns/ipc')],
    ['mounts./host', (it) => mounts(it).push({ destination: '/host', type: 'bind', source: '/', options: ['ro'] })],
    ['mounts./srv/data', (it) => (mount(it, '/srv/data').options = ['bind', 'rw'])],
    ['mounts./srv/data', (it) => (mount(it, '/srv/data').source = '/etc')],
    ['mounts./srv/out', (it) => (it.mounts = it.mounts.filter(({ destination }) => destination !== '/srv/out'))],
    ['mounts./tmp', (it) => (mount(it, '/tmp').options = ['rw', 'size=65536'])],
    ['mounts./run', (it) => (mount(it, '/run').options = ['rw', 'nosuid', 'nodev'])],
    ['mounts./sys', (it) => (mount(it, '/sys').options = ['rw'])],
    ['mounts./etc/passwd', (it) => (mount(it, '/etc/passwd').options = ['rw'])],
    ['mounts./proc', (it) => (mount(it, '/proc').type = 'bind')],
    ['mounts./proc', (it) => mounts(it).push(mount(it, '/proc') as never)],
  ];

  test.each(cases)('with another %s is refused', (wall, change) => {
    const it = structuredClone(config()) as Draft;
    change(it);
    expect(runtimeDifferences(specOf(), image, it).map((one) => one.wall)).toContain(wall);
  });
});
