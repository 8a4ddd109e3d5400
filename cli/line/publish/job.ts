import { isDeepStrictEqual } from 'node:util';
import { type Lock, lockDigest } from '../../../builders/index.ts';
import type { RemoteReference } from '../../../registry/index.ts';
import type { Offer } from '../../../runner/index.ts';
import type { Asked, Policy, ServerPredicate, Signer, VettingRules } from '../../../trust/index.ts';
import { type Declared, serverPredicate } from '../attest.ts';
import { immutableTag, versionTag } from '../build.ts';
import { requireLock } from '../entry.ts';
import { type LockFolder, lockFolderOf } from '../folder.ts';
import type { Environment, Home } from '../home.ts';
import { defaultsOf, type Manifest, repositoryOf, type ServerEntry } from '../manifest/index.ts';
import { recordedOffer } from '../smoke.ts';

/** What is the same for every server of one publish. */
export interface PublishSettings {
  readonly manifest: Manifest;
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
  /** Instead of the manifest's. */
  readonly registry?: string;
  readonly plainHttp?: boolean;
  readonly certificates?: string;
  /** What a stranger asks of what is published. */
  readonly policy: Policy;
  /** What an audit may find and what not. */
  readonly rules: VettingRules;
  /** Asked for when the first image is signed, and not before: nobody types a passphrase for nothing. */
  readonly signer: () => Promise<Signer>;
  /** Why nothing is started for a test, where there is no Docker. */
  readonly untested?: string;
  /** Everything that changes nothing in the registry. */
  readonly dryRun: boolean;
  /** Look at what is unchanged as well, every byte of it. */
  readonly recheck: boolean;
  readonly now: Date;
}

/** One server that is to be published. */
export interface Job {
  readonly entry: ServerEntry;
  readonly path: string;
  readonly folder: LockFolder;
  readonly reference: RemoteReference;
  /** As users write it: registry and repository. */
  readonly image: string;
  /** Version and lock; never becomes another image. */
  readonly immutable: string;
  /** Set after it, in this order. */
  readonly moving: readonly string[];
}

/** @throws McpBuildError what `requireLock` and `repositoryOf` throw */
export async function jobOf(entry: ServerEntry, settings: PublishSettings): Promise<Job> {
  const { manifest, environment, workspace, registry } = settings;
  const reference = repositoryOf(manifest, entry.name, environment, registry);
  const folder = await requireLock(entry, workspace);
  return {
    entry,
    path: lockFolderOf(workspace, entry.name),
    folder,
    reference,
    image: `${reference.registry}/${reference.repository}`,
    immutable: immutableTag(folder.lock).slice(folder.lock.name.length + 1),
    moving: [...new Set([versionTag(folder.lock), ...manifest.tags])],
  };
}

/** What a stranger who wants this server asks for. */
export function askedOf({ image, folder }: Job): Asked {
  const { ecosystem, name, version } = folder.lock.source;
  return { image, source: { ecosystem, name }, version };
}

/** What the manifest declares of a server. @throws McpBuildError `variable-unset` */
export function declaredOf(entry: ServerEntry, offer: Offer | undefined, environment: Environment): Declared {
  const { args, env } = defaultsOf(entry, environment);
  return {
    permissions: entry.permissions,
    offer,
    args,
    environment: [
      ...Object.entries(env).map(([name, value]) => ({ name, required: false, secret: false, default: value })),
      ...entry.secrets.map((secret) => ({ ...secret, secret: true })),
    ],
  };
}

/** What was recorded of a server when its lock was last tested, if that is the record that the lock speaks of. */
export async function lockedOffer({ path, folder }: Job): Promise<Offer | undefined> {
  const recorded = await recordedOffer(path);
  return recorded && recorded.digest === folder.lock.tools ? recorded.offer : undefined;
}

/** Whether a published statement says of a server what would be said today. @param offer undefined: what it offers isn't compared */
export async function saysTheSame(
  found: ServerPredicate,
  job: Job,
  offer: Offer | undefined,
  environment: Environment,
): Promise<boolean> {
  const wanted = serverPredicate(job.folder.lock, declaredOf(job.entry, offer, environment));
  return isDeepStrictEqual(comparable(found, offer), comparable(wanted, offer));
}

function comparable(server: ServerPredicate, offer: Offer | undefined): unknown {
  const { issued: _issued, ...rest } = server;
  const { tools: _t, prompts: _p, resources: _r, resourceTemplates: _m, instructions: _i, ...untested } = rest;
  // As it would be read again: without members that are undefined.
  return JSON.parse(JSON.stringify(offer ? rest : untested));
}

/** Whether a lock was made by the same inputs as a published image. */
export function isOf(lock: Lock, server: ServerPredicate): boolean {
  return server.lock === lockDigest(lock);
}
