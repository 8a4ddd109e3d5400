import type { Digest } from '../digest/index.ts';
import { isFault, McpBuildError } from '../errors/index.ts';
import { type Descriptor, isIndexType, parseManifest, readDocument, type Store } from '../registry/index.ts';
import { BUNDLE_LIMIT, parseBundle } from './bundle.ts';
import { type Platform, type ReadLayers, verifyContent } from './content.ts';
import type { Accepted, Asked, Attestation, Evidence, Said } from './evidence.ts';
import { inParallel } from './parallel.ts';
import { readStatement } from './statement.ts';

/** Bundles read for one image, and their bytes together. Whoever may push to a repository may attach as many as they like. */
const MOST = 1000;
const MOST_BYTES = 128 * 1024 * 1024;
const PARALLEL = 8;

export interface GatherOptions {
  /** Which images of an index count: all of them (the default), one platform's, or none. */
  readonly platforms?: 'all' | 'none' | Platform;
  /** Hash the layers too, and not only manifests and configs. Default false. */
  readonly layers?: boolean;
  /** Layers that were read from other repositories of the same registry, and need not be read again; see `verifyContent`. */
  readonly once?: ReadLayers | undefined;
  readonly asked?: Asked;
  readonly accepted?: Accepted | undefined;
}

/**
 * Collects all that is said about an image, and believes none of it. What can't be read is an error, never an absence: otherwise a
 * registry that answers 500 would make a signed image look unsigned, and a denied one look undenied.
 * @throws McpBuildError `referrers-unavailable`, `referrers-too-many`, `not-found`, and what the store throws
 */
export async function gather(
  store: Store,
  subject: Descriptor | Digest,
  options: GatherOptions = {},
): Promise<Evidence> {
  const root = typeof subject === 'string' ? await store.resolve(subject) : subject;
  const { platforms, ...content } = await verifyContent(store, root, {
    layers: options.layers ?? false,
    platforms: options.platforms ?? 'all',
    once: options.once,
  });
  if (
    platforms.length === 0 &&
    content.problems.length === 0 &&
    typeof options.platforms === 'object' &&
    isIndexType(root.mediaType)
  ) {
    throw noPlatform(root.digest, options.platforms);
  }
  const budget = { left: MOST, bytes: MOST_BYTES };
  const said = await inParallel([root, ...platforms], PARALLEL, ({ digest }) => saidOf(store, digest, budget));
  const attestations = said.flat();
  const { asked, accepted } = options;
  return {
    subject: root,
    platforms,
    content,
    attestations,
    ...(asked ? { asked } : {}),
    ...(accepted ? { accepted } : {}),
  };
}

async function saidOf(
  store: Store,
  on: Digest,
  budget: { left: number; bytes: number },
): Promise<readonly Attestation[]> {
  const listed = await store.referrers(on).catch((error) => {
    throw isFault(error, 'referrers-unavailable') ? error : unavailable(on, 'the list of referrers', error);
  });
  // Registries that know no artifact types list none; anything else that names another type is somebody else's business.
  const bundles = listed.filter(({ artifactType: type }) => type === undefined || isBundleType(type));
  budget.left -= bundles.length;
  if (budget.left < 0) throw tooMany(on, `more than ${MOST} bundles`);
  const found = await inParallel(bundles, PARALLEL, (referrer) => attestationOf(store, on, referrer, budget));
  return found.filter((one) => one !== undefined);
}

async function attestationOf(
  store: Store,
  on: Digest,
  referrer: Descriptor,
  budget: { bytes: number },
): Promise<Attestation | undefined> {
  try {
    const bytes = await readDocument(store, referrer);
    const manifest = parseManifest(bytes, referrer.mediaType, referrer.digest);
    if (manifest.kind !== 'image') return undefined;
    const layer = manifest.layers.find(({ mediaType }) => isBundleType(mediaType));
    if (!layer) return undefined;
    const entry = (said: Said): Attestation => ({ on, referrer: referrer.digest, said });
    if (layer.size > BUNDLE_LIMIT) return entry({ kind: 'unreadable', reason: `has ${layer.size} bytes` });
    budget.bytes -= layer.size;
    if (budget.bytes < 0) throw tooMany(on, `more than ${MOST_BYTES} bytes of bundles`);
    return entry(read(await readDocument(store, layer, BUNDLE_LIMIT), referrer.digest));
  } catch (error) {
    if (isFault(error, 'referrers-too-many')) throw error;
    if (isFault(error, 'manifest-invalid')) {
      return { on, referrer: referrer.digest, said: { kind: 'unreadable', reason: error.message } };
    }
    throw unavailable(on, referrer.digest, error);
  }
}

function read(bytes: Uint8Array, name: string): Said {
  try {
    const bundle = parseBundle(bytes, name);
    const statement = readStatement(bundle.envelope.payloadType, bundle.envelope.payload);
    if (statement) return { kind: 'statement', bundle, statement };
    return { kind: 'unreadable', reason: 'holds no in-toto statement' };
  } catch (error) {
    if (isFault(error, 'bundle-invalid')) return { kind: 'unreadable', reason: error.message };
    throw error;
  }
}

function isBundleType(mediaType: string): boolean {
  return mediaType.startsWith('application/vnd.dev.sigstore.bundle');
}

function unavailable(on: Digest, referrer: string, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'referrers-unavailable',
    message: `What ${referrer} says about ${on} can't be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    input: on,
    fix: 'Nothing is known about its signatures, so nothing is assumed: try again, or push them again.',
    exit: isFault(cause) && cause.exit === 5 ? 5 : 3,
    cause,
  });
}

function tooMany(on: Digest, what: string): McpBuildError {
  return new McpBuildError({
    code: 'referrers-too-many',
    message: `To ${on} are attached ${what}`,
    input: on,
    fix: 'Remove attestations that are no longer needed, or copy the image to a repository that only its signers write to.',
    exit: 3,
  });
}

function noPlatform(index: Digest, { os, architecture }: Platform): McpBuildError {
  return new McpBuildError({
    code: 'platform-missing',
    message: `${index} holds no image for ${os}/${architecture}`,
    input: index,
    fix: 'Build it for this platform with `mcp-build build --platform`, or name another image.',
  });
}
