import { isDeepStrictEqual } from 'node:util';

/** One member of a tool's or prompt's definition that is new, gone or another one. */
export interface Edit {
  /** `description`, `inputSchema.properties.path.type`. */
  readonly path: string;
  /** As JSON; undefined where there was, or is, none. Of long values only what differs, with a little around it. */
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** Of one definition; a server that rewrites all of it is named by that alone. */
const EDITS = 20;
/** Definitions are a stranger's: what lies deeper is compared as a whole. */
const DEPTH = 16;
/** In characters, of a value, and of what is left around a change. */
const VALUE = 400;
const AROUND = 40;

/** What is different between two definitions, in the order of the second. Pure. */
export function editsOf(before: unknown, after: unknown): { readonly edits: readonly Edit[]; readonly more: number } {
  try {
    const all = [...edits(before, after, '', 0)];
    return { edits: all.slice(0, EDITS), more: Math.max(0, all.length - EDITS) };
  } catch (error) {
    // Nested thousands deep: that it changed is known by its digest, and nobody could read how.
    if (!(error instanceof RangeError)) throw error;
    return { edits: [], more: 0 };
  }
}

function* edits(before: unknown, after: unknown, path: string, depth: number): Generator<Edit> {
  if (isDeepStrictEqual(before, after)) return;
  if (!isMembers(before) || !isMembers(after) || depth === DEPTH) {
    yield { path, ...values(written(before), written(after)) };
    return;
  }
  for (const name of new Set([...Object.keys(after), ...Object.keys(before)])) {
    const at = path === '' ? name : `${path}.${name}`;
    yield* edits(own(before, name), own(after, name), at, depth + 1);
  }
}

function isMembers(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `toString` and the like are no member of a definition. */
function own(value: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function written(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

/** What was slipped into a long description must not be what is cut off: what both have at their beginning and end is left out instead. */
function values(from: string | undefined, to: string | undefined): Pick<Edit, 'from' | 'to'> {
  if (from === undefined || to === undefined || Math.max(from.length, to.length) <= VALUE)
    return { from: from && cut(from), to: to && cut(to) };
  const shortest = Math.min(from.length, to.length);
  let start = 0;
  while (start < shortest && from[start] === to[start]) start++;
  let end = 0;
  while (end < shortest - start && from.at(-1 - end) === to.at(-1 - end)) end++;
  const part = (text: string) => {
    const first = Math.max(0, start - AROUND);
    const last = Math.min(text.length, text.length - end + AROUND);
    return cut(`${first > 0 ? '…' : ''}${text.slice(first, last)}${last < text.length ? '…' : ''}`);
  };
  return { from: part(from), to: part(to) };
}

function cut(text: string): string {
  return text.length <= VALUE ? text : `${text.slice(0, VALUE)}… and ${text.length - VALUE} characters more`;
}
