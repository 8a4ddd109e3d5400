import { readFile, readlink } from 'node:fs/promises';

/** Which process a container belongs to, as labels: what a sweep needs to know that it is an orphan. */
export interface Owner {
  readonly uid: number;
  readonly pid: number;
  readonly started: string;
  /** Machine, boot and process namespace: a pid means nothing in another. */
  readonly place: string;
}

export const LABEL = {
  uid: 'io.mcp-build.owner.uid',
  pid: 'io.mcp-build.owner.pid',
  started: 'io.mcp-build.owner.started',
  place: 'io.mcp-build.owner.place',
  /** Of a daemon that starts servers for others, whichever process it is: one in a container has another namespace each time. */
  daemon: 'io.mcp-build.daemon',
  run: 'io.mcp-build.run',
  server: 'io.mcp-build.server',
  version: 'io.mcp-build.version',
  digest: 'io.mcp-build.digest',
  /** `server`, or what stands beside it: `forwarder`. */
  role: 'io.mcp-build.role',
} as const;

export async function thisOwner(): Promise<Owner> {
  return {
    uid: process.getuid?.() ?? 0,
    pid: process.pid,
    started: (await startOf(process.pid)) ?? '',
    place: await place(),
  };
}

export function ownerLabels(owner: Owner): Readonly<Record<string, string>> {
  return {
    [LABEL.uid]: String(owner.uid),
    [LABEL.pid]: String(owner.pid),
    [LABEL.started]: owner.started,
    [LABEL.place]: owner.place,
  };
}

/**
 * Whether the process that a container belongs to is certainly gone. Of another machine's or namespace's nothing is certain, so those are kept:
 * a daemon can be shared.
 */
export async function orphaned(labels: Readonly<Record<string, string>>, here: Owner): Promise<boolean> {
  if (labels[LABEL.uid] !== String(here.uid) || labels[LABEL.place] !== here.place) return false;
  const pid = Number(labels[LABEL.pid]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  return (await startOf(pid)) !== labels[LABEL.started];
}

async function place(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => process.platform);
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return `${boot.trim()}/${namespace.replace(/[^0-9]/g, '')}`;
}

/** Differs between two processes that had the same pid; undefined when the process is gone. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 22, counted after the command name, which may itself hold spaces and parentheses.
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    // A zombie runs nothing any more.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    if (process.platform === 'linux') return undefined;
    try {
      process.kill(pid, 0);
      return 'alive';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM' ? 'alive' : undefined;
    }
  }
}
