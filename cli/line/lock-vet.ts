import { type Artifact, type Lock, withFiles } from '../../builders/index.ts';
import type { VettingRules } from '../../trust/index.ts';
import { type AuditInput, type Finding, type Origin, refOf } from '../../vetting/index.ts';
import { advisoriesApi } from './advisories.ts';
import { type AuditOptions, auditLock, requireVetted } from './audit.ts';
import type { LockFolder } from './folder.ts';
import { localArtifacts } from './wanted.ts';

export interface VetLockOptions
  extends Pick<AuditOptions, 'home' | 'environment' | 'workspace' | 'files' | 'now' | 'progress'> {
  readonly rules: VettingRules;
  /** The lock that this one takes the place of. */
  readonly previous?: LockFolder | undefined;
}

/**
 * The gate before a lock is written: every check of `audit` that needs no archive, what is in the server's own, where locking has fetched it or it
 * is a file on this machine, and what is known of archives that were read before. Nothing is fetched for it: `audit` and `publish` read the rest, on the bytes that go into
 * the image.
 * @returns the lock with where its packages were built, as far as that verified, and what was noticed all the same, worst first
 * @throws McpBuildError `vetting-refused`, exit 4: nothing is to be written
 */
export async function vetLock<Made extends LockFolder>(
  made: Made,
  { rules, previous, ...options }: VetLockOptions,
): Promise<{ readonly made: Made; readonly findings: readonly Finding[] }> {
  const audited = await auditLock(made, {
    ...options,
    rules,
    previous,
    archives: 'known',
    api: advisoriesApi(options.environment),
  });
  // Nothing is written for it: only the source can be audited then.
  const { ecosystem, name, version } = made.lock.source;
  const published = previous ? made.lock.name : `${ecosystem}:${name}@${version}`;
  // Of a file's name an index may have another package, which is not to be looked at in its place.
  requireVetted(audited, localArtifacts(made.lock).length > 0 ? null : published);
  return {
    made: { ...made, lock: withOrigins(made.lock, audited.provenance, previous?.lock) },
    // Its tools are listed by `test`, after it was built.
    findings: audited.findings.filter(({ code, excepted }) => code !== 'tools-unknown' && !excepted),
  };
}

/**
 * Pure: a lock that says of its packages where they were built. What can't be asked for today stays as it was locked for the same bytes: a
 * registry that is down, or a mirror that drops provenance, doesn't make anyone forget.
 */
export function withOrigins(lock: Lock, provenance: AuditInput['provenance'], previous: Lock | undefined): Lock {
  const kept = new Map<string, Origin>();
  for (const file of previous ? filesOf(previous) : []) {
    if ('origin' in file && file.origin) kept.set(file.integrity, file.origin);
  }
  return withFiles(lock, (file) => {
    if (file.kind !== 'npm' && file.kind !== 'wheel') return file;
    const said = provenance?.get(refOf(file))?.attestation;
    const origin = said?.state === 'attested' ? said.origin : kept.get(file.integrity);
    const { origin: _, ...rest } = file;
    return origin ? { ...rest, origin: plain(origin) } : rest;
  });
}

/** As the lock's schema has it: no member that is undefined. */
function plain({ issuer, repository, workflow }: Origin): Origin {
  return { issuer, repository, ...(workflow === undefined ? {} : { workflow }) };
}

function filesOf({ platforms }: Lock): readonly Artifact[] {
  return Object.values(platforms).flatMap(({ layers }) => layers.flatMap(({ files }) => files));
}
