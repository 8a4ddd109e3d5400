import type { Digest } from '../digest/index.ts';
import { imageVariable, type RunImage } from './image.ts';
import type { Limits } from './limits.ts';
import type { ResolvedVolume } from './volumes.ts';

/** Who a server runs as, and whose it is. */
export interface Identity {
  /** Inside the container; never 0. */
  readonly user: { readonly uid: number; readonly gid: number };
  readonly labels: Readonly<Record<string, string>>;
}

export interface PrivateFile {
  /** On this machine, in a folder that only its user can enter. */
  readonly source: string;
  readonly target: string;
}

/** The server's own command line and what goes with it. */
export interface Launch {
  /** Replaces the image's own where something must come before it. */
  readonly entrypoint?: readonly string[];
  readonly args: readonly string[];
  /** Visible to whoever may ask the daemon: never a secret. */
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly PrivateFile[];
}

/** Where a server's packets may go: nowhere, into a bridge, or into the network namespace of its own forwarder. */
export type Network =
  | { readonly kind: 'none' }
  | { readonly kind: 'bridge'; readonly name: string }
  | { readonly kind: 'joined'; readonly container: string };

export interface Mount {
  readonly Type: 'bind' | 'tmpfs';
  readonly Source?: string;
  readonly Target: string;
  readonly ReadOnly: boolean;
  readonly BindOptions?: { readonly Propagation: 'rprivate'; readonly NonRecursive: boolean };
  readonly TmpfsOptions?: { readonly SizeBytes: number; readonly Mode: number };
}

/** The body of Docker's create request: the walls as data, for a test to read and for `differences` to compare with what the daemon made of them. */
export interface ContainerSpec {
  readonly Image: string;
  readonly Hostname?: string;
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly OpenStdin: boolean;
  readonly StdinOnce: boolean;
  readonly Tty: false;
  readonly StopSignal: 'SIGTERM';
  readonly StopTimeout: number;
  readonly Healthcheck: { readonly Test: readonly ['NONE'] };
  readonly HostConfig: HostConfig;
}

export interface HostConfig {
  readonly NetworkMode: string;
  readonly ReadonlyRootfs: true;
  readonly Privileged: false;
  readonly CapAdd: readonly [];
  readonly CapDrop: readonly ['ALL'];
  readonly SecurityOpt: readonly string[];
  readonly Memory: number;
  readonly MemorySwap: number;
  readonly NanoCpus: number;
  readonly PidsLimit: number;
  readonly OomKillDisable: false;
  readonly Tmpfs: Readonly<Record<string, string>>;
  readonly Mounts: readonly Mount[];
  readonly Init: true;
  readonly Ulimits: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
  readonly LogConfig: { readonly Type: 'none'; readonly Config: Readonly<Record<string, never>> };
  readonly RestartPolicy: { readonly Name: 'no'; readonly MaximumRetryCount: 0 };
  readonly AutoRemove: false;
  readonly PublishAllPorts: false;
  readonly IpcMode: 'private';
  readonly PidMode: '';
  readonly UTSMode: '';
  readonly UsernsMode: '';
  readonly ShmSize: number;
  readonly MaskedPaths: readonly string[];
  readonly ReadonlyPaths: readonly string[];
}

/** The user that images are made for. */
export const NONROOT = 65532;
/** Where the home folder is when an image doesn't say. */
const HOME = '/home/nonroot';
const SHM = 64 * 1024 * 1024;
/** In seconds, between SIGTERM and SIGKILL. Clients give up on a server after some two seconds, so this is generous. */
export const STOP_SECONDS = 5;

