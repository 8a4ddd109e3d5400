import { join } from 'node:path';
import { type Lock, lockDigest, type Platform } from '../../builders/index.ts';
import { sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { writeAtomic } from '../../files/index.ts';
import { openLayout } from '../../registry/index.ts';
import { NO_PERMISSIONS, type Offer, parsePermissions } from '../../runner/index.ts';
import type { Finding } from '../../vetting/index.ts';
import { buildLock, descriptor } from './build.ts';
import { type Difference, type DiffOptions, diffLocks, lockAt } from './diff/index.ts';
import { entryRules, resolveEntry } from './entry.ts';
import { lockFolderOf, writeLockFolder, writeOutputs } from './folder.ts';
import { withOrigins } from './lock-vet.ts';
import { type ServerEntry, testValuesOf } from './manifest/index.ts';
import { formatOffer, offerOf } from './smoke.ts';

/** What an update of one server would be, or was. */
export type Update =
  | { readonly name: string; readonly status: 'current'; readonly version: string }
  | {
      readonly name: string;
      /** `refused`: the policy would not let it be published, so its lock stays. */
      readonly status: 'available' | 'written' | 'refused';
      readonly difference: Difference;
      readonly refused: readonly Finding[];
    };

export interface UpdateOptions extends DiffOptions {
  readonly write: boolean;
  /** Build what was found, and start it to see what it offers. */
  readonly test: boolean;
}

/**
 * Looks for newer versions within a server's range and release age, and a newer base, and says what taking them would change.
 * @throws McpBuildError what resolving, auditing and, with `test`, building and starting it throw
 */
export async function updateServer(entry: ServerEntry, options: UpdateOptions): Promise<Update> {
  const { home, environment, workspace, now, progress } = options;
  const folder = lockFolderOf(workspace, entry.name);
  const before = await lockAt(folder, workspace);
  const rules = entryRules(entry, options.rules);
  const found = await resolveEntry(entry, { home, environment, workspace, now, rules, progress }, before.folder.lock);
  if (lockDigest(found.lock) === lockDigest(before.folder.lock)) {
    return { name: entry.name, status: 'current', version: found.lock.source.version };
  }
  const tried = options.test ? await tryOut(entry, found.lock, options) : undefined;
  const lock = tried?.lock ?? found.lock;
  const after = { folder: { lock, files: found.files }, offer: tried?.offer, permissions: entry.permissions };
  const { difference, refused, provenance } = await diffLocks(before, after, { ...options, rules });
  if (refused.length > 0) return { name: entry.name, status: 'refused', difference, refused };
  if (!options.write) return { name: entry.name, status: 'available', difference, refused };
  await writeLockFolder(folder, { ...after.folder, lock: withOrigins(lock, provenance, before.folder.lock) });
  if (tried) {
    if (tried.offer) await writeAtomic(join(folder, 'tools.json'), formatOffer(tried.offer));
    await writeOutputs(folder, withOrigins(tried.lock, provenance, before.folder.lock));
  }
  return { name: entry.name, status: 'written', difference, refused };
}

interface Tried {
  readonly lock: Lock;
  readonly offer: Offer | undefined;
}

async function tryOut(entry: ServerEntry, lock: Lock, options: UpdateOptions): Promise<Tried> {
  const { home, environment, workspace, progress } = options;
  const store = await openLayout(home.store);
  const platforms = Object.keys(lock.platforms) as Platform[];
  const built = await buildLock(lock, { platforms, home, environment, workspace, store, tag: false, progress });
  if (entry.test.kind === 'skip') return { lock: built.lock, offer: undefined };
  const { args, env } = testValuesOf(entry, environment);
  const offer = await offerOf(
    { store, image: descriptor(built.index), server: { name: entry.name, version: lock.source.version } },
    {
      ...{ home, environment, args, progress, values: env, say: () => undefined },
      permissions: parsePermissions({ ...NO_PERMISSIONS, environment: Object.keys(env) }),
    },
  );
  return { lock: { ...built.lock, tools: sha256(formatOffer(offer)) }, offer };
}

/** @throws McpBuildError `vetting-refused`, exit 4, for updates that were not written */
export function refusedUpdate(name: string, refused: readonly Finding[]): McpBuildError {
  const [worst] = refused;
  return new McpBuildError({
    code: 'vetting-refused',
    message: `${name}: ${worst?.subject} ${worst?.code}: ${worst?.message}${refused.length > 1 ? `, and ${refused.length - 1} more` : ''}`,
    input: name,
    fix: 'Its lock stays as it is. What you accept goes into the policy, under vetting.exceptions, with a reason and a day.',
    exit: 4,
  });
}
