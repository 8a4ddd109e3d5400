import type { Digest } from '../../../digest/index.ts';
import { McpBuildError } from '../../../errors/index.ts';
import type { Descriptor, Store } from '../../../registry/index.ts';
import { type Asked, assess, type Check, failures, gather, type ReadLayers } from '../../../trust/index.ts';
import { remoteStore } from '../image.ts';
import { requirePass, verifyImage } from '../verify.ts';
import { askedOf, type Job, type PublishSettings } from './job.ts';

/** Checks that a second signer can still turn: the image is pushed for them to sign, but not tagged. */
const OPEN: ReadonlySet<string> = new Set([
  'unsigned',
  'attestation-missing',
  'untrusted-signer',
  'predicate-mismatch',
]);

/** Whether the policy would refuse what is said of an image as it stands. */
export async function wouldBeRefused(
  store: Store,
  image: Descriptor,
  asked: Asked,
  settings: PublishSettings,
): Promise<boolean> {
  const evidence = await gather(store, image, { platforms: 'all', asked });
  return assess(settings.policy, evidence, settings.now).verdict.verdict === 'fail';
}

/** Judges what is about to be pushed. @throws McpBuildError with the failed check's code, or `policy-refused`, with exit 4 */
export async function requireAccepted(
  stage: Store,
  image: Descriptor,
  job: Job,
  { policy, now }: PublishSettings,
): Promise<void> {
  const evidence = await gather(stage, image, { platforms: 'all', asked: askedOf(job) });
  const failed = failures(assess(policy, evidence, now).verdict).filter(({ id }) => !OPEN.has(id));
  if (failed.length === 0) return;
  throw refused(job, failed, policy.name);
}

/**
 * Reads what the registry serves, every byte of it, over a connection of its own and without anything that is kept here, and judges it by what a
 * stranger has: the policy. @param once layers that were read for another server of this publish: of them it is asked whether they are there
 * @throws McpBuildError what the verdict says, with exit 3
 */
export async function verifyAsStranger(
  job: Job,
  digest: Digest,
  { policy, environment, plainHttp, certificates, now }: PublishSettings,
  once?: ReadLayers,
): Promise<void> {
  const store = remoteStore(job.reference, {
    environment,
    ...(plainHttp ? { plainHttp } : {}),
    ...(certificates === undefined ? {} : { certificates }),
  });
  const image = await store.resolve(digest);
  const { verdict } = await verifyImage(store, image, {
    policy,
    now,
    layers: true,
    platforms: 'all',
    once,
    asked: askedOf(job),
  });
  requirePass(verdict, `${job.image}@${digest}`);
}

function refused({ entry }: Job, failed: readonly Check[], policy: string): McpBuildError {
  return new McpBuildError({
    code: failed.length === 1 ? failed[0]!.id : 'policy-refused',
    message: `${entry.name} would be refused by ${policy}: ${failed.map(({ id, detail }) => `${id}: ${detail}`).join('; ')}`,
    input: entry.name,
    fix: 'Nothing was pushed. Change the server, or the policy if it is the one that is wrong.',
    exit: 4,
  });
}
