import type { Digest } from '../digest/index.ts';
import type { Descriptor } from '../registry/index.ts';
import type { Bundle } from './bundle.ts';
import type { Statement } from './statement.ts';

/** All that is known of an image before anything is believed. Plain data: the same evidence always gives the same verdict. */
export interface Evidence {
  /** The image or index that was asked for, by digest. */
  readonly subject: Descriptor;
  /** Where the subject is an index: the platform images that count. What is said of all of these is said of the index. */
  readonly platforms: readonly Descriptor[];
  readonly content: Content;
  readonly attestations: readonly Attestation[];
  readonly asked?: Asked;
  /** The newest build of this server that this machine has accepted; absent where it has accepted none. */
  readonly accepted?: Accepted;
}

/** What the user wrote, and so what must be signed. */
export interface Asked {
  /** Name of the image, without tag and digest. */
  readonly image?: string;
  readonly source?: { readonly ecosystem: 'npm' | 'pypi'; readonly name: string };
  /** Where one exact version was asked for. */
  readonly version?: string;
}

/** One entry of the record against rollback. */
export interface Accepted {
  readonly version: string;
  /** Creation time of the image, as its `server` predicate has it. */
  readonly created: string;
}

export interface Content {
  /** Whether layers were read as well, or only manifests and configs. */
  readonly layers: boolean;
  readonly problems: readonly { readonly digest: Digest; readonly reason: string }[];
}

/** One referrer that carries, or claims to carry, a Sigstore bundle. */
export interface Attestation {
  /** The manifest it is attached to: whoever copied it there, not necessarily what it speaks of. */
  readonly on: Digest;
  /** The digest of the referrer's manifest. */
  readonly referrer: Digest;
  readonly said: Said;
}

export type Said =
  | { readonly kind: 'statement'; readonly bundle: Bundle; readonly statement: Statement }
  | { readonly kind: 'unreadable'; readonly reason: string };
