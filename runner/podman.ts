import { z } from 'zod';
import { type Difference, environment, shown } from './compare.ts';
import type { RunImage } from './image.ts';
import type { ContainerSpec } from './spec.ts';

/**
 * What Podman's Docker API understands in another way, or not at all. Its `inspect` says little of what it made, so the walls are read from the
 * configuration that its runtime was given: https://github.com/opencontainers/runtime-spec/blob/main/config.md
 */

/** Where Podman puts writable memory into every read-only container, without a limit unless it is told one. In bytes: it keeps files of its own there. */
const SCRATCH = 'rw,nosuid,nodev,noexec,size=65536,mode=1777';
const SCRATCH_PATHS = ['/run', '/var/tmp'];
/** Podman asks for a million processes of a user where nobody says otherwise, which not every machine grants. The limit of the control group is far lower. */
const NPROC = { Name: 'nproc', Soft: 16_384, Hard: 16_384 };
const SECCOMP = 'seccomp=';

/** Memory file systems can't be given to a user, and get the owner and mode of the folder below them: only one that anybody may use is of use. */
const HOME = '/tmp';

/** The request as Podman takes it. Pure. @param profile where the seccomp profile lies: it reads it from there while it creates */
export function podmanRequest(spec: ContainerSpec, profile: string): ContainerSpec {
  const { HostConfig: host } = spec;
  // Nobody else is in the container, so that "anybody" is the server.
  const open = (options: string) => options.replace(/,mode=0700,uid=[0-9]+,gid=[0-9]+$/, ',mode=1777');
  return {
    ...spec,
    Env: [...spec.Env.filter((line) => !line.startsWith('HOME=')), `HOME=${HOME}`],
    HostConfig: {
      ...host,
      SecurityOpt: host.SecurityOpt.map((option) => (option.startsWith(SECCOMP) ? `${SECCOMP}${profile}` : option)),
      Tmpfs: {
        [HOME]: open(host.Tmpfs[HOME] ?? SCRATCH),
        ...Object.fromEntries(SCRATCH_PATHS.map((path) => [path, SCRATCH])),
      },
      Ulimits: [...host.Ulimits, NPROC],
    },
  };
}

/** The profile within a request. */
export function profileOf({ HostConfig }: ContainerSpec): string {
  return HostConfig.SecurityOpt.find((option) => option.startsWith(SECCOMP))?.slice(SECCOMP.length) ?? '';
}

const names = z.array(z.string()).nullish();
const seccompSchema = z.object({
  defaultAction: z.string(),
  defaultErrnoRet: z.number().nullish(),
  syscalls: z.array(
    z.object({
      names: z.array(z.string()),
      action: z.string(),
      errnoRet: z.number().nullish(),
      args: z.array(z.record(z.string(), z.union([z.number(), z.string()]))).nullish(),
    }),
  ),
});
type Seccomp = z.infer<typeof seccompSchema>;

export const runtimeSchema = z.object({
  process: z.object({
    user: z.object({ uid: z.number(), gid: z.number(), additionalGids: z.array(z.number()).nullish() }),
    args: z.array(z.string()),
    env: z.array(z.string()),
    terminal: z.boolean().optional(),
    noNewPrivileges: z.boolean().optional(),
    apparmorProfile: z.string().optional(),
    capabilities: z.record(z.string(), names).nullish(),
    rlimits: z.array(z.object({ type: z.string(), soft: z.number(), hard: z.number() })).nullish(),
  }),
  root: z.object({ readonly: z.boolean().optional() }),
  mounts: z.array(
    z.object({ destination: z.string(), type: z.string().optional(), source: z.string().optional(), options: names }),
  ),
  hooks: z.unknown().optional(),
  linux: z.object({
    devices: z.array(z.unknown()).nullish(),
    sysctl: z.record(z.string(), z.string()).nullish(),
    namespaces: z.array(z.object({ type: z.string(), path: z.string().optional() })),
    maskedPaths: names,
    readonlyPaths: names,
    seccomp: seccompSchema.optional(),
    resources: z.object({
      devices: z
        .array(z.object({ allow: z.boolean(), access: z.string().optional(), type: z.string().optional() }))
        .nullish(),
      memory: z.object({ limit: z.number().optional(), swap: z.number().optional() }).nullish(),
      cpu: z.object({ quota: z.number().optional(), period: z.number().optional() }).nullish(),
      pids: z.object({ limit: z.number().optional() }).nullish(),
    }),
  }),
});
export type RuntimeConfig = z.infer<typeof runtimeSchema>;

