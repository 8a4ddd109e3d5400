import type { Digest } from '../digest/index.ts';

/** OCI content descriptor (image-spec 1.1, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string };
}

export interface Lending {
  /** Whether a chunk need be good only until the next one is asked for: its memory may then be used again. Default false. */
  readonly lent?: boolean;
}

/** One repository of content-addressed blobs and manifests: the local OCI layout and a remote registry are both one. */
export interface Store {
  /** Whether a manifest that is there has everything it points at, because the store itself sees to it (a registry does). */
  readonly whole?: boolean;
  /** How a person would name it: a folder, or `registry.example/team/server`. */
  readonly name: string;
  has(descriptor: Descriptor): Promise<boolean>;
  /** The bytes of a blob or manifest; throws `integrity` before the last chunk when they aren't the descriptor's, `not-found` when they aren't there. */
  read(descriptor: Descriptor): AsyncIterable<Uint8Array>;
  /** The same bytes unchecked, for a writer that checks them: hashing once is enough. Can be iterated again, from the start. */
  open?(descriptor: Descriptor, lending?: Lending): AsyncIterable<Uint8Array>;
  /** Whether `write` takes bytes that are lent. */
  readonly borrows?: boolean;
  /** Stores a blob whole or not at all. @throws `integrity` when the bytes aren't the descriptor's */
  write(descriptor: Descriptor, bytes: AsyncIterable<Uint8Array>, lending?: Lending): Promise<void>;
  /** Stores a manifest or index (bounded: 4 MiB). With a `subject` it becomes one of its referrers. */
  writeManifest(bytes: Uint8Array, mediaType: string): Promise<Descriptor>;
  /** What a tag or digest points at. @throws `not-found` */
  resolve(reference: string): Promise<Descriptor>;
  /** Points a tag at a manifest that is already there. @throws `not-found` */
  tag(tag: string, descriptor: Descriptor): Promise<void>;
  /** Every referrer of a manifest, in a stable order. An unreadable list is an error (`referrers-unavailable`), never an empty one. */
  referrers(subject: Digest): Promise<readonly Descriptor[]>;
}
