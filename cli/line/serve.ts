import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseSource } from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import {
  type Behind,
  containerChannel,
  type DaemonClient,
  type GatewayConfig,
  type Identity,
  type Incident,
  identityOf,
  type LoginStore,
  loginFile,
  type Prepared,
  readTokens,
  remoteChannel,
  type ServerConfig,
  type TlsMaterial,
} from '../../gateway/index.ts';
import { type Decision, resolveSecret } from '../../runner/index.ts';
import { hasLock } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { stateLockFolder } from './source.ts';
import { logFolder, sessionOptions, verifiedImage } from './start.ts';
import { recordUse } from './usage.ts';

export interface PrepareOptions {
  readonly home: Home;
  readonly environment: Environment;
  /** Starts what the configuration only names. */
  readonly daemon?: DaemonClient;
  /** Whose servers they are, for one that is such a daemon. */
  readonly daemonId?: string;
  /** Locks nothing new: what isn't locked already is refused. */
  readonly locked: boolean;
  readonly progress: (line: string) => void;
  readonly say: (line: string) => void;
  readonly incident: (incident: Incident) => void;
}

/** Gets an entry of the configuration ready to be started again and again: verified now, and by this digest from then on. */
export async function prepareServer(server: ServerConfig, options: PrepareOptions): Promise<Prepared> {
  const { behind, name } = server;
  if (behind.kind === 'remote') return { open: remoteChannel({ ...behind, name, logins: logins(options.home, name) }) };
  if (behind.kind === 'named') return named(server, options);
  return contained(name, behind, options);
}

/** A daemon that is away is no reason to give up on a server, unless it is required: it is asked again with every start. */
async function named({ name, required }: ServerConfig, options: PrepareOptions): Promise<Prepared> {
  const { daemon, say, incident } = options;
  if (!daemon) throw new TypeError('a server is named, and there is no daemon');
  let digest: string | undefined;
  try {
    digest = await daemon.verified(name);
  } catch (error) {
    if (required) throw error;
    say(`${name}: ${(error as Error).message}`);
  }
  const open = daemon.channel(name, {
    onDigest(started) {
      digest = started;
    },
    onIncident: (seen) => incident({ ...seen, server: name }),
  });
  return {
    open,
    get digest() {
      return digest;
    },
  };
}

async function contained(
  name: string,
  { target, environment: values, secrets, permissions, limits }: Extract<Behind, { kind: 'contained' }>,
  { home, environment, locked, progress, say, incident, daemonId }: PrepareOptions,
): Promise<Prepared> {
  const note = (line: string) => say(`${name}: ${line}`);
  if (target.kind === 'package' && locked) await requireLock(target.source, target.bin, home);
  const wanted = target.kind === 'package' ? target.source : target.image;
  const bin = target.kind === 'package' ? target.bin : undefined;
  const verified = await verifiedImage(wanted, { home, environment, progress, say: note, bin });
  const resolved: Record<string, string> = { ...values };
  for (const [variable, reference] of Object.entries(secrets)) {
    resolved[variable] = await resolveSecret(reference, { environment });
  }
  const session = await sessionOptions({
    verified,
    home,
    environment,
    permissions,
    values: resolved,
    args: target.args,
    ...(limits ? { limits } : {}),
    say: note,
  });
  const use = recordUse(home, session);
  const onDecision = (decision: Decision) => {
    const { host, port, allowed, reason } = decision;
    use(decision);
    if (allowed) return;
    incident({ kind: 'egress-refused', server: name, host, port });
    note(`refused ${host}:${port} (${reason}); "permissions": {"network": ["${host}:${port}"]} would allow it`);
  };
  const open = containerChannel({
    session: { ...session, onDecision, ...(daemonId ? { daemon: daemonId } : {}) },
    logs: logFolder(home),
    pins: session.pins,
    onDrift: (what) => note(`tools-drift: not as signed: ${what}`),
  });
  return { open, digest: verified.image.digest };
}

/** @throws McpBuildError `not-locked` */
async function requireLock(source: string, bin: string | undefined, home: Home): Promise<void> {
  if (await hasLock(stateLockFolder(home, parseSource(source), bin))) return;
  throw new McpBuildError({
    code: 'not-locked',
    message: `${source} is not locked yet`,
    input: source,
    fix: `Start the gateway without --locked once, or run \`mcp-build run ${source}\`.`,
    exit: 4,
  });
}

/** Who called what, unless `serve` is told another place. */
export function auditFolder(home: Home): string {
  return join(home.root, 'audit');
}

/** Gateways on stdio, of which several may run, write beside it, each a folder that no other one holds. */
export function stdioAuditFolders(home: Home): readonly string[] {
  const all = Array.from({ length: MOST_STDIO }, (_, at) => join(home.root, 'audit-stdio', String(at + 1)));
  const held = (folder: string) => existsSync(join(folder, 'writer.lock'));
  // A lock may be left of one that was killed: those are looked at last.
  return [...all.filter((folder) => !held(folder)), ...all.filter(held)];
}

const MOST_STDIO = 64;

export function tokensFile(home: Home): string {
  return join(home.root, 'gateway', 'tokens.json');
}

/** What an operator's login at a server elsewhere gave. */
export function logins(home: Home, name: string): LoginStore {
  return loginFile(join(home.root, 'gateway', 'logins', `${name}.json`));
}

/** The tokens made here, by hash. @throws McpBuildError `tokens-invalid` */
export async function identities(home: Home): Promise<ReadonlyMap<string, Identity>> {
  const tokens = await readTokens(tokensFile(home));
  return new Map(tokens.map((stored) => [stored.hash, identityOf(stored)] as const));
}

/** @throws McpBuildError `file-unreadable` */
export async function tlsMaterial(files: NonNullable<GatewayConfig['tls']>): Promise<TlsMaterial> {
  const read = async (path: string) =>
    readFile(path).catch((cause: NodeJS.ErrnoException) => {
      throw new McpBuildError({
        code: 'file-unreadable',
        message: `${path} can't be read: ${cause.code}`,
        input: path,
        fix: 'Check the paths of "tls" in the configuration.',
        exit: 2,
      });
    });
  const [cert, key] = await Promise.all([read(files.cert), read(files.key)]);
  if (files.clientCA === undefined) return { cert, key };
  return { cert, key, clientCA: await read(files.clientCA), clientCertificates: files.clientCertificates };
}
