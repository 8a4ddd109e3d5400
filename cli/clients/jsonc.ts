import { applyEdits, type Change, type Edit, type Path, type Syntax, SyntaxFault, type Value } from './syntax.ts';

/** A value and where it stands; `end` is behind its last character. */
type Node = { readonly start: number; readonly end: number } & (
  | { readonly kind: 'object'; readonly properties: readonly Property[] }
  | { readonly kind: 'array'; readonly items: readonly Node[] }
  | { readonly kind: 'scalar'; readonly value: string | number | boolean | null }
);

interface Property {
  readonly key: string;
  /** Where the key's opening quote stands. */
  readonly start: number;
  readonly node: Node;
}

/** Deeper than any client's file, and far from what would exhaust the stack. */
const DEPTH = 200;
// RFC 8259, section 6.
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/sy;
const BLANK = /(?:[ \t\r\n]|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/y;

/** JSON as editors and clients write it: with comments and trailing commas. */
export const jsonc: Syntax = {
  name: 'JSON',
  parse: (text) => plain(parseTree(text)),
  change(text, changes) {
    const tree = parseTree(text);
    return applyEdits(
      text,
      group(changes).flatMap((some) => edit(text, tree, some)),
    );
  },
};

function parseTree(text: string): Node {
  let at = 0;
  const fail = (reason: string): never => {
    throw new SyntaxFault(text, at, reason);
  };
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found === undefined) return undefined;
    at += found.length;
    return found;
  };
  const blank = () => {
    match(BLANK);
    if (text.startsWith('/*', at)) fail('a comment that does not end');
  };
  const string = (): string => {
    const start = at;
    const quoted =
      match(STRING) ?? fail(text[at] === '"' ? 'a string that does not end' : 'a name in double quotes is missing');
    try {
      return JSON.parse(quoted) as string;
    } catch {
      at = start;
      return fail('a string that is not one of JSON');
    }
  };
  const value = (depth: number): Node => {
    if (depth > DEPTH) fail('values nested too deeply');
    const start = at;
    switch (text[at]) {
      case '{': {
        const properties: Property[] = [];
        list('}', () => {
          const from = at;
          const key = string();
          blank();
          if (text[at] !== ':') fail('a ":" is missing');
          at += 1;
          blank();
          properties.push({ key, start: from, node: value(depth + 1) });
        });
        return { kind: 'object', start, end: at, properties };
      }
      case '[': {
        const items: Node[] = [];
        list(']', () => items.push(value(depth + 1)));
        return { kind: 'array', start, end: at, items };
      }
      case '"':
        return { kind: 'scalar', value: string(), start, end: at };
      default: {
        const word = match(NUMBER) ?? match(/(?:true|false|null)\b/y);
        if (word === undefined) return fail(at >= text.length ? 'the file ends in the middle' : 'no value of JSON');
        return { kind: 'scalar', value: JSON.parse(word) as number | boolean | null, start, end: at };
      }
    }
  };
  const list = (close: string, item: () => void) => {
    at += 1;
    for (blank(); text[at] !== close; ) {
      item();
      blank();
      if (text[at] === ',') {
        at += 1;
        blank();
      } else if (text[at] !== close)
        fail(at >= text.length ? 'the file ends in the middle' : `a "," or "${close}" is missing`);
    }
    at += 1;
  };
  // A byte order mark is nothing to JSON, and Windows editors write it.
  if (text.startsWith('\ufeff')) at = 1;
  blank();
  const root = value(0);
  blank();
  if (at < text.length) fail('something stands behind the end');
  return root;
}

function plain(node: Node): unknown {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'array':
      return node.items.map(plain);
    case 'object': {
      const object: Record<string, unknown> = {};
      for (const { key, node: child } of node.properties) {
        // Not by assignment: a key `__proto__` would set the prototype.
        Object.defineProperty(object, key, {
          value: plain(child),
          enumerable: true,
          writable: true,
          configurable: true,
        });
      }
      return object;
    }
  }
}

/** Changes of the same object together, as what is added to it is added in one place. */
function group(changes: readonly Change[]): readonly (readonly Change[])[] {
  return Object.values(Object.groupBy(changes, ({ path }) => JSON.stringify(path.slice(0, -1)))).filter(
    (some) => some !== undefined,
  );
}

