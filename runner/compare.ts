import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';
import type { RunImage } from './image.ts';
import type { ContainerSpec, Mount } from './spec.ts';

const strings = z.array(z.string()).nullish();

/** What matters of Docker's answer to `inspect`. Everything it may leave out is nullish; the comparison says what that means. */
export const inspectSchema = z.object({
  Id: z.string().regex(/^[0-9a-f]{12,64}$/),
  Name: z.string(),
  Image: z.string(),
  Created: z.string().optional(),
  RestartCount: z.number().optional(),
  State: z.object({
    Status: z.string(),
    Running: z.boolean(),
    Pid: z.number().optional(),
    ExitCode: z.number(),
    OOMKilled: z.boolean().optional(),
    Error: z.string().optional(),
    StartedAt: z.string().optional(),
  }),
  AppArmorProfile: z.string().optional(),
  Config: z.object({
    User: z.string().optional(),
    Env: strings,
    Entrypoint: strings,
    Cmd: strings,
    Labels: z.record(z.string(), z.string()).nullish(),
    Tty: z.boolean().optional(),
    OpenStdin: z.boolean().optional(),
    StdinOnce: z.boolean().optional(),
    ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
  }),
  HostConfig: z.record(z.string(), z.unknown()),
  Mounts: z
    .array(
      z.object({
        Type: z.string(),
        Source: z.string().optional(),
        Destination: z.string(),
        RW: z.boolean(),
        Propagation: z.string().optional(),
      }),
    )
    .nullish(),
});
export type Inspect = z.infer<typeof inspectSchema>;

export interface Difference {
  /** As Docker names it: `HostConfig.ReadonlyRootfs`. */
  readonly wall: string;
  readonly wanted: string;
  readonly found: string;
}

/** What a daemon can't do, as it says itself. */
export interface DaemonFacts {
  readonly swapLimit: boolean;
  /** `seccomp`, `apparmor`, `rootless`, …: the names of its security options. */
  readonly security: readonly string[];
  readonly cpus: number;
  /** What it says it can't limit. What it doesn't speak of is seen on the container. */
  readonly lacking?: readonly ('memory' | 'processes' | 'processor time')[];
  /** Whose Docker API it is; Docker's own where it isn't said. */
  readonly engine?: 'docker' | 'podman';
}

/** What a daemon says of itself beyond that, for a person. */
export interface Daemon extends DaemonFacts {
  readonly version: string;
  readonly os: string;
  readonly architecture: string;
  readonly memoryLimit: boolean;
  readonly pidsLimit: boolean;
  readonly cpuLimit: boolean;
  /** Name of its init program; empty without one. */
  readonly init: string;
}

/** Fields that must be empty, zero, false or absent: each is a hole. */
const MUST_BE_EMPTY = [
  ...[
    'Binds',
    'VolumesFrom',
    'CapAdd',
    'Devices',
    'DeviceRequests',
    'DeviceCgroupRules',
    'PortBindings',
    'GroupAdd',
    'Links',
  ],
  ...[
    'ExtraHosts',
    'Sysctls',
    'CgroupParent',
    'ContainerIDFile',
    'VolumeDriver',
    'Cgroup',
    'StorageOpt',
    'OomKillDisable',
  ],
  ...['Privileged', 'PublishAllPorts', 'AutoRemove', 'PidMode', 'UTSMode', 'UsernsMode', 'KernelMemory'],
];

/**
 * Every difference between the walls that were asked for and those that the daemon says it built: a daemon, a plugin or a default in
 * its configuration may have changed them. Pure.
 */