/** Mounts of Podman's own, by where they are: what they must be, and whether they must not be writable. */
const OWN: Readonly<Record<string, readonly [type: string, readOnly: boolean]>> = {
  '/dev': ['tmpfs', false],
  '/proc': ['proc', false],
  '/sys': ['sysfs', true],
  '/dev/pts': ['devpts', false],
  '/dev/mqueue': ['mqueue', false],
  '/dev/shm': ['bind', false],
  '/sys/fs/cgroup': ['cgroup', true],
  '/run/podman-init': ['bind', true],
  '/dev/init': ['bind', true],
  '/etc/passwd': ['bind', true],
  '/etc/group': ['bind', true],
  '/etc/hosts': ['bind', true],
  '/etc/hostname': ['bind', true],
  '/etc/resolv.conf': ['bind', true],
  '/run/.containerenv': ['bind', true],
};
/** Paths that Podman is not told to hide, as its Docker API has no way to. The first two are read-only in it. */
const NOT_HIDDEN = ['/proc/asound', '/proc/interrupts'];
const NOT_HIDDEN_BELOW = ['/sys/devices/', '/sys/kernel/'];
const ITS_VARIABLES = ['TERM', 'container', 'HOSTNAME', 'HOME'];

/** Every difference between the walls that were asked for and those that the runtime was told to build. Pure. @param spec as Docker would get it */
export function runtimeDifferences(
  spec: ContainerSpec,
  image: Pick<RunImage, 'env' | 'entrypoint'>,
  config: RuntimeConfig,
): readonly Difference[] {
  const { HostConfig: host, Env } = podmanRequest(spec, '');
  const { process: running, linux, root } = config;
  const list: Difference[] = [];
  const check = (wall: string, wanted: unknown, found: unknown) => {
    if (JSON.stringify(wanted) !== JSON.stringify(found))
      list.push({ wall, wanted: shown(wanted), found: shown(found) });
  };
  check('process.user', spec.User, `${running.user.uid}:${running.user.gid}`);
  check(
    'process.user.additionalGids',
    [],
    (running.user.additionalGids ?? []).filter((gid) => gid !== running.user.gid),
  );
  check('process.args', ['--', ...(spec.Entrypoint ?? image.entrypoint), ...spec.Cmd], running.args.slice(1));
  const wanted = environment(image.env, Env);
  const variables = running.env.filter(
    (line) => !ITS_VARIABLES.includes(line.split('=')[0] ?? '') || wanted.includes(line),
  );
  check('process.env', wanted, variables.sort());
  check('process.terminal', false, running.terminal ?? false);
  check('process.noNewPrivileges', true, running.noNewPrivileges);
  check(
    'process.capabilities',
    [],
    Object.values(running.capabilities ?? {}).flatMap((set) => set ?? []),
  );
  const limits = new Map((running.rlimits ?? []).map(({ type, soft, hard }) => [type, [soft, hard]]));
  for (const { Name, Soft, Hard } of host.Ulimits)
    check(`process.rlimits.${Name}`, [Soft, Hard], limits.get(`RLIMIT_${Name.toUpperCase()}`));
  check('root.readonly', true, root.readonly);
  check('hooks', undefined, config.hooks);
  check('linux.devices', [], linux.devices ?? []);
  check('linux.resources.devices', [{ allow: false, access: 'rwm' }], linux.resources.devices);
  check(
    'linux.resources.memory',
    [host.Memory, host.MemorySwap],
    [linux.resources.memory?.limit, linux.resources.memory?.swap],
  );
  const { quota = 0, period = 1 } = linux.resources.cpu ?? {};
  check('linux.resources.cpu', host.NanoCpus, Math.round((quota / period) * 1e9));
  check('linux.resources.pids', host.PidsLimit, linux.resources.pids?.limit);
  check(
    'linux.seccomp',
    canonicalProfile(seccompSchema.parse(JSON.parse(profileOf(spec)))),
    linux.seccomp && canonicalProfile(linux.seccomp),
  );
  const masked = new Set([...(linux.maskedPaths ?? [])]);
  const hidden = host.MaskedPaths.filter(
    (path) => !NOT_HIDDEN.includes(path) && !NOT_HIDDEN_BELOW.some((top) => path.startsWith(top)),
  );
  check(
    'linux.maskedPaths',
    [],
    hidden.filter((path) => !masked.has(path)),
  );
  const readOnly = new Set([...masked, ...(linux.readonlyPaths ?? [])]);
  check(
    'linux.readonlyPaths',
    [],
    host.ReadonlyPaths.filter((path) => !readOnly.has(path)),
  );
  list.push(...namespaceDifferences(host.NetworkMode, linux.namespaces), ...mountDifferences(host, config.mounts));
  return list;
}

