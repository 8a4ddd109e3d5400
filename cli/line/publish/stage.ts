import { isDeepStrictEqual } from 'node:util';
import { copy, type Descriptor, type LayoutStore, openLayout, type Store, treeOf } from '../../../registry/index.ts';
import {
  type Attestation,
  assess,
  attach,
  gather,
  isAbout,
  keyPolicy,
  type Policy,
  PREDICATES,
  readServer,
  type Signer,
  type Statement,
  seal,
  statement,
} from '../../../trust/index.ts';

/** Something to be said of one manifest of an image. */
export interface Wanted {
  readonly subject: Descriptor;
  readonly predicateType: string;
  readonly value: unknown;
}

/**
 * A layout of its own for what is said of an image: its manifests and configs without layers. What is to be attached is made and judged here, so
 * that an image which the policy refuses is never pushed, and of one store's attestations only those belonging to this publish are.
 */
export async function openStage(folder: string, local: Store, image: Descriptor): Promise<LayoutStore> {
  const stage = await openLayout(folder);
  const { nodes } = await treeOf(local, image);
  for (const { bytes, descriptor, manifest } of nodes) {
    if (manifest.kind === 'image') await stage.write(manifest.config, local.read(manifest.config));
    await stage.writeManifest(bytes, descriptor.mediaType);
  }
  return stage;
}

/** Takes along what is said of these manifests in the registry already: by an interrupted publish, or by somebody else. */
export async function bringSaid(remote: Store, stage: Store, subjects: readonly Descriptor[]): Promise<void> {
  await Promise.all(
    subjects.map(async ({ digest }) => {
      for (const referrer of await remote.referrers(digest)) {
        if (referrer.artifactType !== undefined && !referrer.artifactType.startsWith(BUNDLE)) continue;
        const { blobs } = await treeOf(remote, referrer);
        if (blobs.reduce((sum, { size }) => sum + size, 0) > BUNDLE_LIMIT) continue;
        await copy(remote, stage, referrer, { referrers: false });
      }
    }),
  );
}

const BUNDLE = 'application/vnd.dev.sigstore.bundle';
/** In bytes. Whoever may push can attach what they like; nothing that counts is larger. */
const BUNDLE_LIMIT = 16 * 1024 * 1024;

/**
 * Says what isn't said yet. A key's statement is made once: the same again would only pile up. Of provenance any will do, since it says of the
 * same image how it was built, whenever that was. Without a key nobody can tell beforehand by whom a statement will be, so all of them are made
 * anew unless what is there satisfies the policy. @returns how many were made
 */
export async function sayMissing(
  stage: LayoutStore,
  wanted: readonly Wanted[],
  { signer, policy, now, satisfied }: { signer: Signer; policy: Policy; now: Date; satisfied: boolean },
): Promise<number> {
  const ours = signer.key ? keyPolicy([signer.key]) : policy;
  let made = 0;
  for (const subject of distinct(wanted.map((one) => one.subject))) {
    const { attestations } = await gather(stage, subject, { platforms: 'none' });
    const counting = attestations.filter((one) => countsBy(ours, subject, one, now));
    const missing = wanted
      .filter((one) => one.subject.digest === subject.digest)
      .filter((one) => !((signer.key || satisfied) && isSaid(one, counting)));
    // Keyless, each costs several round trips. The index comes last: who sees it signed finds the rest in place.
    await Promise.all(
      missing.map(async (one) => {
        const said = statement([subject.digest], one.predicateType, superseding(one, attestations, counting, now));
        await attach(stage, subject, await seal(said, signer), one.predicateType, now);
      }),
    );
    made += missing.length;
  }
  return made;
}

function isSaid({ subject, predicateType, value }: Wanted, counting: readonly Attestation[]): boolean {
  const said = counting
    .map(({ said }) => (said.kind === 'statement' ? said.statement : undefined))
    .filter((one): one is Statement => one?.predicateType === predicateType && isAbout(one, subject.digest));
  if (predicateType === PREDICATES.signature || predicateType === PREDICATES.provenance) return said.length > 0;
  if (predicateType === PREDICATES.server) return isDeepStrictEqual(plain(newest(said)), plain(value));
  return said.some((one) => isDeepStrictEqual(plain(one.predicate), plain(value)));
}

/**
 * Another `server` statement about the same image would contradict it, unless this one says that it is the newer one. @param said by anybody: what
 * doesn't count today may count again under another policy @param counting by those whose word counts
 */
function superseding(
  { predicateType, value, subject }: Wanted,
  said: readonly Attestation[],
  counting: readonly Attestation[],
  now: Date,
): unknown {
  if (predicateType !== PREDICATES.server) return value;
  if (serversOf(said, subject).every((one) => isDeepStrictEqual(plain(one.predicate), plain(value)))) return value;
  // Whatever this machine's clock says, it comes after those.
  const last = Math.max(now.getTime(), ...serversOf(counting, subject).map((one) => issuedAt(one) + 1));
  return { ...(value as object), issued: new Date(last).toISOString() };
}

function serversOf(attestations: readonly Attestation[], { digest }: Descriptor): readonly Statement[] {
  return attestations
    .map(({ said }) => (said.kind === 'statement' ? said.statement : undefined))
    .filter((one): one is Statement => one?.predicateType === PREDICATES.server && isAbout(one, digest));
}

function issuedAt({ predicate }: Statement): number {
  return Date.parse(readServer(predicate)?.issued ?? '1970-01-01T00:00:00Z');
}

function newest(said: readonly Statement[]): unknown {
  const last = said.toSorted((a, b) => issuedAt(b) - issuedAt(a))[0]?.predicate;
  if (typeof last !== 'object' || last === null) return undefined;
  const { issued: _issued, ...rest } = last as { issued?: unknown };
  return rest;
}

/** Whether a statement is signed by one of those whom the policy trusts with signatures. */
function countsBy(policy: Policy, subject: Descriptor, one: Attestation, now: Date): boolean {
  if (one.said.kind !== 'statement') return false;
  const { predicateType } = one.said.statement;
  const rules = policy.rules.map((rule) => ({
    name: rule.name,
    signature: { predicateType, by: rule.signature.by, threshold: 1 },
    require: [],
    allow: {},
  }));
  return rules.some(
    (rule) =>
      assess(
        { name: policy.name, rules: [rule], exceptions: [] },
        { subject, platforms: [], content: { layers: false, problems: [] }, attestations: [one] },
        now,
      ).verdict.verdict === 'pass',
  );
}

function distinct(descriptors: readonly Descriptor[]): readonly Descriptor[] {
  return [...new Map(descriptors.map((one) => [one.digest, one])).values()];
}

/** As it would be read again. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