export function differences(
  spec: ContainerSpec,
  image: Pick<RunImage, 'env' | 'entrypoint' | 'labels'>,
  found: Inspect,
  facts: DaemonFacts,
): readonly Difference[] {
  const list: Difference[] = [];
  const check = (wall: string, wanted: unknown, got: unknown) => {
    if (canonical(wanted) !== canonical(got)) list.push({ wall, wanted: shown(wanted), found: shown(got) });
  };
  const host = found.HostConfig;

  check('Image', spec.Image, found.Image);
  check('Config.User', spec.User, found.Config.User);
  check('Config.Tty', false, found.Config.Tty ?? false);
  check('Config.OpenStdin', spec.OpenStdin, found.Config.OpenStdin ?? false);
  check('Config.StdinOnce', spec.StdinOnce, found.Config.StdinOnce ?? false);
  check('Config.Entrypoint', spec.Entrypoint ?? image.entrypoint, found.Config.Entrypoint ?? []);
  check('Config.Cmd', spec.Cmd, found.Config.Cmd ?? []);
  check('Config.Env', environment(image.env, spec.Env), [...(found.Config.Env ?? [])].sort());
  check('Config.Labels', { ...image.labels, ...spec.Labels }, found.Config.Labels ?? {});

  const {
    Mounts: mounts,
    SecurityOpt,
    MemorySwap,
    Ulimits,
    CapDrop,
    MaskedPaths,
    ReadonlyPaths,
    ...plain
  } = spec.HostConfig;
  for (const [name, wanted] of Object.entries(plain)) {
    if (!MUST_BE_EMPTY.includes(name)) check(`HostConfig.${name}`, wanted, host[name]);
  }
  for (const name of MUST_BE_EMPTY) if (!empty(host[name])) check(`HostConfig.${name}`, null, host[name]);
  check('HostConfig.CapDrop', CapDrop, sorted(host.CapDrop));
  check('HostConfig.MaskedPaths', [...MaskedPaths].sort(), sorted(host.MaskedPaths));
  check('HostConfig.ReadonlyPaths', [...ReadonlyPaths].sort(), sorted(host.ReadonlyPaths));
  check('HostConfig.SecurityOpt', SecurityOpt.map(option), sorted(host.SecurityOpt)?.map(option));
  check('HostConfig.Ulimits', byName(Ulimits), byName(host.Ulimits));
  // Where the kernel counts no swap the daemon drops the limit; that of memory still holds.
  if (facts.swapLimit) check('HostConfig.MemorySwap', MemorySwap, host.MemorySwap);
  if (!empty(host.Runtime) && host.Runtime !== 'runc' && !String(host.Runtime).startsWith('runsc')) {
    check('HostConfig.Runtime', 'runc', host.Runtime);
  }
  check('Mounts', mounts.map(mountWanted).sort(), (found.Mounts ?? []).map(mountFound).sort());

  if (!facts.security.includes('seccomp')) check('daemon.seccomp', true, false);
  if (facts.security.includes('apparmor')) check('AppArmorProfile', 'docker-default', found.AppArmorProfile ?? '');
  return list;
}

/** The image's variables with ours over them, as the daemon merges them. */
export function environment(image: readonly string[], own: readonly string[]): string[] {
  const nameOf = (line: string) => line.slice(0, line.indexOf('='));
  const replaced = new Set(own.map(nameOf));
  return [...image.filter((line) => !replaced.has(nameOf(line))), ...own].sort();
}

function mountWanted(mount: Mount): string {
  return [mount.Type, mount.Source ?? '', mount.Target, mount.ReadOnly ? 'ro' : 'rw'].join(' ');
}

function mountFound(mount: NonNullable<Inspect['Mounts']>[number]): string {
  return [mount.Type, mount.Source ?? '', mount.Destination, mount.RW ? 'rw' : 'ro'].join(' ');
}

/** `no-new-privileges`, `no-new-privileges:true` and `…=true` are the same. */
function option(text: string): string {
  return text.replace(/^no-new-privileges[:=]true$/, 'no-new-privileges');
}

function byName(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return [...value].sort((a: { Name?: string }, b: { Name?: string }) => ((a.Name ?? '') < (b.Name ?? '') ? -1 : 1));
}

function sorted(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.map(String).sort() : undefined;
}

function empty(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** Keys in order, so that two equal values are one text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

/** The refusal that goes with differences. */
export function wallsDiffer(container: string, list: readonly Difference[]): McpBuildError {
  const text = list.map(({ wall, wanted, found }) => `${wall} is ${found} instead of ${wanted}`).join('; ');
  return new McpBuildError({
    code: 'walls-differ',
    message: `Docker did not build the walls it was asked for: ${text}`,
    input: container,
    fix: "Nothing was started. Look for what changes containers in the daemon's configuration.",
    exit: 3,
  });
}
