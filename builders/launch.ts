import { z } from 'zod';
import { type Digest, isDigest } from '../digest/index.ts';
import type { McpBuildError } from '../errors/index.ts';
import type { Argument, ServerDocument, ServerPackage, Variable } from './server-json.ts';
import { normalizeProject } from './source.ts';

const text = z.string().max(4096);
const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'not a sha256 digest');
const asked = {
  name: text.min(1),
  description: z.string().max(16_384).optional(),
  required: z.boolean(),
  secret: z.boolean(),
};

/** How a server is started, as its `server.json` says; a field of the lock. */
export const launchSchema = z.strictObject({
  document: z.strictObject({ name: text.min(1), version: text.min(1), digest }),
  /** Always there, before what a user gives. */
  args: z.array(text).readonly(),
  /** There unless a user gives arguments. */
  defaults: z.array(text).readonly(),
  /** What only its user knows; nothing stands in for it. */
  wanted: z.array(z.strictObject(asked)).readonly(),
  /** `value` is set in the image; the others are given at run time, or not at all. */
  environment: z.array(z.strictObject({ ...asked, value: text.optional() })).readonly(),
});

export type Launch = z.infer<typeof launchSchema>;

type Refuse = (what: string) => McpBuildError;

/** Values that would change which code is loaded, or what it is told to trust: not for a document to decide. */
const RESERVED =
  /^(?:PATH|HOME|SSL_CERT_(?:FILE|DIR)|LD_.*|NODE_OPTIONS|NODE_EXTRA_CA_CERTS|NODE_TLS_REJECT_UNAUTHORIZED|PYTHON(?:PATH|HOME|STARTUP|SAFEPATH)|.*_PROXY)$/i;

/** @param refuse an error for what can't be followed */
export function launchOf(
  { name, version }: ServerDocument,
  { packageArguments, environmentVariables }: ServerPackage,
  document: Digest,
  refuse: Refuse,
): Launch {
  const args: string[] = [];
  const defaults: string[] = [];
  const wanted: Launch['wanted'][number][] = [];
  for (const one of packageArguments) {
    const { value, given } = settled(one);
    const fixed = given === 'fixed';
    // Positions count: after an argument that a user may replace, none can be fixed.
    const movable = one.type === 'named' || (defaults.length === 0 && wanted.length === 0);
    if (value !== undefined && fixed && movable) args.push(...wordsOf(one, value));
    else if (value !== undefined && wanted.length === 0) defaults.push(...wordsOf(one, value));
    else wanted.push(askedFor(one, one.type === 'named' ? one.name : (value ?? one.valueHint ?? 'argument')));
  }
  const environment = environmentVariables.map((one) => {
    const { value } = settled(one);
    if (value !== undefined && RESERVED.test(one.name)) throw refuse(`it sets ${one.name}, which is not its to set`);
    // A secret that stands in a public document is none, and nothing to copy into an image either.
    return { ...askedFor(one, one.name), ...(value === undefined || one.isSecret ? {} : { value }) };
  });
  const twice = environment.find(({ name: own }, at) => environment.findIndex((other) => other.name === own) !== at);
  if (twice) throw refuse(`it names the variable ${twice.name} twice`);
  return { document: { name, version, digest: document }, args, defaults, wanted, environment };
}

/** Arguments of `npx` and `uvx` that say nothing about the server. */
const MEANINGLESS: ReadonlySet<string> = new Set(['-y', '--yes', '-q', '--quiet']);
/** Nor do these, where they name the package itself. */
const FROM: ReadonlySet<string> = new Set(['--from', '--package', '-p']);

/** Images have no `npx` or `uvx`: what is said to them is followed only where it changes nothing. @throws McpBuildError by `refuse` */
export function runtimeArgumentsFit({ runtimeArguments, identifier }: ServerPackage, refuse: Refuse): void {
  for (const one of runtimeArguments) {
    const word = one.type === 'named' ? one.name : (one.value ?? '');
    if (MEANINGLESS.has(word) && (one.type === 'positional' || !one.value)) continue;
    const names = one.type === 'positional' || FROM.has(one.name) ? one.value : undefined;
    if (names !== undefined && isThePackage(names, identifier)) continue;
    throw refuse(`it gives its runtime the argument "${word}", which an image can't follow`);
  }
}

function isThePackage(words: string, identifier: string): boolean {
  const name = words.replace(/(?!^)(?:@|===?).*$/, '');
  return name === identifier || normalizeProject(name) === normalizeProject(identifier);
}

function wordsOf(one: Argument, value: string): string[] {
  if (one.type === 'positional') return [value];
  if (value === '') return [one.name];
  return one.name.endsWith('=') ? [`${one.name}${value}`] : [one.name, value];
}

/** The value of an input once its variables are filled in; undefined where one has none. `fixed` unless a default took part. */
function settled(one: Argument | Variable): { value: string | undefined; given: 'fixed' | 'default' } {
  if (one.value === undefined) return { value: one.default, given: 'default' };
  let given: 'fixed' | 'default' = 'fixed';
  let open = false;
  const value = one.value.replace(/\{([^{}]+)\}/g, (whole, name: string) => {
    const variable = Object.hasOwn(one.variables ?? {}, name) ? one.variables?.[name] : undefined;
    // Braces that name no variable are meant as they are: JSON, for one.
    if (!variable) return whole;
    if (variable.value === undefined) given = 'default';
    if (variable.value === undefined && (variable.default === undefined || variable.isSecret)) open = true;
    return variable.value ?? variable.default ?? '';
  });
  return { value: open ? undefined : value, given };
}

function askedFor(one: Argument | Variable, name: string): Launch['wanted'][number] {
  const variables = Object.values(one.variables ?? {});
  return {
    name: name || 'argument',
    ...(one.description === undefined ? {} : { description: one.description }),
    required: one.isRequired === true || variables.some(({ isRequired }) => isRequired === true),
    secret: one.isSecret === true || variables.some(({ isSecret }) => isSecret === true),
  };
}
