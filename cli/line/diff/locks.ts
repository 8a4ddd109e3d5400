import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Permissions } from '../../../runner/index.ts';
import type { VettingRules } from '../../../trust/index.ts';
import type { Finding } from '../../../vetting/index.ts';
import { type Audited, auditLock } from '../audit.ts';
import { hasLock, type LockFolder, lockFolderOf, readLockFolder } from '../folder.ts';
import type { Environment, Home } from '../home.ts';
import { findImage, type RegistryOptions } from '../image.ts';
import { findManifest } from '../manifest/index.ts';
import { recordedOffer } from '../smoke.ts';
import { compareSides, type Difference } from './compare.ts';
import { type Offered, type Side, sideOfImage, sideOfLock } from './side.ts';

export interface DiffOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
  readonly rules: VettingRules;
  /** Nobody is asked. */
  readonly offline: boolean;
  readonly registry: Omit<RegistryOptions, 'environment'>;
  readonly now: Date;
  readonly progress: (line: string) => void;
}

/** A lock with what stands beside it. */
export interface LockToCompare {
  readonly folder: LockFolder;
  readonly offer: Offered | undefined;
  readonly permissions: Permissions | undefined;
}

type Named = ({ readonly kind: 'lock' } & LockToCompare) | { readonly kind: 'image'; readonly side: Side };

/** Compares any two of locks and images. @throws McpBuildError `lock-missing`, `attestation-missing`, and what finding an image throws */
export async function diff(before: string, after: string, options: DiffOptions): Promise<Difference> {
  const [a, b] = [await named(before, options), await named(after, options)];
  if (a.kind === 'lock' && b.kind === 'lock') return (await diffLocks(a, b, options)).difference;
  return compareSides(await sideOf(a, options), await sideOf(b, options));
}

export interface ComparedLocks {
  readonly difference: Difference;
  /** What the policy would not let the second be published with. */
  readonly refused: readonly Finding[];
  /** Where the second's packages were built, as far as that verified. */
  readonly provenance: Audited['provenance'];
}

/** Two locks, with what an audit finds in the second and didn't find in the first. */
export async function diffLocks(
  before: LockToCompare,
  after: LockToCompare,
  options: DiffOptions,
): Promise<ComparedLocks> {
  // What is replaced may be gone from its index, which may be why: that is no reason to keep it.
  const old = await auditLock(before.folder, { ...auditOptions(options), unfetched: 'named' });
  const now = await auditLock(after.folder, { ...auditOptions(options), previous: before.folder });
  const weighty = (findings: typeof now.findings) =>
    findings.filter(({ severity, code }) => severity !== 'none' && code !== 'tools-unknown');
  const difference = compareSides(
    sideOfLock({ ...before, ...before.folder, ...old }),
    sideOfLock({ ...after, ...after.folder, ...now }),
    { before: weighty(old.findings), after: weighty(now.findings) },
  );
  return { difference, refused: now.refused, provenance: now.provenance };
}

async function sideOf(one: Named, options: DiffOptions): Promise<Side> {
  if (one.kind === 'image') return one.side;
  const { packages, contents } = await auditLock(one.folder, auditOptions(options));
  return sideOfLock({ ...one, ...one.folder, packages, contents });
}

function auditOptions({ home, environment, workspace, rules, offline, now, progress }: DiffOptions) {
  return { home, environment, workspace, rules, offline, now, progress };
}

/** A folder of ./lockfiles/ by its name, any lock's folder, else an image. */
async function named(text: string, { home, environment, workspace, registry }: DiffOptions): Promise<Named> {
  for (const folder of [lockFolderOf(workspace, text), resolve(workspace, text)]) {
    if (!(await hasLock(folder))) continue;
    return { kind: 'lock', ...(await lockAt(folder, workspace)) };
  }
  const isFolder = await access(join(workspace, text)).then(
    () => true,
    () => false,
  );
  if (isFolder) return { kind: 'lock', ...(await lockAt(resolve(workspace, text), workspace)) };
  const { store, image, name } = await findImage(text, home, { ...registry, environment });
  return { kind: 'image', side: await sideOfImage(store, image, name) };
}

export async function lockAt(folder: string, workspace: string): Promise<LockToCompare> {
  const found = await readLockFolder(folder);
  const recorded = await recordedOffer(folder);
  const manifest = await findManifest(workspace).catch(() => undefined);
  return {
    folder: found,
    offer: recorded && recorded.digest === found.lock.tools ? recorded.offer : undefined,
    permissions: manifest?.servers.find(({ name }) => name === found.lock.name)?.permissions,
  };
}