function edit(text: string, tree: Node, changes: readonly Change[]): readonly Edit[] {
  const parent = nodeAt(text, tree, changes[0]?.path.slice(0, -1) ?? []);
  if (parent.kind === 'array') return appended(text, parent, changes);
  if (parent.kind !== 'object') throw new SyntaxFault(text, parent.start, 'not an object');
  const edits: Edit[] = [];
  let added = '';
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const last = parent.properties.at(-1);
  const indent = last ? lineIndent(text, last.start) : undefined;
  const separator = indent === undefined ? ' ' : newline + indent;
  for (const { path, value } of changes) {
    const key = String(path.at(-1));
    // The last of several with one name is the one that counts.
    const there = parent.properties.findLast((property) => property.key === key)?.node;
    if (there) {
      const own = lineIndent(text, parent.properties.findLast((property) => property.key === key)?.start ?? 0);
      edits.push({ start: there.start, end: there.end, text: write(text, there, value, own) });
    } else
      added += `${last || added ? ',' : ''}${last ? separator : ''}${JSON.stringify(key)}: ${laidOut(value, newline, indent)}`;
  }
  if (added !== '') {
    const at = last ? last.node.end : parent.start + 1;
    edits.push({ start: at, end: at, text: added });
  }
  return edits;
}

/** Items behind the last one of a list, in the order given. */
function appended(text: string, list: Node & { kind: 'array' }, changes: readonly Change[]): readonly Edit[] {
  if (changes.some(({ path }, at) => path.at(-1) !== list.items.length + at))
    throw new SyntaxFault(text, list.start, 'a list is only added to at its end');
  const last = list.items.at(-1);
  const indent = last ? lineIndent(text, last.start) : undefined;
  const separator = indent === undefined ? ' ' : (text.includes('\r\n') ? '\r\n' : '\n') + indent;
  const items = changes.map(({ value }) => inline(value));
  const at = last ? last.end : list.start + 1;
  return [{ start: at, end: at, text: last ? items.map((item) => `,${separator}${item}`).join('') : items.join(', ') }];
}

function nodeAt(text: string, tree: Node, path: Path): Node {
  let node = tree;
  for (const key of path) {
    const child =
      node.kind === 'object'
        ? node.properties.findLast((property) => property.key === key)?.node
        : node.kind === 'array' && typeof key === 'number'
          ? node.items[key]
          : undefined;
    if (!child) throw new SyntaxFault(text, node.start, `"${key}" is not there`);
    node = child;
  }
  return node;
}

/** The blanks in front of a place, where nothing else stands on its line. */
function lineIndent(text: string, at: number): string | undefined {
  const before = text.slice(text.lastIndexOf('\n', at - 1) + 1, at);
  return text.lastIndexOf('\n', at - 1) >= 0 && /^[ \t]*$/.test(before) ? before : undefined;
}

/** A list that stood on several lines stands on several again, with the same indentation. */
function write(text: string, there: Node, value: Value, indent: string | undefined): string {
  if (!Array.isArray(value) || there.kind !== 'array' || value.length === 0)
    return laidOut(value, text.includes('\r\n') ? '\r\n' : '\n', indent);
  const first = there.items[0];
  const inner = first ? lineIndent(text, first.start) : undefined;
  const outer = lineIndent(text, there.end - 1);
  if (inner === undefined || outer === undefined) return inline(value);
  const newline = text.slice(there.start, there.end).includes('\r\n') ? '\r\n' : '\n';
  return `[${value.map((word) => newline + inner + JSON.stringify(word)).join(',')}${newline}${outer}]`;
}

function inline(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}: ${inline(member)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}

/** What holds lists or objects itself takes several lines, where its neighbours have lines of their own. */
function laidOut(value: Value, newline: string, indent: string | undefined): string {
  const deep = typeof value === 'object' && Object.values(value).some((member) => typeof member === 'object');
  if (!deep || indent === undefined) return inline(value);
  return JSON.stringify(value, null, indent.includes('\t') ? '\t' : 2).replaceAll('\n', newline + indent);
}