function namespaceDifferences(mode: string, namespaces: RuntimeConfig['linux']['namespaces']): readonly Difference[] {
  const joined = mode !== 'none';
  return ['pid', 'network', 'ipc', 'uts', 'mount'].flatMap((type): Difference[] => {
    const found = namespaces.find((one) => one.type === type);
    // A path leads to a namespace that is somebody else's: only the forwarder's network is.
    const right =
      found !== undefined &&
      (type === 'network'
        ? (found.path !== undefined) === joined
        : found.path === undefined || (type === 'uts' && joined));
    return right ? [] : [{ wall: `linux.namespaces.${type}`, wanted: 'its own', found: shown(found) }];
  });
}

function mountDifferences(
  { Tmpfs, Mounts }: ContainerSpec['HostConfig'],
  mounts: RuntimeConfig['mounts'],
): readonly Difference[] {
  const list: Difference[] = [];
  const seen = new Set<string>();
  for (const mount of mounts) {
    const { destination, type, source, options } = mount;
    const has = (option: string) => options?.includes(option) === true;
    const wrong = (wanted: string) => list.push({ wall: `mounts.${destination}`, wanted, found: shown(mount) });
    if (seen.has(destination)) wrong('one mount there');
    seen.add(destination);
    const memory = Tmpfs[destination];
    const bind = Mounts.find(({ Target }) => Target === destination);
    const own = OWN[destination];
    if (memory !== undefined) {
      const missing = memory.split(',').filter((option) => !has(option));
      if (type !== 'tmpfs' || missing.length > 0) wrong(`memory with ${memory}`);
    } else if (bind?.Type === 'tmpfs') {
      if (type !== 'tmpfs' || !has(`size=${bind.TmpfsOptions?.SizeBytes}`)) wrong('bounded memory');
    } else if (bind) {
      if (type !== 'bind' || source !== bind.Source || has('ro') !== bind.ReadOnly)
        wrong(`${bind.Source} ${bind.ReadOnly ? 'ro' : 'rw'}`);
    } else if (own) {
      if (type !== own[0] || (own[1] && !has('ro'))) wrong(own[1] ? `${own[0]}, read-only` : own[0]);
    } else wrong('nothing');
  }
  const asked = [...Object.keys(Tmpfs), ...Mounts.map(({ Target }) => Target)];
  for (const path of asked)
    if (!seen.has(path)) list.push({ wall: `mounts.${path}`, wanted: 'a mount', found: 'nothing' });
  return list;
}

/** Rules as a set: their order doesn't matter where they don't contradict one another, and ours don't. */
function canonicalProfile({ defaultAction, defaultErrnoRet, syscalls }: Seccomp): string {
  const rules = syscalls.flatMap(({ names: calls, action, errnoRet, args }) => {
    const conditions = (args ?? []).map((one) => [one.index, one.op, one.value, one.valueTwo ?? 0].join(' ')).sort();
    return calls.map((call) => [call, action, errnoRet ?? '', ...conditions].join(','));
  });
  return [defaultAction, defaultErrnoRet ?? '', ...rules.sort()].join('\n');
}
