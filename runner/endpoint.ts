import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';
import type { SshEndpoint } from './ssh.ts';

/** Where a Docker daemon listens. Plain data: it also goes to the reaper, another process. */
export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      /** Folder with `ca.pem`, `cert.pem` and `key.pem`; absent: plain HTTP. */
      readonly certificates?: string;
    }
  | SshEndpoint;

export const endpointSchema: z.ZodType<Endpoint> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('unix'), path: z.string().min(1).max(1024) }),
  z.strictObject({
    kind: z.literal('tcp'),
    host: z.string().min(1).max(255),
    port: z.int().min(1).max(65535),
    certificates: z.string().min(1).max(1024).exactOptional(),
  }),
  z.strictObject({
    kind: z.literal('ssh'),
    program: z.string().startsWith('/').max(1024),
    host: z.string().regex(/^[A-Za-z0-9:][A-Za-z0-9_.:-]{0,254}$/),
    user: z
      .string()
      .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/)
      .exactOptional(),
    port: z.int().min(1).max(65535).exactOptional(),
    path: z
      .string()
      .regex(/^\/[A-Za-z0-9/_.-]{1,255}$/)
      .exactOptional(),
    agent: z.string().startsWith('/').max(1024).exactOptional(),
  }),
]);

type Environment = Readonly<Record<string, string | undefined>>;

const configSchema = z.object({ currentContext: z.string().max(255).optional() });
const metaSchema = z.object({
  Endpoints: z.object({ docker: z.object({ Host: z.string().max(1024) }) }),
});

/**
 * The daemon that `docker` itself would talk to: DOCKER_HOST, then DOCKER_CONTEXT or the current context of Docker's configuration,
 * then the usual sockets.
 * @throws McpBuildError `docker-unavailable` for an address of a kind that can't be used
 */
export async function findEndpoint(environment: Environment): Promise<Endpoint> {
  const host = environment.DOCKER_HOST;
  if (host) return parseEndpoint(host, environment);
  const folder = environment.DOCKER_CONFIG || join(homeOf(environment), '.docker');
  const context = environment.DOCKER_CONTEXT || (await currentContext(folder));
  if (context && context !== 'default') {
    const host = await contextHost(folder, context);
    const certificates = join(folder, 'contexts', 'tls', idOf(context), 'docker');
    // A context brings its own certificates, and means them.
    const own = existsSync(certificates) ? { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: certificates } : {};
    return parseEndpoint(host, { ...environment, ...own });
  }
  return { kind: 'unix', path: usualSocket(environment) };
}

/** @throws McpBuildError `docker-unavailable` */
export function parseEndpoint(text: string, environment: Environment = {}): Endpoint {
  const unix = /^unix:\/\/(\/.*)$/.exec(text);
  if (unix?.[1]) return { kind: 'unix', path: unix[1] };
  const tcp = /^(?:tcp|https?):\/\/(\[[0-9a-fA-F:.]+\]|[^/:[\]\s]+)(?::([0-9]{1,5}))?\/?$/.exec(text);
  if (tcp?.[1]) {
    const secure = text.startsWith('https:') || Boolean(environment.DOCKER_TLS_VERIFY);
    const port = Number(tcp[2] ?? (secure ? 2376 : 2375));
    const certificates = environment.DOCKER_CERT_PATH || join(homeOf(environment), '.docker');
    if (port >= 1 && port <= 65535) {
      return { kind: 'tcp', host: tcp[1].replace(/^\[|\]$/g, ''), port, ...(secure ? { certificates } : {}) };
    }
  }
  // Neither a password nor anything that the shell over there would read as more than a word.
  const ssh =
    /^ssh:\/\/(?:([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})@)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9_.-]{0,254})(?::([0-9]{1,5}))?(\/[A-Za-z0-9/_.-]*)?$/.exec(
      text,
    );
  if (ssh?.[2] && (ssh[3] === undefined || (Number(ssh[3]) >= 1 && Number(ssh[3]) <= 65535))) {
    const agent = environment.SSH_AUTH_SOCK;
    return {
      kind: 'ssh',
      program: sshProgram(text, environment),
      host: ssh[2].replace(/^\[|\]$/g, ''),
      ...(ssh[1] === undefined ? {} : { user: ssh[1] }),
      ...(ssh[3] === undefined ? {} : { port: Number(ssh[3]) }),
      ...(ssh[4] === undefined || ssh[4] === '/' ? {} : { path: ssh[4] }),
      ...(agent && isAbsolute(agent) ? { agent } : {}),
    };
  }
  throw new McpBuildError({
    code: 'docker-unavailable',
    message: `"${text}" is not a Docker address that can be used`,
    input: text,
    fix: 'Set DOCKER_HOST to unix:///path/of/docker.sock, tcp://host:port or ssh://user@host.',
  });
}

export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix://${endpoint.path}`;
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  if (endpoint.kind === 'tcp') return `tcp://${host}:${endpoint.port}`;
  const { user, port, path } = endpoint;
  return `ssh://${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : `:${port}`}${path ?? ''}`;
}

/** @throws McpBuildError `docker-unavailable` */
function sshProgram(input: string, environment: Environment): string {
  for (const folder of (environment.PATH ?? '').split(delimiter)) {
    const program = join(folder, 'ssh');
    // An entry that isn't absolute is whatever folder a client happens to start in.
    if (!isAbsolute(folder)) continue;
    try {
      accessSync(program, constants.X_OK);
      return program;
    } catch {
      // Not here.
    }
  }
  throw new McpBuildError({
    code: 'docker-unavailable',
    message: 'ssh is not installed, and the Docker daemon is behind it',
    input,
    fix: 'Install OpenSSH’s client, or set DOCKER_HOST to a daemon on this machine.',
  });
}

async function currentContext(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, 'config.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return configSchema.parse(JSON.parse(text)).currentContext;
  } catch {
    // Docker's own command warns and goes on with its defaults.
    return undefined;
  }
}

async function contextHost(folder: string, context: string): Promise<string> {
  try {
    const text = await readFile(join(folder, 'contexts', 'meta', idOf(context), 'meta.json'), 'utf8');
    return metaSchema.parse(JSON.parse(text)).Endpoints.docker.Host;
  } catch (cause) {
    throw new McpBuildError({
      code: 'docker-unavailable',
      message: `Docker's context "${context}" can't be read`,
      input: context,
      fix: 'Choose another with `docker context use`, or set DOCKER_HOST.',
      cause,
    });
  }
}

/** The folder of a context, as Docker's command names it. */
function idOf(context: string): string {
  return createHash('sha256').update(context).digest('hex');
}

function usualSocket(environment: Environment): string {
  const runtime = environment.XDG_RUNTIME_DIR;
  const candidates = [
    '/var/run/docker.sock',
    // Docker Desktop without its privileged helper, and a rootless daemon.
    join(homeOf(environment), '.docker', 'run', 'docker.sock'),
    ...(runtime && isAbsolute(runtime) ? [join(runtime, 'docker.sock')] : []),
  ];
  return candidates.find((path) => existsSync(path)) ?? '/var/run/docker.sock';
}

function homeOf(environment: Environment): string {
  return environment.HOME || homedir();
}
