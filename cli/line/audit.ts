import { join } from 'node:path';
import {
  type Artifact,
  artifactCache,
  LOCAL_INDEX,
  type Lock,
  type NpmArtifact,
  type WheelArtifact,
  withLimits,
} from '../../builders/index.ts';
import { parseIntegrity } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { writeAtomic } from '../../files/index.ts';
import { DEFAULT_VETTING, type VettingRules } from '../../trust/index.ts';
import {
  type Advisories,
  type AskApi,
  type AuditInput,
  applyVex,
  audit,
  type Contents,
  contentsSchema,
  decide,
  type Finding,
  fileKey,
  nameOf,
  onlineAdvisories,
  type Package,
  packagesOf,
  READER,
  readContents,
  storedAdvisories,
  type ToolList,
  type Vex,
} from '../../vetting/index.ts';
import { fetchArtifact } from './adapters.ts';
import { advisoriesFolder } from './advisories.ts';
import { askAboutEarlier, askIndexes } from './audit-ask.ts';
import { recallExaminations, rememberExaminations } from './examinations.ts';
import type { LockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { recalled } from './recall.ts';

export interface AuditOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string | undefined;
  readonly rules?: VettingRules | undefined;
  /** Nobody is asked: archives come from the cache, and what indexes would say is not known. */
  readonly offline?: boolean | undefined;
  /** Whether what can't be fetched stops it, as where the bytes are needed anyway, or is `not-checked` beside what could be judged. `stops` by default. */
  readonly unfetched?: 'stops' | 'named' | undefined;
  /** `known`: none is fetched; of those at hand only the server's own is read, the others where they were read before. `all` by default. */
  readonly archives?: 'all' | 'known' | undefined;
  /** Where files that no index has are: paths of such files, or of folders with them. */
  readonly files?: readonly string[] | undefined;
  /** Asks OSV's API; without it the exports that are kept are compared with. */
  readonly api?: AskApi | undefined;
  /** What others say of the flaws that are found. */
  readonly vex?: readonly Vex[] | undefined;
  /** What the server was seen to offer, and what was reviewed before. */
  readonly tools?: ToolList | undefined;
  readonly earlierTools?: ToolList | undefined;
  /** The lock that this one follows. */
  readonly previous?: LockFolder | undefined;
  readonly now: Date;
  readonly progress?: (line: string) => void;
}

/** A lock, looked at from every side, and what the policy makes of it. */
export interface Audited {
  readonly name: string;
  readonly lock: Lock;
  readonly provenance: AuditInput['provenance'];
  readonly advisories: Advisories | undefined;
  readonly tools: ToolList | undefined;
  /** Everything, as the policy weighs it; worst first. */
  readonly findings: readonly Finding[];
  /** For these nothing is to be built, published or signed. */
  readonly refused: readonly Finding[];
  readonly packages: readonly Package[];
  readonly contents: ReadonlyMap<string, Contents>;
  /** Why an archive could not be had, by `fileKey`: with any of them this is no pass, whatever the policy makes of it. */
  readonly unfetched: ReadonlyMap<string, string>;
}

/**
 * Every check of a lock on the exact bytes that are or will be in its image.
 * @throws what fetching the locked files throws where they are not at hand (`artifact-unavailable`), unless that is only to be named
 */
