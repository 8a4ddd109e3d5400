import type { Path } from './syntax.ts';

/** How one client starts one server, whatever its file calls that. */
export interface Entry {
  readonly name: string;
  /** Where it stands in the file. */
  readonly path: Path;
  readonly shape: Shape;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What the fields of an entry are called. */
export interface Shape {
  /** Below `path`; for Zed's older form `command.path`. `argv` where program and arguments are one list. */
  readonly command: Path;
  readonly args: Path | 'argv';
  readonly env: Path;
}

/** An entry of a docker mcp catalogue: an image and what it may do. */
export interface CatalogEntry {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
  readonly volumes: readonly string[];
  readonly hosts: readonly string[];
}

/** What an entry is once it is understood. */
export interface Wanted {
  /** `npm:…` or `pypi:…`. */
  readonly source: string;
  readonly bin?: string;
  readonly args: readonly string[];
  /** Beyond the client's own `env`: assignments in front of a program, `docker run -e`. */
  readonly env: Readonly<Record<string, string>>;
  /** Variables that are handed through from the client's environment. */
  readonly passed: readonly string[];
  readonly volumes: readonly string[];
  /** `host:port`. */
  readonly hosts: readonly string[];
  /** What was left out, in words. */
  readonly notes: readonly string[];
}

export type Understood =
  | { readonly kind: 'server'; readonly wanted: Wanted }
  /** Starts `mcp-build run` already. */
  | { readonly kind: 'already' }
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly reason: string; readonly fix: string };

export type RefusalCode =
  | 'runs-shell'
  | 'runs-local-program'
  | 'launcher-unknown-flag'
  | 'other-index'
  | 'extra-packages'
  | 'source-invalid'
  | 'foreign-image'
  | 'remote-server'
  | 'entry-invalid'
  | 'permission-refused';

export function refused(code: RefusalCode, reason: string, fix: string): Understood {
  return { kind: 'refused', code, reason, fix };
}

/** The file name of a program, as any system writes its paths and endings. */
export function programName(path: string): string {
  const base = path.split(/[\\/]/).at(-1) ?? path;
  return base.toLowerCase().replace(/\.(?:exe|cmd|bat|ps1)$/, '');
}
