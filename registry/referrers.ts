import { type Digest, hexOf } from '../digest/index.ts';
import { type Document, imageIndex, parseManifest, referrerDescriptor } from './manifest.ts';
import type { Descriptor } from './store.ts';

const FALLBACK = /^sha256-([0-9a-f]{64})$/;

/** The tag whose index lists the referrers of a subject where nothing else does (distribution-spec, "Referrers Tag Schema"). */
export function referrersTag(subject: Digest): string {
  return `sha256-${hexOf(subject)}`;
}

/** The subject a referrers tag speaks of; undefined for any other tag. */
export function subjectOfTag(tag: string): Digest | undefined {
  const match = FALLBACK.exec(tag);
  return match ? `sha256:${match[1]}` : undefined;
}

/** By digest, each once: both kinds of store give the same list for the same referrers. */
export function inOrder(referrers: Iterable<Descriptor>): readonly Descriptor[] {
  const byDigest = new Map<string, Descriptor>();
  for (const referrer of referrers) if (!byDigest.has(referrer.digest)) byDigest.set(referrer.digest, referrer);
  return [...byDigest.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

/** The list with one referrer more; undefined when it was there already, as it would be written now. */
export function withReferrer(list: readonly Descriptor[], referrer: Descriptor): Document | undefined {
  if (list.some((one) => one.digest === referrer.digest)) return undefined;
  return referrersDocument([...list, referrer]);
}

/** The index that stands at the referrers tag. */
export function referrersDocument(referrers: Iterable<Descriptor>): Document {
  return imageIndex({ manifests: inOrder(referrers) });
}

/** The subject of a manifest and how it is listed there; undefined when it has none. @throws McpBuildError `manifest-invalid` */
export function referralOf(
  bytes: Uint8Array,
  descriptor: Descriptor,
): { readonly subject: Digest; readonly referrer: Descriptor } | undefined {
  const manifest = parseManifest(bytes, descriptor.mediaType, descriptor.digest);
  return manifest.subject && { subject: manifest.subject.digest, referrer: referrerDescriptor(manifest, descriptor) };
}
