import { statfs } from 'node:fs/promises';
import { McpBuildError } from '../errors/index.ts';
import type { Daemon } from './compare.ts';
import { formatEndpoint } from './endpoint.ts';
import { privateParent } from './private.ts';
import type { Reaper } from './reaper.ts';
import type { Runtime } from './runtime.ts';
import { listServers } from './servers.ts';
import type { Machine } from './session.ts';

export interface Check {
  /** Stable: what scripts compare. */
  readonly id: string;
  /** `fail`: servers can't be run, or not safely. `warn`: they can, with less than there could be. */
  readonly status: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  readonly fix?: string;
}

const TMPFS = 0x01021994;
/** In bytes: an image with its layers unpacked once more. */
const ROOM = 2 * 1024 ** 3;

/** Everything on this machine that running a server depends on, each with its own answer: one that fails hides no other. */
export async function diagnose(
  runtime: Pick<Runtime, 'endpoint' | 'daemon' | 'list'>,
  machine: Machine,
  reaper: Reaper,
): Promise<readonly Check[]> {
  const daemon = await runtime.daemon().catch((error: unknown) => error);
  if (daemon instanceof McpBuildError) {
    const unreachable = check('docker', 'fail', daemon.message, daemon.fix);
    return [unreachable, ...(await machineChecks(runtime, machine)), await reaperCheck(runtime, reaper)];
  }
  if (daemon instanceof Error) throw daemon;
  return [
    check('docker', 'ok', `${formatEndpoint(runtime.endpoint)}, version ${(daemon as Daemon).version}`),
    ...daemonChecks(daemon as Daemon, machine),
    ...(await machineChecks(runtime, machine)),
    await reaperCheck(runtime, reaper),
    await leftovers(runtime),
  ];
}

/** What a daemon says of itself. Pure. */
export function daemonChecks(daemon: Daemon, machine: Pick<Machine, 'uid'>): readonly Check[] {
  const has = (option: string) => daemon.security.includes(option);
  const [major = 0, minor = 0] = daemon.version.split('.').map(Number);
  const limits = { memory: daemon.memoryLimit, processes: daemon.pidsLimit, processor: daemon.cpuLimit };
  const missing = Object.entries(limits).flatMap(([name, there]) => (there ? [] : [name]));
  return [
    ...(daemon.engine === 'podman' ? podmanChecks(major, minor) : []),
    daemon.engine === 'podman'
      ? check('docker-version', 'ok', `Podman ${daemon.version}, by its Docker API`)
      : major > 20 || (major === 20 && minor >= 10)
        ? check('docker-version', 'ok', `Docker ${daemon.version}`)
        : check('docker-version', 'fail', `Docker ${daemon.version} is too old`, 'Install 20.10 or newer.'),
    daemon.os === 'linux'
      ? check('containers', 'ok', `Linux containers, ${daemon.architecture}`)
      : check('containers', 'fail', `The daemon runs ${daemon.os} containers`, 'Switch it to Linux containers.'),
    has('seccomp')
      ? check('seccomp', 'ok', 'System calls are filtered')
      : check('seccomp', 'fail', 'The daemon can not filter system calls', 'Use a kernel and a Docker with seccomp.'),
    has('apparmor') || has('selinux')
      ? check('mandatory-access', 'ok', has('apparmor') ? 'AppArmor is on' : 'SELinux is on')
      : check('mandatory-access', 'warn', 'Neither AppArmor nor SELinux stands behind the other walls'),
    missing.length === 0
      ? check('limits', 'ok', 'Memory, processes and processor time can be limited')
      : check(
          'limits',
          'fail',
          `${missing.join(' and ')} can not be limited`,
          'Turn the cgroup controllers on, or delegate them to the rootless daemon.',
        ),
    daemon.swapLimit
      ? check('swap', 'ok', 'Swap is limited with memory')
      : check(
          'swap',
          'warn',
          'The kernel counts no swap: a server may use it beyond its memory',
          'Start the kernel with swapaccount=1, or turn swap off.',
        ),
    daemon.init === ''
      ? check('init', 'fail', 'The daemon has no docker-init', 'Install tini, or the docker-init of your distribution.')
      : check('init', 'ok', 'Orphans in containers are reaped'),
    has('rootless') && machine.uid !== 0
      ? check(
          'rootless',
          'warn',
          'The daemon is rootless: servers use shared folders as a subordinate user',
          'Give that user, or everyone, the rights a server needs on a folder before sharing it.',
        )
      : check('rootless', 'ok', has('rootless') ? 'The daemon is rootless' : 'Shared folders are used as their owner'),
  ];
}

/** What Podman can't do, said before somebody counts on it. */
function podmanChecks(major: number, minor: number): readonly Check[] {
  return [
    major > 4 || (major === 4 && minor >= 3)
      ? check('podman', 'warn', 'Podman hides fewer kernel files than are asked for, and has no --allow-net all')
      : check('podman', 'fail', 'Podman before 4.3 was never tried', 'Install 4.3 or newer, or Docker.'),
  ];
}

async function machineChecks(runtime: Pick<Runtime, 'endpoint'>, machine: Machine): Promise<readonly Check[]> {
  const parent = privateParent(runtime.endpoint, machine.environment, machine.run);
  const type = (await statfs(parent).catch(() => undefined))?.type;
  const state = await statfs(machine.state).catch(() => undefined);
  const free = state ? state.bavail * state.bsize : undefined;
  return [
    type === TMPFS
      ? check('private-memory', 'ok', `Secrets wait in memory, in ${parent}`)
      : check('private-memory', 'warn', `Secrets wait on a disk, in ${parent}, until their server has started`),
    free === undefined || free > ROOM
      ? check('disk', 'ok', 'There is room for images')
      : check(
          'disk',
          'warn',
          `Only ${Math.round(free / 1e6)} MB are free in ${machine.state}`,
          'Run `mcp-build prune`.',
        ),
  ];
}

async function reaperCheck(runtime: Pick<Runtime, 'endpoint'>, reaper: Reaper): Promise<Check> {
  try {
    const guard = await reaper.guard({ endpoint: runtime.endpoint, containers: [], folders: [] });
    await guard.release();
    return check('reaper', 'ok', 'What a killed run leaves is removed');
  } catch (error) {
    const { message, fix } = error as McpBuildError;
    return check('reaper', 'fail', message, fix);
  }
}

async function leftovers(runtime: Pick<Runtime, 'list'>): Promise<Check> {
  const orphans = (await listServers(runtime)).filter(({ owner }) => owner.gone);
  return orphans.length === 0
    ? check('leftovers', 'ok', 'No container without its run')
    : check(
        'leftovers',
        'warn',
        `${orphans.length} containers whose run is gone`,
        'The next run removes them, or `mcp-build stop` does.',
      );
}

function check(id: string, status: Check['status'], detail: string, fix?: string): Check {
  return { id, status, detail, ...(fix === undefined ? {} : { fix }) };
}