/** Docker's own list (moby, oci/defaults.go) with what newer daemons have added: older ones leave a side channel or two open. */
const MASKED = [
  ...['/proc/asound', '/proc/acpi', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats'],
  ...['/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware'],
  ...['/sys/devices/virtual/powercap', '/sys/kernel/security', '/sys/kernel/debug'],
];
const READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

export interface SpecInput {
  /** What the daemon calls the verified image: never a tag. */
  readonly imageId: Digest;
  readonly image: Pick<RunImage, 'env' | 'volumes'>;
  readonly volumes: readonly ResolvedVolume[];
  readonly network: Network;
  readonly limits: Limits;
  readonly identity: Identity;
  readonly launch: Launch;
  /** A seccomp profile as JSON; the daemon's default without one. */
  readonly seccomp?: string;
}

/** The walls around one server. Pure. */
export function containerSpec(input: SpecInput): ContainerSpec {
  const { limits, launch, identity, network } = input;
  const { uid, gid } = identity.user;
  const home = imageVariable(input.image, 'HOME') || HOME;
  const tmpfs = (size: number) => `rw,nosuid,nodev,noexec,size=${size},mode=0700,uid=${uid},gid=${gid}`;
  const env = { ...(home === HOME && !imageVariable(input.image, 'HOME') ? { HOME } : {}), ...launch.env };
  return {
    Image: input.imageId,
    // A joined namespace brings its own name with it.
    ...(network.kind === 'joined' ? {} : { Hostname: 'mcp' }),
    User: `${uid}:${gid}`,
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ...(launch.entrypoint ? { Entrypoint: launch.entrypoint } : {}),
    Cmd: launch.args,
    Labels: identity.labels,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    // Without StdinOnce the daemon never passes the end of input on.
    OpenStdin: true,
    StdinOnce: true,
    Tty: false,
    StopSignal: 'SIGTERM',
    StopTimeout: STOP_SECONDS,
    // An image may bring a command to be run every few seconds beside its server.
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      NetworkMode: networkMode(network),
      ReadonlyRootfs: true,
      Privileged: false,
      CapAdd: [],
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges', ...(input.seccomp ? [`seccomp=${input.seccomp}`] : [])],
      Memory: limits.memory,
      MemorySwap: limits.memory,
      NanoCpus: Math.round(limits.cpus * 1e9),
      PidsLimit: limits.pids,
      OomKillDisable: false,
      Tmpfs: { '/tmp': tmpfs(limits.tmp), [home]: tmpfs(limits.home) },
      Mounts: [
        ...launch.files.map(({ source, target }) => bind(source, target, true)),
        ...input.volumes.map(({ path, mode }) => bind(path, path, mode === 'ro')),
        // Each VOLUME of a foreign image would otherwise become a folder without limit on the daemon's disk.
        ...input.image.volumes.map(
          (target): Mount => ({
            Type: 'tmpfs',
            Target: target,
            ReadOnly: false,
            TmpfsOptions: { SizeBytes: limits.tmp, Mode: 0o1777 },
          }),
        ),
      ],
      // Reaps orphans, and passes SIGTERM on to servers that would ignore it as process 1.
      Init: true,
      Ulimits: [
        { Name: 'core', Soft: 0, Hard: 0 },
        { Name: 'memlock', Soft: 65536, Hard: 65536 },
        { Name: 'nofile', Soft: limits.files, Hard: limits.files },
      ],
      LogConfig: { Type: 'none', Config: {} },
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
      AutoRemove: false,
      PublishAllPorts: false,
      IpcMode: 'private',
      PidMode: '',
      UTSMode: '',
      UsernsMode: '',
      ShmSize: SHM,
      MaskedPaths: MASKED,
      ReadonlyPaths: READONLY,
    },
  };
}

function networkMode(network: Network): string {
  if (network.kind === 'none') return 'none';
  return network.kind === 'bridge' ? network.name : `container:${network.container}`;
}

function bind(source: string, target: string, readOnly: boolean): Mount {
  return {
    Type: 'bind',
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    // Daemons before 25 make only the top of a tree read-only: what is mounted below it would stay writable.
    BindOptions: { Propagation: 'rprivate', NonRecursive: readOnly },
  };
}

export interface Invoker {
  /** Undefined where the system has no such ids. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/**
 * Who the server is: nobody in particular, unless it shares files, which are then the invoking user's. Never root: what root shares is used
 * as its owner, or not at all as root.
 * @returns `note` is what the user should be told
 */
export function userFor(
  volumes: readonly Pick<ResolvedVolume, 'path' | 'uid' | 'gid' | 'mode'>[],
  invoker: Invoker,
): { readonly uid: number; readonly gid: number; readonly note?: string } {
  const nobody = { uid: NONROOT, gid: NONROOT };
  const first = volumes.find(({ mode }) => mode === 'rw') ?? volumes[0];
  if (!first || invoker.uid === undefined || invoker.gid === undefined) return nobody;
  if (invoker.uid !== 0) return { uid: invoker.uid, gid: invoker.gid === 0 ? NONROOT : invoker.gid };
  if (first.uid !== 0) {
    const owner = { uid: first.uid, gid: first.gid === 0 ? NONROOT : first.gid };
    return { ...owner, note: `runs as ${owner.uid}:${owner.gid}, who owns ${first.path}, and not as root` };
  }
  return {
    ...nobody,
    note: `runs as ${NONROOT}:${NONROOT} and not as root, who owns ${first.path}: it may be unable to use the folder`,
  };
}
