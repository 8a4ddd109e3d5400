import { join } from 'node:path';
import { type Integrity, isIntegrity } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';
import { eachAsked } from '../asking.ts';
import type { NpmArtifact } from '../lock.ts';
import { instant } from './artifacts.ts';
import { npmConfiguration } from './configuration.ts';
import type { Packument } from './packument.ts';
import { packuments } from './packuments.ts';

/** What the user's registry says today of one locked version. */
export type NpmListing =
  | { readonly state: 'unreachable'; readonly error: McpBuildError }
  /** The package or the version isn't there. */
  | { readonly state: 'gone' }
  | {
      readonly state: 'listed';
      readonly hashes: readonly Integrity[];
      readonly uploaded: string | undefined;
      readonly deprecated: string | undefined;
      /** ECDSA signatures over `name@version:integrity`, unverified. */
      readonly signatures: readonly NpmSignature[];
      /** Where its attestations are, as the registry says. */
      readonly attestations: string | undefined;
      /** Who could publish when this version was, and who did; undefined where the registry doesn't say. Unverified: it is the registry's word. */
      readonly maintainers?: readonly string[] | undefined;
      readonly publisher?: string | undefined;
      /** Newest version below this one whose document names attestations; undefined where none has. */
      readonly attestedBefore: AttestedBefore | undefined;
    };

export interface AttestedBefore {
  readonly version: string;
  readonly integrity: Integrity;
  readonly attestations: string;
}

export interface NpmSignature {
  readonly keyid: string;
  readonly sig: string;
}

/** Each locked file with what its registry says; a registry that can't be asked is an answer, too. @throws McpBuildError `npm-config-invalid` */
export async function listNpm(
  artifacts: readonly NpmArtifact[],
  options: FetchOptions,
): Promise<ReadonlyMap<NpmArtifact, NpmListing>> {
  const configuration = await npmConfiguration(options);
  const documents = packuments(configuration, join(options.cache, 'packuments'), options.signal);
  return eachAsked(artifacts, (artifact) =>
    documents.of(artifact.name).then((document) => listingOf(document, artifact), failed),
  );
}

function failed(error: unknown): NpmListing {
  if (isFault(error, 'package-not-found')) return { state: 'gone' };
  if (error instanceof McpBuildError) return { state: 'unreachable', error };
  throw error;
}

interface Dist {
  readonly integrity?: string;
  readonly signatures?: readonly NpmSignature[];
  readonly attestations?: string;
}

function listingOf(document: Packument, { version }: NpmArtifact): NpmListing {
  const manifest = document.versions[version];
  if (!manifest) return { state: 'gone' };
  const dist = (manifest.dist ?? {}) as Dist;
  return {
    state: 'listed',
    hashes: (dist.integrity ?? '').split(/\s+/).filter(isIntegrity),
    uploaded: instant(document.time[version]),
    deprecated: manifest.deprecated as string | undefined,
    signatures: dist.signatures ?? [],
    attestations: dist.attestations,
    maintainers: manifest.maintainers as readonly string[] | undefined,
    publisher: manifest.publisher as string | undefined,
    attestedBefore: attestedBefore(document, version),
  };
}

/** By upload time, for a hijacker chooses the version number. */
function attestedBefore(document: Packument, version: string): AttestedBefore | undefined {
  const own = Date.parse(document.time[version] ?? '');
  let best: (AttestedBefore & { readonly at: number }) | undefined;
  for (const [other, manifest] of Object.entries(document.versions)) {
    const { attestations, integrity } = (manifest.dist ?? {}) as Dist;
    const at = Date.parse(document.time[other] ?? '');
    if (attestations === undefined || integrity === undefined || !isIntegrity(integrity)) continue;
    if (other !== version && at < own && (!best || at > best.at))
      best = { version: other, integrity, attestations, at };
  }
  return best;
}
