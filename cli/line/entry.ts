import { isDeepStrictEqual } from 'node:util';
import { type Base, formatSource, type Lock, type Platform, readLocalFile } from '../../builders/index.ts';
import { parseIntegrity } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import type { VettingRules } from '../../trust/index.ts';
import type { Finding } from '../../vetting/index.ts';
import { policyAge, withReleaseAge } from './audit-policy.ts';
import { type LockFolder, lockFolderOf, readLockFolder, writeLockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { hasBytecode, type Locked, lockSource, RELEASE_AGE_DAYS } from './lock.ts';
import { vetLock } from './lock-vet.ts';
import type { ServerEntry } from './manifest/index.ts';
import { keepLocal, localArtifacts, localFile, type Wanted } from './wanted.ts';

export interface EntryOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
  readonly now: Date;
  /** In days, instead of the entry's. */
  readonly releaseAge?: number;
  /** By which it will be judged: what they would call too young is not chosen. */
  readonly rules?: VettingRules | undefined;
  readonly progress: (line: string) => void;
}

/**
 * Locks a server of the manifest into its folder, choosing anew. @param rules what an audit may find, by the policy
 * @throws McpBuildError `vetting-refused` where the policy refuses it, with nothing written; what `lockSource` throws
 */
export async function lockEntry(
  entry: ServerEntry,
  { rules, ...options }: EntryOptions & { readonly rules: VettingRules },
): Promise<{ readonly made: Locked; readonly findings: readonly Finding[] }> {
  const folder = lockFolderOf(options.workspace, entry.name);
  const previous = await readLockFolder(folder).catch(() => undefined);
  const locked = await resolveEntry(entry, { ...options, rules }, previous?.lock);
  const vetted = await vetLock(locked, { ...options, rules: entryRules(entry, rules, options.releaseAge), previous });
  await writeLockFolder(folder, vetted.made);
  return vetted;
}

/** With what the manifest says of young releases, which people review as they do the policy. @param releaseAge instead of the entry's */
export function entryRules(
  { source, releaseAge: own, releaseAgeExceptions }: ServerEntry,
  rules: VettingRules,
  releaseAge = own,
): VettingRules {
  const exceptions = releaseAgeExceptions.map((one) => ({
    finding: 'too-new',
    subject: `${source.ecosystem}:${one.package}@${one.version}`,
    reason: one.reason,
    expires: new Date(one.expires).toISOString(),
  }));
  return { ...withReleaseAge(rules, releaseAge), exceptions: [...rules.exceptions, ...exceptions] };
}

/**
 * The lock that a server of the manifest would have today; nothing is written but the bytes of its `file`, which are kept by their hash.
 * @throws McpBuildError `file-mismatch`, and what `lockSource` throws
 */
export async function resolveEntry(
  entry: ServerEntry,
  { home, environment, workspace, now, releaseAge, rules, progress }: EntryOptions,
  previous: Lock | undefined,
): Promise<Locked> {
  const bytecode =
    entry.bytecode ?? (previous && sameBase(entry.base, previous.base) ? hasBytecode(previous) : undefined);
  const wanted = await wantedOf(entry);
  const locked = await lockSource(wanted.source, {
    name: entry.name,
    platforms: entry.platforms,
    releaseAge: releaseAge ?? entry.releaseAge ?? Math.max(RELEASE_AGE_DAYS, policyAge(rules)),
    ...(entry.bin === undefined ? {} : { bin: entry.bin }),
    ...(entry.base === undefined ? {} : { base: entry.base }),
    ...(entry.system.length > 0 ? { system: entry.system } : {}),
    ...(bytecode === undefined ? {} : { bytecode }),
    ...(entry.transport === undefined ? {} : { transport: entry.transport }),
    overrides: overridesOf(entry),
    young: entry.releaseAgeExceptions
      .filter(({ expires }) => expires > now.getTime())
      .map(({ package: name, version }) => ({ name, version })),
    previous,
    local: wanted.local,
    home,
    environment,
    workspace,
    now,
    progress,
  });
  if (entry.file !== undefined) await keepLocal(locked, [entry.file], { home, environment });
  return locked;
}

/** What is to be locked. A file must be the package that the manifest says it is: it may have been swapped for another one. */
async function wantedOf(entry: ServerEntry): Promise<Wanted> {
  if (entry.file === undefined) return { source: entry.source };
  const found = await localFile(entry.file);
  const { ecosystem, name, range } = entry.source;
  if (found.source.ecosystem === ecosystem && found.source.name === name && ['', found.source.range].includes(range))
    return { ...found, source: entry.source };
  throw new McpBuildError({
    code: 'file-mismatch',
    message: `${entry.file} is ${formatSource(found.source)}, and the manifest calls it ${formatSource(entry.source)}`,
    input: entry.name,
    fix: 'Name the right file, or as source the package that it is: without a version, or with exactly its own.',
    exit: 4,
  });
}