export async function auditLock(folder: LockFolder, options: AuditOptions): Promise<Audited> {
  const rules = options.rules ?? DEFAULT_VETTING;
  const unfetched = options.unfetched === 'named' ? new Map<string, string>() : undefined;
  const contents = await readLock(folder, options, unfetched);
  const packages = packagesOf(folder.lock, folder.files, contents);
  const asked: Partial<Awaited<ReturnType<typeof askIndexes>>> = options.offline
    ? {}
    : await askIndexes(packages, { ...options, rules });
  const previous = options.previous ? await readPrevious(options.previous, packages, { ...options, rules }) : undefined;
  const everyone = [...packages, ...(previous?.packages ?? [])];
  const advisories =
    options.api && !options.offline
      ? await onlineAdvisories(everyone, options.api, options.now)
      : await storedAdvisories(advisoriesFolder(options.home), everyone);
  const examinations = options.tools ? await recallExaminations(options.home, options.tools) : undefined;
  const known = examinations?.size;
  if (known === 0) options.progress?.('weighing what it offers');
  const found = audit({
    lock: folder.lock,
    native: folder.files,
    contents,
    deferred: options.archives === 'known',
    unfetched,
    ...asked,
    advisories,
    tools: options.tools,
    examinations,
    earlierTools: options.earlierTools,
    previous,
    rules,
    now: options.now,
  });
  if (options.tools && examinations && examinations.size !== known)
    await rememberExaminations(options.home, options.tools, examinations);
  return {
    name: folder.lock.name,
    lock: folder.lock,
    provenance: asked.provenance,
    advisories,
    tools: options.tools,
    ...decide(applyVex(found, options.vex ?? []), rules, options.now),
    packages,
    contents,
    unfetched: unfetched ?? new Map(),
  };
}

/**
 * @param target what `audit` is given to see all of it: the server's name, unless its lock was not written; null where it can be given nothing
 * @throws McpBuildError `vetting-refused` (exit 4) naming the worst of what was refused
 */
export function requireVetted(
  { name, refused }: Pick<Audited, 'name' | 'refused'>,
  target: string | null = name,
): void {
  if (refused.length === 0) return;
  const told = refused
    .slice(0, target === null ? 10 : 1)
    .map(({ subject, code, message }) => `${subject} ${code}: ${message}`);
  const more = refused.length - told.length;
  const look = target === null ? '' : `Look at all of it with \`mcp-build audit ${target}\`; what`;
  throw new McpBuildError({
    code: 'vetting-refused',
    message: `${name}: ${told.join('; ')}${more > 0 ? `, and ${more} more` : ''}`,
    input: name,
    fix: `${look || 'What'} you accept goes into the policy, under vetting.exceptions, with a reason and a day.`,
    exit: 4,
  });
}

type Readable = NpmArtifact | WheelArtifact;

/** So many in a row that could not be fetched, and no other is asked for: each took all of its retries. */
const HOPELESS = 3;

/**
 * What the archives of a lock hold, by `fileKey`: read once, then kept by their hash. One that can't be read is left out, which is a finding.
 * @param unfetched is told of what could not be had, and why, by `fileKey`; without it, that is thrown
 */
export function readLock(
  folder: Pick<LockFolder, 'lock'>,
  options: Omit<AuditOptions, 'now'>,
  unfetched?: Map<string, string>,
): Promise<ReadonlyMap<string, Contents>> {
  // What its archives may hold was allowed when it was locked, and is what its build takes.
  return withLimits(folder.lock.limits, () => readWithin(folder, options, unfetched));
}

