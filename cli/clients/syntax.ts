/** One change of a client's file: the value at `path`, which is written there, or added to the object it belongs to. */
export interface Change {
  readonly path: Path;
  readonly value: Value;
}

/** Each syntax writes words, lists of words and records of words; JSON writes any. */
export type Value = string | number | boolean | readonly Value[] | { readonly [key: string]: Value };

export type Path = readonly (string | number)[];

/** A way of writing configuration: how it is read, and how a value is exchanged with every byte around it kept. */
export interface Syntax {
  readonly name: 'JSON' | 'TOML' | 'YAML';
  /** Plain objects, arrays and scalars. @throws SyntaxFault */
  parse(text: string): unknown;
  /** The text with other values in it. @throws SyntaxFault where the place can't be told exactly */
  change(text: string, changes: readonly Change[]): string;
}

/** What is wrong with a text, and where; `line` and `column` count from 1. */
export class SyntaxFault extends Error {
  override readonly name = 'SyntaxFault';
  readonly line: number;
  readonly column: number;

  constructor(text: string, offset: number, reason: string) {
    const before = text.slice(0, offset);
    super(reason);
    this.line = before.split('\n').length;
    this.column = offset - before.lastIndexOf('\n');
  }
}

/** A stretch of text that is exchanged; `start` and `end` count UTF-16 units. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Every byte outside the edits stays as it is. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let out = text;
  for (const { start, end, text: inserted } of [...edits].sort((a, b) => b.start - a.start || b.end - a.end)) {
    out = out.slice(0, start) + inserted + out.slice(end);
  }
  return out;
}

/** The value at a path, or undefined where there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Readonly<Record<string | number, unknown>>)[key];
  }
  return at;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
