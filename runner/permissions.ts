import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';

/** What a server may do beyond computing: the widest it can be given. Nothing here reaches the host's kernel, devices or daemon. */
export interface Permissions {
  /** `none`; `all`, which is the internet and whatever else this machine can reach; or the destinations allowed (`api.example.com:443`, `*.example.com:443`). */
  readonly network: 'none' | 'all' | readonly string[];
  readonly volumes: readonly Volume[];
  /** Names of the variables it is given. Values come from the user, never from an image. */
  readonly environment: readonly string[];
}

export interface Volume {
  /** Absolute; the same inside as outside, so that arguments that name paths keep their meaning. */
  readonly path: string;
  readonly mode: 'ro' | 'rw';
}

export const NO_PERMISSIONS: Permissions = { network: 'none', volumes: [], environment: [] };

/** Asked for by images and manifests that want out. They have no spelling here, and get an answer of their own rather than "unknown field". */
const NEVER = new Set(
  [
    ...['privileged', 'cap-add', 'cap_add', 'capabilities', 'devices', 'device', 'device-requests', 'security-opt'],
    ...['pid', 'pid-mode', 'ipc', 'uts', 'userns', 'cgroupns', 'host-network', 'host-pid', 'docker-socket', 'user'],
    ...['sysctls', 'runtime', 'seccomp', 'apparmor', 'group-add', 'volumes-from', 'cgroup-parent'],
  ].map((name) => name.replace(/[-_]/g, '')),
);
const NEVER_NETWORK = /^(host|bridge|container:.*|ns:.*)$/;

const HOST = /^(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*:(?:[0-9]{1,5})$/;
const ADDRESS = /^[0-9.]+:|^\[/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;

const destination = z
  .string()
  .max(260)
  .transform((text) => (/:[0-9]+$/.test(text) ? text : `${text}:443`).toLowerCase())
  .refine((text) => HOST.test(text) && !ADDRESS.test(text) && Number(text.split(':').at(-1)) <= 65535, {
    error: 'write it as host:port or *.host:port, with a name rather than an address',
  });

const schema = z.strictObject({
  network: z
    .union([z.literal('none'), z.literal('all'), z.array(destination).min(1).max(200).readonly()])
    .default('none'),
  volumes: z
    .array(
      z.strictObject({
        path: z.string().min(1).max(4096),
        mode: z.enum(['ro', 'rw']).default('ro'),
      }),
    )
    .max(50)
    .readonly()
    .default([]),
  environment: z.array(z.string().regex(VARIABLE, 'not the name of a variable')).max(200).readonly().default([]),
});

/**
 * Reads declared permissions. Whether a volume may be mounted on *this* machine is `resolveVolumes`'s to say.
 * @throws McpBuildError `permission-refused` for what is never given, `permission-invalid`
 */
export function parsePermissions(value: unknown, input = 'permissions'): Permissions {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const key of Object.keys(value)) {
      if (NEVER.has(key.toLowerCase().replace(/[-_]/g, ''))) throw permissionRefused(key, 'is never given to a server');
    }
    const network: unknown = (value as { network?: unknown }).network;
    if (typeof network === 'string' && NEVER_NETWORK.test(network)) {
      throw permissionRefused(`network: ${network}`, "would put the server into another's network");
    }
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new McpBuildError({
    code: 'permission-invalid',
    message: `${input}: ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit'}`,
    input,
    fix: 'Write network (none, all, or a list of host:port), volumes (path and mode) and environment (names).',
    exit: 2,
  });
}

/** Reads the value of `--volume`: an absolute path, and `:rw` where the server may write. @throws McpBuildError `permission-invalid` */
export function parseVolume(text: string): Volume {
  const match = /^(.+?)(?::(ro|rw))?$/s.exec(text);
  const path = match?.[1] ?? '';
  if (path.startsWith('/') && !path.includes(':')) return { path, mode: match?.[2] === 'rw' ? 'rw' : 'ro' };
  throw new McpBuildError({
    code: 'permission-invalid',
    message: `"${text}" is not a volume`,
    input: text,
    fix: 'Write an absolute path without a colon, and :rw after it where the server may write: --volume /path/to/folder:rw.',
    exit: 2,
  });
}

/** Reads the value of `--allow-net`: `all`, `none`, or destinations with commas between. @throws McpBuildError `permission-invalid`, `permission-refused` */
export function parseNetwork(text: string): Permissions['network'] {
  const network = text === 'all' || text === 'none' ? text : text.split(',').map((part) => part.trim());
  if (typeof text === 'string' && NEVER_NETWORK.test(text)) return parsePermissions({ network: text }).network;
  return parsePermissions({ network }, `network "${text}"`).network;
}

export function permissionRefused(input: string, reason: string, fix?: string): McpBuildError {
  return new McpBuildError({
    code: 'permission-refused',
    message: `${input}: ${reason}`,
    input,
    fix: fix ?? 'Leave it out: no flag and no policy gives it.',
    exit: 3,
  });
}
