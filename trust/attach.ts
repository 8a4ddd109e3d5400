import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { type Digest, sha256 } from '../digest/index.ts';
import { artifactManifest, type Descriptor, EMPTY_CONFIG, isIndexType, type Store, treeOf } from '../registry/index.ts';
import { BUNDLE_TYPE } from './bundle.ts';
import { envelopeVerifies } from './dsse.ts';
import { gather } from './gather.ts';
import { type Signer, seal } from './signer.ts';
import { isAbout, PREDICATES, type Statement, statement } from './statement.ts';

/**
 * Attaches a bundle to an image as an OCI referrer, with the annotations cosign 3 writes and looks for.
 * @throws what the store throws
 */
export async function attach(
  store: Store,
  subject: Descriptor,
  bundle: Uint8Array,
  predicateType: string,
  created: Date,
): Promise<Descriptor> {
  const layer = { mediaType: BUNDLE_TYPE, digest: sha256(bundle), size: bundle.length };
  await store.write(EMPTY_CONFIG.descriptor, chunk(EMPTY_CONFIG.bytes));
  await store.write(layer, chunk(bundle));
  const manifest = artifactManifest({
    artifactType: BUNDLE_TYPE,
    subject,
    layers: [layer],
    annotations: {
      'dev.sigstore.bundle.content': 'dsse-envelope',
      'dev.sigstore.bundle.predicateType': predicateType,
      'org.opencontainers.image.created': created.toISOString().replace(/\.\d+Z$/, 'Z'),
    },
  });
  return store.writeManifest(manifest.bytes, manifest.descriptor.mediaType);
}

export interface Attached {
  readonly subject: Digest;
  readonly referrer: Digest;
  /** False where the same statement by the same key was there already. */
  readonly added: boolean;
}

/**
 * Says `predicate` of an image and attaches that. Repeated with the same key it changes nothing: of provenance, when and in which run it was
 * said doesn't make it another. (A scan's or summary's times do: that it is younger is its news.)
 * @param again say it all the same
 * @throws what the signer and the store throw; `referrers-unavailable`
 */
export async function attest(
  store: Store,
  subject: Descriptor,
  predicateType: string,
  predicate: unknown,
  signer: Signer,
  now: Date,
  again = false,
): Promise<Attached> {
  const said = statement([subject.digest], predicateType, predicate);
  const there = again ? undefined : await already(store, subject, said, signer);
  if (there) return { subject: subject.digest, referrer: there, added: false };
  const { digest } = await attach(store, subject, await seal(said, signer), predicateType, now);
  return { subject: subject.digest, referrer: digest, added: true };
}

/**
 * Signs an image as cosign does: where it is an index, the index and each platform's manifest, so that whoever takes only one platform
 * finds a signature too.
 * @throws what `attest` throws; `manifest-invalid`
 */
export async function signImage(
  store: Store,
  image: Descriptor,
  signer: Signer,
  now = new Date(),
): Promise<readonly Attached[]> {
  const subjects = isIndexType(image.mediaType)
    ? (await treeOf(store, image)).nodes.map((node) => node.descriptor)
    : [image];
  const done: Attached[] = [];
  // The index last: who sees it signed can rely on every platform's signature being there.
  for (const subject of subjects) done.push(await attest(store, subject, PREDICATES.signature, {}, signer, now));
  return done;
}

async function already(
  store: Store,
  subject: Descriptor,
  said: Statement,
  signer: Signer,
): Promise<Digest | undefined> {
  const { key } = signer;
  // A keyless signature also proves when it was made: a new one is news.
  if (!key) return undefined;
  const wanted = comparable(JSON.parse(JSON.stringify(said)) as Statement);
  const { attestations } = await gather(store, subject, { platforms: 'none' });
  return attestations.find(
    ({ said: one }) =>
      one.kind === 'statement' &&
      isAbout(one.statement, subject.digest) &&
      one.bundle.material.kind === 'key' &&
      isDeepStrictEqual(comparable(one.statement), wanted) &&
      envelopeVerifies(one.bundle.envelope, key),
  )?.referrer;
}

/** What a statement says, without when and in which run provenance was said. */
function comparable({ predicateType, subject, predicate }: Statement): unknown {
  const built = predicateType === PREDICATES.provenance ? execution.safeParse(predicate).data : undefined;
  if (!built) return { predicateType, subject, predicate };
  const { metadata: _metadata, ...run } = built.runDetails;
  return { predicateType, subject, predicate: { ...built, runDetails: run } };
}

// SLSA v1: `metadata` is of one execution of the build.
const execution = z.looseObject({ runDetails: z.looseObject({ metadata: z.unknown() }) });

async function* chunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
