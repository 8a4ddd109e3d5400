import { lstat, realpath, stat } from 'node:fs/promises';
import { isAbsolute, normalize, resolve } from 'node:path';
import { McpBuildError } from '../errors/index.ts';
import { permissionRefused, type Volume } from './permissions.ts';

/** A volume as it is on this machine now. */
export interface ResolvedVolume extends Volume {
  /** What the path was when it was judged: the same must be there when the container has started. */
  readonly device: number;
  readonly inode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface Surroundings {
  /** The user's home folder. */
  readonly home: string;
  /** mcp-build's state: keys and accepted versions are in it. */
  readonly state: string;
  /** Sockets through which a container would rule this machine; the usual ones are always among them. */
  readonly sockets: readonly string[];
}

/** Neither these nor anything under them. */
const NEVER_WITHIN = [
  ...['/proc', '/sys', '/dev', '/boot', '/etc', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/efi'],
  ...[
    '/usr/bin',
    '/usr/sbin',
    '/usr/lib',
    '/usr/lib64',
    '/usr/libexec',
    '/usr/local/bin',
    '/usr/local/sbin',
    '/usr/local/lib',
  ],
  ...[
    '/run',
    '/var/run',
    '/var/lib/docker',
    '/var/lib/containerd',
    '/var/lib/containers',
    '/var/lib/kubelet',
    '/var/spool/cron',
  ],
  // The image keeps its own things there, and a mount would put others in their place.
  ...['/app', '/config', '/home/nonroot'],
  ...['/System', '/Library', '/private/etc', '/private/var/run'],
];
/** Disks of the person at the desk are mounted there. */
const EXCEPT_WITHIN = ['/run/media'];
/** Nor exactly these: they hold everybody's files. */
const NEVER_EXACTLY = ['/', '/home', '/root', '/tmp', '/var', '/var/tmp', '/usr', '/opt', '/srv', '/mnt', '/media'];
const NEVER_EXACTLY_MAC = ['/Users', '/Volumes', '/private', '/private/tmp', '/private/var'];

const USUAL_SOCKETS = [
  ...['/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock', '/run/podman/podman.sock'],
  ...['/run/crio/crio.sock', '/run/dbus/system_bus_socket', '/run/systemd/private'],
];

/**
 * Judges each volume on this machine. Symbolic links are followed once, here, and what they led to is what is judged and mounted; a link
 * below the root folder is refused, for whoever may write beside it decides where it leads.
 * @throws McpBuildError `permission-refused`, `volume-missing`
 */
export async function resolveVolumes(
  volumes: readonly Volume[],
  around: Surroundings,
): Promise<readonly ResolvedVolume[]> {
  const resolved: ResolvedVolume[] = [];
  for (const volume of volumes) resolved.push(await resolveVolume(volume, around));
  for (const [at, one] of resolved.entries()) {
    for (const other of resolved.slice(at + 1)) {
      if (one.path === other.path) throw permissionRefused(one.path, 'is given twice', 'Give each volume once.');
    }
  }
  return resolved;
}

/** Whether a volume is still what was judged. */
export async function unchanged(volume: ResolvedVolume): Promise<boolean> {
  try {
    const found = await lstat(volume.path);
    return found.dev === volume.device && found.ino === volume.inode && (await realpath(volume.path)) === volume.path;
  } catch {
    return false;
  }
}

async function resolveVolume(volume: Volume, around: Surroundings): Promise<ResolvedVolume> {
  const asked = volume.path;
  if (!isAbsolute(asked) || normalize(asked) !== asked) {
    throw permissionRefused(asked, 'is not an absolute path without . and ..', 'Write the whole path of the folder.');
  }
  const plain = resolve(asked);
  // Judged as written first: what must never be mounted is refused whether it exists or not.
  refuseWidest(plain, asked, around);
  let path: string;
  try {
    path = await realpath(plain);
  } catch (cause) {
    throw new McpBuildError({
      code: 'volume-missing',
      message: `Volume ${asked} can't be read`,
      input: asked,
      fix: 'Make the folder first: a container engine would make it for root.',
      cause,
    });
  }
  if (path !== plain && !(await onlyRootLinks(plain, path))) {
    throw permissionRefused(
      asked,
      `leads through a symbolic link to ${path}`,
      `If that is what you mean, name it: --volume ${path}:${volume.mode}.`,
    );
  }
  refuseWidest(path, asked, around);
  const found = await stat(path);
  if (!found.isDirectory() && !found.isFile()) {
    throw permissionRefused(
      asked,
      'is neither a folder nor a plain file',
      'Sockets, pipes and devices are not shared.',
    );
  }
  return { ...volume, path, device: found.dev, inode: found.ino, uid: found.uid, gid: found.gid };
}

/** Links in the root folder (`/tmp` on macOS, `/home` on some systems) are the system's own: only root can have made them. */
async function onlyRootLinks(plain: string, path: string): Promise<boolean> {
  const first = `/${plain.split('/')[1] ?? ''}`;
  return `${await realpath(first)}${plain.slice(first.length)}` === path;
}

function refuseWidest(path: string, asked: string, around: Surroundings): void {
  const exact = process.platform === 'darwin' ? [...NEVER_EXACTLY, ...NEVER_EXACTLY_MAC] : NEVER_EXACTLY;
  if (exact.includes(path)) throw permissionRefused(asked, 'is far too wide', 'Share the one folder the server needs.');
  const within = NEVER_WITHIN.find((folder) => contains(folder, path));
  if (within && !EXCEPT_WITHIN.some((folder) => contains(folder, path) && folder !== path)) {
    throw permissionRefused(asked, `is in ${within}, which belongs to the system or to the image`);
  }
  const above = NEVER_WITHIN.find((folder) => contains(path, folder));
  if (above) throw permissionRefused(asked, `holds ${above}`, 'Share the one folder the server needs.');
  if (path === around.home) {
    throw permissionRefused(asked, 'is your home folder, with keys and passwords in it', 'Share one folder of it.');
  }
  if (contains(path, around.home)) throw permissionRefused(asked, 'holds your home folder', 'Share one folder of it.');
  if (contains(path, around.state) || contains(around.state, path)) {
    throw permissionRefused(asked, "holds mcp-build's own keys and records", 'Share another folder.');
  }
  const socket = [...USUAL_SOCKETS, ...around.sockets].find((file) => contains(path, file));
  if (socket) throw permissionRefused(asked, `holds ${socket}, which rules this machine`);
}

function contains(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
