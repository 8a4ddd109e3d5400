import { posix } from 'node:path';
import { z } from 'zod';
import { isObject } from '../rpc/message.ts';
import { outline, skipSpace, skipValue } from '../rpc/outline.ts';

/** What an argument may be: JSON Schema's words, and `pathPrefix`. A `pattern` is of the whole text. */
export interface Limit {
  readonly type?: 'string' | 'number' | 'integer' | 'boolean' | 'object' | 'array' | 'null' | undefined;
  readonly enum?: readonly (string | number | boolean | null)[] | undefined;
  readonly pattern?: string | undefined;
  readonly minLength?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  readonly pathPrefix?: readonly string[] | undefined;
  readonly properties?: Readonly<Record<string, Limit>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly additionalProperties?: boolean | undefined;
  readonly items?: Limit | undefined;
  readonly maxItems?: number | undefined;
}

const count = z.int().min(0).max(1_000_000_000);

export const limitSchema: z.ZodType<Limit> = z.lazy(() =>
  z.strictObject({
    type: z.enum(['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']).optional(),
    enum: z
      .array(z.union([z.string(), z.number(), z.boolean(), z.null()]))
      .min(1)
      .max(10_000)
      .optional(),
    pattern: z.string().max(2_000).refine(isPattern, 'is no regular expression').optional(),
    minLength: count.optional(),
    maxLength: count.optional(),
    minimum: z.number().optional(),
    maximum: z.number().optional(),
    pathPrefix: z.array(z.string().startsWith('/')).min(1).max(100).optional(),
    properties: z.record(z.string().max(400), limitSchema).optional(),
    required: z.array(z.string().max(400)).max(1_000).optional(),
    additionalProperties: z.boolean().optional(),
    items: limitSchema.optional(),
    maxItems: count.optional(),
  }),
);

export interface Broken {
  /** Where, in names of the limits themselves: `path`, `options.depth`. */
  readonly path: string;
  readonly rule: keyof Limit;
}

/** In characters: a longer text isn't held against a pattern, whose work can grow with its square. */
const LONGEST_MATCHED = 64 * 1024;
const compiled = new Map<string, RegExp>();

/** @returns the first limit that a value breaks, never the value */
export function broken(limit: Limit, value: unknown, path = ''): Broken | undefined {
  const no = (rule: keyof Limit): Broken => ({ path, rule });
  const under = (name: string) => (path === '' ? name : `${path}.${name}`);
  if (limit.type !== undefined && !isOf(limit.type, value)) return no('type');
  if (limit.enum && !limit.enum.includes(value as never)) return no('enum');
  // A limit of texts that lets a list of texts through is none: what it is for must be there.
  for (const rule of ['pattern', 'minLength', 'maxLength', 'pathPrefix'] as const) {
    if (limit[rule] !== undefined && (typeof value !== 'string' || !textFits(limit, rule, value))) return no(rule);
  }
  for (const rule of ['minimum', 'maximum'] as const) {
    const bound = limit[rule];
    if (bound === undefined) continue;
    if (typeof value !== 'number' || (rule === 'minimum' ? value < bound : value > bound)) return no(rule);
  }
  if (limit.items || limit.maxItems !== undefined) {
    if (!Array.isArray(value)) return no(limit.items ? 'items' : 'maxItems');
    if (value.length > (limit.maxItems ?? Number.POSITIVE_INFINITY)) return no('maxItems');
    for (const item of limit.items ? value : []) {
      const found = broken(limit.items as Limit, item, `${path}[]`);
      if (found) return found;
    }
  }
  if (!limit.properties && !limit.required && limit.additionalProperties !== false) return undefined;
  if (!isObject(value)) return no('properties');
  for (const name of limit.required ?? [])
    if (!Object.hasOwn(value, name)) return { path: under(name), rule: 'required' };
  for (const [name, inner] of Object.entries(value)) {
    const own = limit.properties && Object.hasOwn(limit.properties, name) ? limit.properties[name] : undefined;
    const found = own && broken(own, inner, under(name));
    if (found) return found;
    if (!own && limit.additionalProperties === false) return no('additionalProperties');
  }
  return undefined;
}

function textFits(limit: Limit, rule: 'pattern' | 'minLength' | 'maxLength' | 'pathPrefix', value: string): boolean {
  switch (rule) {
    case 'pattern':
      return value.length <= LONGEST_MATCHED && patternOf(limit.pattern ?? '').test(value);
    case 'minLength':
      return [...value].length >= (limit.minLength ?? 0);
    case 'maxLength':
      return [...value].length <= (limit.maxLength ?? 0);
    case 'pathPrefix':
      return isBelow(value, limit.pathPrefix ?? []);
  }
}

/** Whatever a server makes of it, a path that isn't plainly below is not. Links within are the server's own matter. */
function isBelow(value: string, prefixes: readonly string[]): boolean {
  if (!value.startsWith('/') || /[\0\\]|%(?:2e|2f|5c|00)/i.test(value)) return false;
  const path = posix.normalize(value);
  return prefixes.some((each) => {
    const prefix = posix.normalize(each).replace(/\/+$/, '');
    return path === prefix || path.startsWith(`${prefix}/`);
  });
}

function isOf(type: NonNullable<Limit['type']>, value: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function patternOf(pattern: string): RegExp {
  let found = compiled.get(pattern);
  if (!found) {
    found = new RegExp(`^(?:${pattern})$`, 'u');
    compiled.set(pattern, found);
  }
  return found;
}

export function isPattern(text: string): boolean {
  try {
    return new RegExp(text, 'u') !== undefined;
  } catch {
    return false;
  }
}

/** Arguments that are nested deeper are nobody's. */
const DEEPEST = 64;

/** Whether every name of a JSON value stands once: parsers differ in which of two counts, and what was checked must be what is used. */
export function isPlain(text: string, at: number, depth = 0): boolean {
  if (depth > DEEPEST) return false;
  if (text[at] === '{') {
    const members = outline(text, at);
    return members !== undefined && [...members.values()].every(({ start }) => isPlain(text, start, depth + 1));
  }
  if (text[at] !== '[') return true;
  for (let next = skipSpace(text, at + 1); next < text.length && text[next] !== ']'; ) {
    if (!isPlain(text, next, depth + 1)) return false;
    next = skipSpace(text, skipValue(text, next));
    if (text[next] === ',') next = skipSpace(text, next + 1);
  }
  return true;
}
