/** A stretch of a JSON text: `text.slice(start, end)` is one value. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

const QUOTE = 34;
const BACKSLASH = 92;

/**
 * Where the values of an object's own members stand in a JSON text, without reading what is inside them: so that an id can be replaced and every
 * other byte stays as it was sent. The text must be JSON already (`JSON.parse` has taken it); `at` is the object's opening brace.
 * @returns undefined where a name stands twice: parsers differ in which of the two counts, and what was checked must be what is used
 */
export function outline(text: string, at: number): Map<string, Span> | undefined {
  const members = new Map<string, Span>();
  let next = skipSpace(text, at + 1);
  while (text.charCodeAt(next) === QUOTE) {
    const nameEnd = skipString(text, next);
    const raw = text.slice(next + 1, nameEnd - 1);
    // An escaped letter is the same name to every parser.
    const name = raw.includes('\\') ? (JSON.parse(text.slice(next, nameEnd)) as string) : raw;
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = skipValue(text, start);
    if (members.has(name)) return undefined;
    members.set(name, { start, end });
    next = skipSpace(text, end);
    if (text.charCodeAt(next) !== 44) break;
    next = skipSpace(text, next + 1);
  }
  return members;
}

/** Replaces stretches of a text; `edits` in the order of the text, and apart from each other. */
export function splice(text: string, edits: readonly (readonly [Span, string])[]): string {
  let out = '';
  let from = 0;
  for (const [span, value] of edits) {
    out += text.slice(from, span.start) + value;
    from = span.end;
  }
  return out + text.slice(from);
}

export function skipSpace(text: string, at: number): number {
  for (let next = at; ; next += 1) {
    const code = text.charCodeAt(next);
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return next;
  }
}

export function skipValue(text: string, at: number): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return skipString(text, at);
  if (first !== 123 && first !== 91) return skipWord(text, at);
  let depth = 0;
  for (let next = at; next < text.length; ) {
    const code = text.charCodeAt(next);
    if (code === QUOTE) {
      next = skipString(text, next);
      continue;
    }
    next += 1;
    if (code === 123 || code === 91) depth += 1;
    else if (code === 125 || code === 93) {
      depth -= 1;
      if (depth === 0) return next;
    }
  }
  return text.length;
}

function skipWord(text: string, at: number): number {
  let next = at;
  for (; next < text.length; next += 1) {
    const code = text.charCodeAt(next);
    if (code === 44 || code === 125 || code === 93 || code <= 32) break;
  }
  return next;
}

function skipString(text: string, at: number): number {
  // A call of indexOf costs more than a look at the few characters that most strings have.
  const near = Math.min(text.length, at + 24);
  for (let next = at + 1; next < near; next += 1) {
    const code = text.charCodeAt(next);
    if (code === QUOTE) return next + 1;
    if (code === BACKSLASH) next += 1;
  }
  for (let next = text.indexOf('"', at + 1); next >= 0; next = text.indexOf('"', next + 1)) {
    let slashes = 0;
    while (text.charCodeAt(next - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return next + 1;
  }
  return text.length;
}
