import type { Base, Platform, Source } from '../../../builders/index.ts';
import type { Permissions } from '../../../runner/index.ts';

/** `mcp-build.yaml`, read. Text that may hold `${VAR}` is as it was written: see `expand`. */
export interface Manifest {
  /** Where it was read; paths in it are relative to this file's folder. */
  readonly file: string;
  readonly folder: string;
  /** May hold variables: see `registryOf`. */
  readonly registry?: string;
  /** Absolute. */
  readonly policy?: string;
  readonly signer?: ManifestSigner;
  readonly spdx: boolean;
  /** Further tags that move with each publish. */
  readonly tags: readonly string[];
  /** In the order of the file. */
  readonly servers: readonly ServerEntry[];
}

export type ManifestSigner =
  | { readonly kind: 'key'; readonly file: string }
  | { readonly kind: 'keyless'; readonly signingConfig?: string; readonly identityToken?: string }
  | { readonly kind: 'exec'; readonly command: string };

/** One server, with what the whole manifest says of all of them filled in. */
export interface ServerEntry {
  readonly name: string;
  readonly source: Source;
  /** The npm tarball or wheel that is the package, where no index is asked for it. Absolute. */
  readonly file?: string;
  readonly bin?: string;
  /** May hold variables. */
  readonly args: readonly string[];
  /** May hold variables. What stands here is signed and published. */
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: readonly Secret[];
  /** With the names of `env` and `secrets`. */
  readonly permissions: Permissions;
  readonly test: TestSettings;
  readonly system: readonly string[];
  readonly overrides: readonly Override[];
  /** In days; undefined: what is usual. */
  readonly releaseAge?: number;
  readonly releaseAgeExceptions: readonly AgeException[];
  readonly platforms: readonly Platform[];
  readonly base?: Base;
  readonly bytecode?: boolean;
  /** Undefined: stdio. */
  readonly transport?: 'http';
  /** Whether any instance can answer any request. */
  readonly stateless?: true;
}

export interface Secret {
  readonly name: string;
  readonly description?: string;
  readonly required: boolean;
}

export type TestSettings =
  | {
      readonly kind: 'run';
      /** Instead of the entry's own. May hold variables, as may `env`. */
      readonly args?: readonly string[];
      readonly env: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'skip'; readonly reason: string };

export interface Override {
  readonly package: string;
  readonly version: string;
  readonly reason: string;
}

export interface AgeException {
  readonly package: string;
  readonly version: string;
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}
