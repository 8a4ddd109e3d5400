import type { Entry } from './entry.ts';
import type { LocalFile } from './local.ts';
import type { Artifact, LayerLock, Open } from './lock.ts';
import type { Platform } from './platform.ts';
import type { Source } from './source.ts';

export interface ResolveOptions {
  /** Folder for metadata and download caches; only this adapter writes there. */
  readonly cache: string;
  /** Releases after this are not considered, and a file whose upload time is unknown is refused; undefined switches both off. */
  readonly before: Date | undefined;
  /** Folder whose project-level configuration (`.npmrc`, `uv.toml`) counts; undefined: the user's and the system's only. */
  readonly workspace: string | undefined;
  /** The user's variables; never `process.env` itself. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The `bin` or console script to start, where the package has several. */
  readonly bin?: string;
  /** The server's own file, where it is on this machine instead of at an index. */
  readonly local?: LocalFile;
  /** Paths or folders where locked local files may be. */
  readonly files?: readonly string[];
  /** Versions or ranges of dependencies that are taken whatever their dependents ask for, by package. */
  readonly overrides?: Readonly<Record<string, string>> | undefined;
  /** Releases that are taken although they are younger than `before`. */
  readonly young?: readonly { readonly name: string; readonly version: string }[] | undefined;
  /** One line on progress, for a terminal. */
  readonly progress?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** What a resolver chose: everything later stages need, nothing of where it came from but index names. */
export interface Resolution {
  readonly version: string;
  /** The name its package claims in the MCP Registry, if any. */
  readonly serverName?: string;
  /** argv in the image. */
  readonly entrypoint: readonly string[];
  /** Native lock files by name: `package.json` and `package-lock.json`, or `requirements.in` and `requirements.txt`. */
  readonly files: Readonly<Record<string, string>>;
  /** The layers of each platform that follow the runtime, in order: `dependencies` (absent when empty), `server`. */
  readonly layers: Readonly<Partial<Record<Platform, readonly LayerLock[]>>>;
  /** `name@version` of each package with an install script; named, never run. */
  readonly installScripts: readonly string[];
}

/** One ecosystem. Adding one is adding a folder that offers this. */
export interface Adapter {
  readonly ecosystem: Source['ecosystem'];
  /** The name of the base recipe under `images/` its servers run on. */
  readonly base: string;
  /** The only step that chooses. @throws McpBuildError, see the adapter's folder for its codes */
  resolve(source: Source, platforms: readonly Platform[], options: ResolveOptions): Promise<Resolution>;
  /** Finds one locked file at the index the user has configured; the bytes are not checked yet. */
  fetch(artifact: Artifact, options: FetchOptions): AsyncIterable<Uint8Array>;
  /**
   * Pure but for `open`: the files of one layer, in order. `below` are the layers under it, none by default: a server must not
   * replace a file of its dependencies. @throws McpBuildError `file-conflict`
   */
  bake(layer: LayerLock, platform: Platform, open: Open, below?: readonly LayerLock[]): AsyncIterable<Entry>;
}

export type FetchOptions = Pick<ResolveOptions, 'cache' | 'workspace' | 'environment' | 'files' | 'signal'>;