async function readWithin(
  { lock }: Pick<LockFolder, 'lock'>,
  { home, environment, workspace, offline, archives, files: places, progress }: Omit<AuditOptions, 'now'>,
  unfetched: Map<string, string> | undefined,
): Promise<ReadonlyMap<string, Contents>> {
  let failed = 0;
  const cache = artifactCache(join(home.cache, 'artifacts'), (artifact) => {
    // Locking has just fetched a server's tarball; a wheel it has only asked about, unless it is a file on this machine.
    const near = artifact.kind === 'npm' || artifact.index === LOCAL_INDEX;
    if (offline || (archives === 'known' && !near)) throw notAtHand(artifact);
    if (failed >= HOPELESS)
      throw notAtHand(artifact, `was not asked for, after ${HOPELESS} in a row that could not be fetched`);
    return fetchArtifact(artifact, { cache: home.cache, environment, workspace, ...(places ? { files: places } : {}) });
  });
  const wanted = new Map<string, Readable>();
  const own = new Set<string>();
  for (const { layers } of Object.values(lock.platforms)) {
    for (const { name, files } of layers) {
      if (name === 'base' || name === 'runtime' || name === 'bridge') continue;
      for (const file of files) if (file.kind === 'npm' || file.kind === 'wheel') wanted.set(fileKey(file), file);
      if (name === 'server') for (const file of files) own.add(fileKey(file));
    }
  }
  const found = new Map<string, Contents>();
  const unread: Readable[] = [];
  await Promise.all(
    [...wanted].map(async ([key, file]) => {
      const kept = await recalled(keptPath(home, file), contentsSchema, 8 * 1024 * 1024);
      if (kept) found.set(key, kept);
      else unread.push(file);
    }),
  );
  const later = archives === 'known';
  const now = later ? unread.filter((file) => own.has(fileKey(file))) : unread;
  const filling = now.length > 0 && !later ? cache.fill(now).catch(() => undefined) : undefined;
  try {
    for (const [at, file] of now.entries()) {
      progress?.(`reading ${file.name} ${file.version} (${at + 1} of ${now.length})`);
      const read = await readContents(file, cache.open).catch((error: unknown) => {
        if (later && isFault(error, 'artifact-unavailable')) return undefined;
        if (!unfetched || !(error instanceof McpBuildError) || error.exit !== 5) return stopped(error);
        unfetched.set(fileKey(file), error.message);
        failed += 1;
        return undefined;
      });
      if (!read) continue;
      failed = 0;
      if (!('problem' in read)) await remember(home, file, read);
      found.set(fileKey(file), 'problem' in read ? read.problem : read);
    }
  } finally {
    // Nothing is written any more once this has ended, however it ends.
    await filling;
  }
  return found;
}

/** An archive that its reader refuses has not been vetted; that the network is down is not its fault. */
function stopped(error: unknown): { problem: Contents } {
  if (!(error instanceof McpBuildError) || error.exit === 5) throw error;
  const none = { requires: [], hooks: [], exotic: [], native: [], minified: [], obfuscated: [], unicode: [] };
  const neither = {
    credentials: [],
    downloads: [],
    secretFiles: [],
    hosts: [],
    environment: [],
    processes: [],
    dynamic: [],
  };
  return {
    problem: {
      reader: READER,
      files: 0,
      bytes: 0,
      scripts: {},
      ...none,
      ...neither,
      stopped: `${error.code}: ${error.message}`,
    },
  };
}

async function readPrevious(
  folder: LockFolder,
  now: readonly Package[],
  options: AuditOptions & { readonly rules: VettingRules },
): Promise<AuditInput['previous']> {
  // Its archives may be gone from every index by now; what was kept of them still tells.
  const contents = await readLock(folder, options, new Map());
  const packages = packagesOf(folder.lock, folder.files, contents);
  if (options.offline) return { packages, contents };
  const kept = new Set(now.map(({ ref }) => ref));
  const names = new Set(now.map(nameOf));
  // Of them only npm's registries say who maintained them.
  const replaced = packages.filter((one) => one.kind === 'npm' && !kept.has(one.ref) && names.has(nameOf(one)));
  return { packages, contents, listings: await askAboutEarlier(replaced, options) };
}

function keptPath(home: Home, { integrity }: Artifact): string {
  const { algorithm, hex } = parseIntegrity(integrity);
  return join(home.cache, 'vetting', String(READER), `${algorithm}-${hex}.json`);
}

async function remember(home: Home, file: Artifact, contents: Contents): Promise<void> {
  await writeAtomic(keptPath(home, file), JSON.stringify(contents));
}

function notAtHand(artifact: Artifact, why = 'is not in the cache, and nobody may be asked'): McpBuildError {
  return new McpBuildError({
    code: 'artifact-unavailable',
    message: `${artifact.name} ${artifact.version} ${why}`,
    input: artifact.file,
    fix: 'Run it where its index can be reached, without --offline.',
    exit: 5,
  });
}
