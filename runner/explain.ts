import { daemonChecks } from './doctor.ts';
import { PROXY_VARIABLES } from './forwarder.ts';
import { readImage } from './image.ts';
import { seccompNumbers } from './seccomp.ts';
import { draft, refuseUndeclared, type SessionOptions } from './session.ts';
import type { ContainerSpec, Network } from './spec.ts';
import { resolveVolumes } from './volumes.ts';

/** One wall, in words, as it would be asked of the daemon. */
export interface Wall {
  readonly wall: string;
  readonly setting: string;
}

/** What the walls around a server would be. */
export interface Explained {
  readonly walls: readonly Wall[];
  /** The whole request, for who wants to compare. Where private files and a forwarder would be, a word in brackets stands. */
  readonly request: ContainerSpec;
  readonly daemon: { readonly address: SessionOptions['runtime']['endpoint']; readonly version: string };
  /** What this daemon and machine can't do, or do worse. */
  readonly lacks: readonly { readonly id: string; readonly detail: string; readonly refused: boolean }[];
  readonly notes: readonly string[];
}

/**
 * What `openSession` would do with the same options, up to the first thing that it would change: no image is given to the daemon, nothing is
 * created, written or started. What it would refuse is refused here, too.
 * @throws McpBuildError as `openSession` does before its first change
 */
export async function explainSession(options: SessionOptions): Promise<Explained> {
  const { runtime, permissions, machine } = options;
  refuseUndeclared(permissions, options.environment);
  const sockets = runtime.endpoint.kind === 'unix' ? [runtime.endpoint.path] : [];
  const [volumes, image, daemon] = await Promise.all([
    resolveVolumes(permissions.volumes, { home: machine.home, state: machine.state, sockets }),
    readImage(options.store, options.image),
    runtime.daemon(),
  ]);
  const behindProxy = options.learn === true || typeof permissions.network !== 'string';
  const network: Network = behindProxy
    ? { kind: 'joined', container: '<its forwarder>' }
    : permissions.network === 'all'
      ? { kind: 'bridge', name: '<bridge of mcp-build>' }
      : { kind: 'none' };
  const { files, note, spec } = draft(options, {
    imageId: image.config.digest,
    image,
    facts: daemon,
    volumes,
    way: { network, env: behindProxy ? PROXY_VARIABLES : {} },
    labels: {},
  });
  const request = spec(files.map(({ target }) => ({ source: '<private>', target })));
  return {
    walls: wallsOf(request, daemon.security, options),
    request,
    daemon: { address: runtime.endpoint, version: daemon.version },
    lacks: daemonChecks(daemon, machine)
      .filter(({ status }) => status !== 'ok')
      .map(({ id, detail, status }) => ({ id, detail, refused: status === 'fail' })),
    notes: note ? [note] : [],
  };
}

/** The request in words. Pure. @param security names of the daemon's security options */
export function wallsOf(
  { HostConfig: host, User }: ContainerSpec,
  security: readonly string[],
  { permissions, learn }: Pick<SessionOptions, 'permissions' | 'learn'>,
): readonly Wall[] {
  const calls = seccompNumbers();
  const limit = (name: string) => host.Ulimits.find((one) => one.Name === name)?.Hard ?? 0;
  const mounts = host.Mounts.map(({ Type, Source, Target, ReadOnly }) =>
    Type === 'tmpfs'
      ? `${Target} in memory`
      : `${Source === Target ? '' : `${Source} as `}${Target} ${ReadOnly ? 'ro' : 'rw'}`,
  );
  const access = security.includes('apparmor')
    ? 'AppArmor docker-default'
    : security.includes('selinux')
      ? 'SELinux, as the daemon sets it'
      : 'none: this machine has neither AppArmor nor SELinux';
  return [
    {
      wall: 'user',
      setting: `${User}, never root${security.includes('userns') || security.includes('rootless') ? '; mapped to another on this machine' : ''}`,
    },
    { wall: 'namespaces', setting: 'its own for processes, files, network, IPC and host name' },
    { wall: 'capabilities', setting: 'none, none to be had' },
    { wall: 'privileges', setting: 'no-new-privileges: set-user-id programs gain nothing' },
    {
      wall: 'system calls',
      setting: `${calls.allowed} allowed by name, sockets of ${calls.families} families; all else fails (EPERM)`,
    },
    { wall: 'mandatory access', setting: access },
    { wall: 'devices', setting: 'none' },
    { wall: 'root file system', setting: 'read-only' },
    {
      wall: 'writable',
      setting: Object.entries(host.Tmpfs)
        .map(([path, options]) => `${path} in memory, ${size(Number(/size=([0-9]+)/.exec(options)?.[1]))}, noexec`)
        .join('; '),
    },
    { wall: 'mounts', setting: mounts.length > 0 ? mounts.join('; ') : 'none' },
    { wall: 'network', setting: networkOf(permissions.network, learn === true) },
    { wall: 'memory', setting: `${size(host.Memory)}, no swap` },
    { wall: 'processors', setting: String(host.NanoCpus / 1e9) },
    { wall: 'processes', setting: `${host.PidsLimit}, threads included` },
    { wall: 'open files', setting: String(limit('nofile')) },
    { wall: 'core dumps', setting: limit('core') === 0 ? 'none' : String(limit('core')) },
    {
      wall: 'kernel files',
      setting: `${host.MaskedPaths.length} paths hidden, ${host.ReadonlyPaths.length} read-only`,
    },
    { wall: 'log', setting: 'none at the daemon: stdout is the client’s, stderr the user’s' },
  ];
}

function networkOf(network: SessionOptions['permissions']['network'], learn: boolean): string {
  if (learn) return 'no interface; a proxy that lets it reach the internet and writes down what';
  if (network === 'none') return 'a loopback and nothing else';
  if (network === 'all') return 'a bridge without other servers on it: whatever this machine can reach';
  return `no interface; a proxy that leads to ${network.join(', ')} only`;
}

function size(bytes: number): string {
  const mib = bytes / 1024 / 1024;
  return mib >= 1024 && mib % 1024 === 0 ? `${mib / 1024} GiB` : `${Math.round(mib)} MiB`;
}