/** What the manifest says of a server that its lock was not made with; one sentence each. @throws McpBuildError `file-unreadable` */
export async function lockDifferences(entry: ServerEntry, { lock }: LockFolder): Promise<string[]> {
  const found: string[] = [];
  const differ = (what: string, before: string, now: string) =>
    found.push(`${what} is ${now}, and was locked as ${before}`);
  const { ecosystem, name, range } = lock.source;
  const locked = { ecosystem, name, range };
  if (!isDeepStrictEqual(locked, entry.source)) differ('source', formatSource(locked), formatSource(entry.source));
  await differFile(differ, entry, lock);
  if (lock.name !== entry.name) differ('name', lock.name, entry.name);
  if (lock.bin !== entry.bin) differ('bin', lock.bin ?? 'the only one', entry.bin ?? 'the only one');
  if (!sameBase(entry.base, lock.base))
    differ('base', baseName(lock.base), entry.base ? baseName(entry.base) : 'the built-in one');
  differList(found, 'platforms', Object.keys(lock.platforms) as Platform[], entry.platforms);
  differList(found, 'system', lock.system ?? [], entry.system);
  const overridden = (all: Readonly<Record<string, string>>) => Object.entries(all).map(([one, to]) => `${one} ${to}`);
  differList(found, 'overrides', overridden(lock.overrides ?? {}), overridden(overridesOf(entry)));
  if (entry.bytecode !== undefined && entry.bytecode !== hasBytecode(lock))
    differ('bytecode', String(hasBytecode(lock)), String(entry.bytecode));
  if (entry.transport !== lock.transport) differ('transport', lock.transport ?? 'stdio', entry.transport ?? 'stdio');
  // A lock without a cut-off has taken whatever there was.
  if (lock.before === null && (entry.releaseAge ?? RELEASE_AGE_DAYS) > 0)
    differ('releaseAge', 'any', `${entry.releaseAge ?? RELEASE_AGE_DAYS} days`);
  return found;
}

/** The lock of a server, if it is the one that the manifest asks for. @throws McpBuildError `lock-missing`, `lock-outdated`, and what `readLockFolder` throws */
export async function requireLock(entry: ServerEntry, workspace: string): Promise<LockFolder> {
  const folder = await readLockFolder(lockFolderOf(workspace, entry.name)).catch((error: unknown) => {
    if (!isFault(error, 'lock-missing')) throw error;
    throw new McpBuildError({
      code: 'lock-missing',
      message: `${entry.name} is not locked yet`,
      input: entry.name,
      fix: `Lock it, and commit its lock: mcp-build lock ${entry.name}.`,
      exit: 2,
    });
  });
  const differences = await lockDifferences(entry, folder);
  if (differences.length === 0) return folder;
  throw new McpBuildError({
    code: 'lock-outdated',
    message: `The lock of ${entry.name} is not of what the manifest asks for: ${differences.join('; ')}`,
    input: entry.name,
    fix: `Lock it again, and review the change: mcp-build lock ${entry.name}.`,
    exit: 4,
  });
}

async function differFile(
  differ: (what: string, before: string, now: string) => void,
  { file }: ServerEntry,
  lock: Lock,
): Promise<void> {
  const [locked] = localArtifacts(lock);
  if (file === undefined) {
    if (locked) differ('file', locked.file, 'none');
    return;
  }
  if (!locked) return differ('file', 'none', file);
  const { algorithm } = parseIntegrity(locked.integrity);
  const { integrity } = await readLocalFile(file, algorithm);
  if (integrity !== locked.integrity) differ('file', locked.integrity, integrity);
}

function overridesOf({ overrides }: ServerEntry): Readonly<Record<string, string>> {
  return Object.fromEntries(overrides.map((one) => [one.package, one.version]));
}

function sameBase(asked: Base | undefined, locked: Base): boolean {
  if (asked?.kind === 'image') return locked.kind === 'image' && locked.digest === asked.digest;
  return locked.kind === 'recipe';
}

function baseName(base: Base): string {
  return base.kind === 'recipe' ? base.recipe : `${base.reference}@${base.digest}`;
}

function differList(found: string[], what: string, before: readonly string[], now: readonly string[]): void {
  if (isDeepStrictEqual([...before].sort(), [...now].sort())) return;
  found.push(
    `${what} is ${[...now].sort().join(', ') || 'none'}, and was locked as ${[...before].sort().join(', ') || 'none'}`,
  );
}
