import { isObject } from './message.ts';

/** A parameter of a tool that 2026-07-28 has repeated in a header: `x-mcp-header` in its schema. */
export interface Mirrored {
  /** Of the header, in small letters. */
  readonly header: string;
  /** Names of the properties that lead to it. */
  readonly path: readonly string[];
}

/** `1*tchar` of RFC 9110. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$/;
const KINDS: ReadonlySet<unknown> = new Set(['string', 'integer', 'boolean']);
/** Of properties in properties, and of them all: a schema is a server's, and no reason to run for long. */
const DEEPEST = 16;
const MOST = 64;

/** What a tool's schema has repeated. @returns nothing for a schema that breaks the rules: clients must not use such a tool at all */
export function mirroredOf(inputSchema: unknown): readonly Mirrored[] {
  const found: Mirrored[] = [];
  const names = new Set<string>();
  let broken = false;
  const walk = (schema: unknown, path: readonly string[]) => {
    if (!isObject(schema) || path.length > DEEPEST || broken) return;
    const name = schema['x-mcp-header'];
    if (name !== undefined) {
      const header = typeof name === 'string' && TOKEN.test(name) ? `mcp-param-${name.toLowerCase()}` : undefined;
      if (header === undefined || names.has(header) || path.length === 0 || !KINDS.has(schema.type)) {
        broken = true;
        return;
      }
      names.add(header);
      found.push({ header, path });
      if (found.length > MOST) broken = true;
    }
    if (!isObject(schema.properties)) return;
    for (const [key, inner] of Object.entries(schema.properties)) walk(inner, [...path, key]);
  };
  walk(inputSchema, []);
  return broken ? [] : found;
}

/** The value at a path of the arguments; undefined where there is none, and for null. */
export function mirroredValue(given: unknown, path: readonly string[]): unknown {
  let value = given;
  for (const key of path) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value ?? undefined;
}

/** A value as its header has it. */
export function encodedValue(value: unknown): string {
  const text = String(value);
  const plain = /^(?:[!-~](?:[ -~\t]*[!-~])?)?$/.test(text) && !(text.startsWith('=?base64?') && text.endsWith('?='));
  return plain ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`;
}

/** What a header says: plain, or from Base64 of UTF-8. @returns undefined for what is neither */
export function decodedValue(header: string): string | undefined {
  const match = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(header);
  if (!match) return header.startsWith('=?base64?') || /[^\t -~]/.test(header) ? undefined : header;
  const bytes = Buffer.from(match[1] as string, 'base64');
  const text = bytes.toString('utf8');
  return bytes.toString('base64') === match[1] && Buffer.from(text).equals(bytes) ? text : undefined;
}
