import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hostPlatform, parseSource } from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import {
  type Behind,
  containerChannel,
  type Identity,
  type Incident,
  identityOf,
  type Prepared,
  readTokens,
  remoteChannel,
  type ServerConfig,
  type TlsMaterial,
} from '../../gateway/index.ts';
import { resolveSecret } from '../../runner/index.ts';
import { hasLock, readLockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { stateLockFolder } from './source.ts';
import { logFolder, sessionOptions, verifiedImage } from './start.ts';

export interface PrepareOptions {
  readonly home: Home;
  readonly environment: Environment;
  /** Locks nothing new: what isn't locked already is refused. */
  readonly locked: boolean;
  readonly progress: (line: string) => void;
  readonly say: (line: string) => void;
  readonly incident: (incident: Incident) => void;
}

/** Gets an entry of the configuration ready to be started again and again: verified now, and by this digest from then on. */
export async function prepareServer(server: ServerConfig, options: PrepareOptions): Promise<Prepared> {
  const { behind, name } = server;
  if (behind.kind === 'remote') return { open: remoteChannel(behind) };
  return contained(name, behind, options);
}

async function contained(
  name: string,
  { target, environment: values, secrets, permissions, limits }: Extract<Behind, { kind: 'contained' }>,
  { home, environment, locked, progress, say, incident }: PrepareOptions,
): Promise<Prepared> {
  const note = (line: string) => say(`${name}: ${line}`);
  if (target.kind === 'package') await checkTarget(target, home, locked);
  const wanted = target.kind === 'package' ? target.source : target.image;
  const verified = await verifiedImage(wanted, { home, environment, progress, say: note });
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
  const onDecision = ({
    host,
    port,
    allowed,
    reason,
  }: {
    host: string;
    port: number;
    allowed: boolean;
    reason: string;
  }) => {
    if (allowed) return;
    incident({ kind: 'egress-refused', server: name, host, port });
    note(`refused ${host}:${port} (${reason}); "permissions": {"network": ["${host}:${port}"]} would allow it`);
  };
  const open = containerChannel({ session: { ...session, onDecision }, logs: logFolder(home) });
  return { open, digest: verified.image.digest };
}

/** @throws McpBuildError `not-locked`, `command-refused` */
async function checkTarget(
  { source: text, bin }: { readonly source: string; readonly bin: string | undefined },
  home: Home,
  locked: boolean,
): Promise<void> {
  const source = parseSource(text);
  const folder = stateLockFolder(home, source);
  const known = await hasLock(folder);
  if (locked && !known) {
    throw new McpBuildError({
      code: 'not-locked',
      message: `${text} is not locked yet`,
      input: text,
      fix: `Start the gateway without --locked once, or run \`mcp-build run ${text}\`.`,
      exit: 4,
    });
  }
  if (bin === undefined || !known) return;
  const { lock } = await readLockFolder(folder);
  if (lock.platforms[hostPlatform()] === undefined || lock.bin === bin || lock.bin === undefined) return;
  throw new McpBuildError({
    code: 'command-refused',
    message: `${text} is locked for its command ${lock.bin}, not ${bin}`,
    input: bin,
    fix: 'Lock it anew for the other command.',
    exit: 2,
  });
}

/** Who called what, unless `serve` is told another place. */
export function auditFolder(home: Home): string {
  return join(home.root, 'audit');
}

export function tokensFile(home: Home): string {
  return join(home.root, 'gateway', 'tokens.json');
}

/** The tokens made here, by hash. @throws McpBuildError `tokens-invalid` */
export async function identities(home: Home): Promise<ReadonlyMap<string, Identity>> {
  const tokens = await readTokens(tokensFile(home));
  return new Map(tokens.map((stored) => [stored.hash, identityOf(stored)] as const));
}

/** @throws McpBuildError `file-unreadable` */
export async function tlsMaterial(files: { readonly cert: string; readonly key: string }): Promise<TlsMaterial> {
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
  return { cert, key };
}
