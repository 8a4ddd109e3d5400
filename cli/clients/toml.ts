import { parse } from 'smol-toml';
import { applyEdits, type Change, type Edit, type Syntax, SyntaxFault, type Value } from './syntax.ts';

/** TOML with its tables under headers, as Codex writes it; a server written inline is read but not rewritten. */
export const toml: Syntax = {
  name: 'TOML',
  parse(text) {
    try {
      // Plain objects, and dates as the text they are: values are compared before and after a change.
      return JSON.parse(JSON.stringify(parse(text))) as unknown;
    } catch (error) {
      const { line = 1, column = 1 } = error as { line?: number; column?: number };
      const before = text.split('\n').slice(0, line - 1);
      const start = before.reduce((sum, one) => sum + one.length + 1, 0);
      throw new SyntaxFault(text, Math.min(text.length, start + column - 1), 'no TOML');
    }
  },
  change(text, changes) {
    return applyEdits(
      text,
      changes.map((change) => edit(text, change)),
    );
  },
};

interface Assignment {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

interface Table {
  readonly path: string;
  /** Behind the header's line. */
  readonly body: number;
  readonly assignments: readonly Assignment[];
}

const KEY = /(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')/y;
const SPACE = /[ \t]*/y;

function edit(text: string, { path, value }: Change): Edit {
  const key = String(path.at(-1));
  const table = tablesOf(text).find((found) => found.path === JSON.stringify(path.slice(0, -1)));
  if (!table) throw new SyntaxFault(text, 0, `[${path.slice(0, -1).join('.')}] has no header of its own`);
  const there = table.assignments.find((assignment) => assignment.key === key);
  if (there) return { start: there.start, end: there.end, text: write(value) };
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  return { start: table.body, end: table.body, text: `${key} = ${write(value)}${newline}` };
}

/** JSON's strings are basic strings of TOML, but for U+007F. */
function write(value: Value): string {
  const quote = (word: string) => JSON.stringify(word).replaceAll('\u007f', '\\u007f');
  if (typeof value !== 'object') return quote(String(value));
  if (Array.isArray(value)) return `[${value.map((word) => quote(String(word))).join(', ')}]`;
  return `{ ${Object.entries(value)
    .map(([key, word]) => `${quote(key)} = ${quote(String(word))}`)
    .join(', ')} }`;
}

/** Only what an exact edit needs; the text was parsed before, so what is not understood here is skipped by line. */
function tablesOf(text: string): readonly Table[] {
  const tables: { path: string; body: number; assignments: Assignment[] }[] = [];
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const keys = (): string[] => {
    const found: string[] = [];
    do {
      match(SPACE);
      const word = match(KEY);
      if (word === undefined) return [];
      found.push(word.startsWith('"') ? (JSON.parse(word) as string) : word.startsWith("'") ? word.slice(1, -1) : word);
      match(SPACE);
    } while (match(/\./y));
    return found;
  };
  const nextLine = () => match(/[^\n]*\n?/y);
  while (at < text.length) {
    match(/[ \t\r\n]*/y);
    if (at >= text.length) break;
    if (text[at] === '#') {
      nextLine();
    } else if (text[at] === '[') {
      // An array of tables is nobody's server: its path can't be one that is asked for.
      const array = match(/\[\[/y) !== undefined;
      if (!array) at += 1;
      const path = JSON.stringify(array ? [null, ...keys()] : keys());
      nextLine();
      tables.push({ path, body: at, assignments: [] });
    } else {
      const path = keys();
      match(/=[ \t]*/y);
      const start = at;
      skipValue(text, at, (end) => {
        at = end;
      });
      if (path.length === 1) tables.at(-1)?.assignments.push({ key: path[0] ?? '', start, end: at });
      nextLine();
    }
  }
  return tables;
}

/** Strings are the only thing that can hold a bracket or a line's end without meaning it. */
function skipValue(text: string, from: number, done: (end: number) => void): void {
  const piece =
    /"""(?:[^\\]|\\[\s\S])*?"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[[{]|[\]}]|\r?\n|[^"'#[\]{}\r\n]+|\r/y;
  piece.lastIndex = from;
  let depth = 0;
  let end = from;
  for (let found = piece.exec(text); found; found = piece.exec(text)) {
    const [word] = found;
    if (depth === 0 && (word.startsWith('#') || word.endsWith('\n'))) break;
    if (word === '[' || word === '{') depth += 1;
    if (word === ']' || word === '}') depth -= 1;
    if (word.trim() !== '') end = found.index + word.trimEnd().length;
  }
  done(end);
}
