import { access, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import type { Source } from '../../builders/index.ts';
import { type Digest, sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { makeFolders, withFileLock, writeAtomic } from '../../files/index.ts';
import {
  type Accepted,
  type Asked,
  compareVersions,
  keyPolicy,
  loadPolicy,
  type Policy,
  type ServerPredicate,
  sourceName,
} from '../../trust/index.ts';
import type { Environment, Home } from './home.ts';
import { ownKeys, type TrustedKey } from './keys.ts';
import { followedRoots } from './roots.ts';

/** The policy in force, and where it came from. */
export interface Applied {
  readonly policy: Policy;
  readonly file: string | undefined;
  readonly digest: Digest | undefined;
}

/**
 * The policy that this user is under: the system's, else their own, else "signed by one of my own keys". Never the working directory's, unless
 * that folder was admitted by `mcp-build trust`.
 * @throws McpBuildError `key-missing`, and what `loadPolicy` throws
 */
export async function policyOf(home: Home, environment: Environment, workspace?: string): Promise<Applied> {
  for (const file of policyFiles(environment)) {
    if (await exists(file)) return applied(home, file);
  }
  const admitted = workspace === undefined ? undefined : await admittedPolicy(home, workspace);
  if (admitted) return applied(home, admitted);
  return ownKeysPolicy(await ownKeys(home));
}

/** @throws McpBuildError `key-missing` */
export function ownKeysPolicy(keys: readonly TrustedKey[]): Applied {
  if (keys.length === 0) {
    throw new McpBuildError({
      code: 'key-missing',
      message: 'There is no key and no policy to verify with',
      fix: 'Name a public key with --key, write a policy, or make a key of your own with `mcp-build init`.',
      exit: 3,
    });
  }
  return { policy: keyPolicy(keys.map(({ key }) => key)), file: undefined, digest: undefined };
}

/** The system's before the user's: what an administrator demands is not undone in a home folder. */
export function policyFiles(environment: Environment): readonly string[] {
  const configured = environment.XDG_CONFIG_HOME;
  const config =
    configured && isAbsolute(configured) ? configured : join(environment.HOME ?? '/nonexistent', '.config');
  return ['/etc/mcp-build/policy.yaml', join(config, 'mcp-build', 'policy.yaml')];
}

export async function applied(home: Home, file: string): Promise<Applied> {
  return { policy: await loadPolicy(file, followedRoots(home)), file, digest: sha256(await readFile(file)) };
}

const acceptedSchema = z.strictObject({ version: z.string(), created: z.string() });

/** What this machine has accepted of each server before: an older build of it, validly signed, is a rollback. */
function recordPath(home: Home, source: string): string {
  return join(home.root, 'accepted', encodeURIComponent(source));
}

export async function acceptedBefore(
  home: Home,
  source: Pick<Source, 'ecosystem' | 'name'>,
): Promise<Accepted | undefined> {
  const text = await readFile(recordPath(home, sourceName(source)), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const parsed = acceptedSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new McpBuildError({
    code: 'record-invalid',
    message: `The record of what was accepted of ${sourceName(source)} is damaged`,
    input: recordPath(home, sourceName(source)),
    fix: 'Look at why; then remove the file.',
    exit: 3,
  });
}

/** Remembers the newest only. */
export async function rememberAccepted(home: Home, server: ServerPredicate): Promise<void> {
  const path = recordPath(home, sourceName(server.source));
  const before = await acceptedBefore(home, server.source);
  if (before && !isNewer(server, before)) return;
  await makeFolders(dirname(path));
  await withFileLock(`${path}.lock`, () =>
    writeAtomic(path, JSON.stringify({ version: server.source.version, created: server.created })),
  );
}

function isNewer({ source, created }: ServerPredicate, before: Accepted): boolean {
  const order = compareVersions(source.ecosystem, source.version, before.version);
  return order !== undefined && (order > 0 || (order === 0 && Date.parse(created) > Date.parse(before.created)));
}

export function askedFor(image: string, source: Source | undefined): Asked {
  return { image, ...(source ? { source: { ecosystem: source.ecosystem, name: source.name } } : {}) };
}

// --- folders that a person has admitted ---

const admittedSchema = z.record(z.string(), z.string());

function admittedPath(home: Home): string {
  return join(home.root, 'trusted-folders.json');
}

/** Digest over what a workspace may say: its policy, and the keys and roots that lie beside it. @throws McpBuildError `policy-unreadable` */
async function workspaceDigest(home: Home, workspace: string): Promise<Digest> {
  const policy = join(workspace, 'policy.yaml');
  // Loading it reads every file that it names; their digests are part of what is admitted.
  const files: string[] = [policy];
  await loadPolicy(policy, followedRoots(home));
  const text = await readFile(policy, 'utf8');
  for (const match of text.matchAll(/(?:file|root):\s*["']?([^\s"'#]+)/g)) files.push(join(workspace, match[1] ?? ''));
  const lines = await Promise.all(
    files.map(async (file) => `${file}\0${sha256(await readFile(file).catch(() => Buffer.alloc(0)))}\n`),
  );
  return sha256(lines.join(''));
}

/** Admits a folder's policy for `run` and `verify`, as it is now: any change of it needs admitting again. */
export async function admit(home: Home, workspace: string): Promise<Digest> {
  const digest = await workspaceDigest(home, workspace);
  await withFileLock(`${admittedPath(home)}.lock`, async () => {
    await writeAtomic(
      admittedPath(home),
      `${JSON.stringify({ ...(await admittedFolders(home)), [workspace]: digest }, null, 2)}\n`,
      0o600,
    );
  });
  return digest;
}

export async function dismiss(home: Home, workspace: string): Promise<boolean> {
  let found = false;
  await withFileLock(`${admittedPath(home)}.lock`, async () => {
    const { [workspace]: gone, ...rest } = await admittedFolders(home);
    found = gone !== undefined;
    if (found) await writeAtomic(admittedPath(home), `${JSON.stringify(rest, null, 2)}\n`, 0o600);
  });
  return found;
}

export async function admittedFolders(home: Home): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(admittedPath(home), 'utf8').catch(() => '{}');
  return admittedSchema.parse(JSON.parse(text));
}

async function admittedPolicy(home: Home, workspace: string): Promise<string | undefined> {
  const digest = (await admittedFolders(home))[workspace];
  if (digest === undefined) return undefined;
  if ((await workspaceDigest(home, workspace)) === digest) return join(workspace, 'policy.yaml');
  throw new McpBuildError({
    code: 'workspace-changed',
    message: `${workspace} was trusted, and its policy has changed since`,
    input: workspace,
    fix: 'Look at the change, then run `mcp-build trust` on the folder again.',
    exit: 3,
  });
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
