import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { McpBuildError, nearest, nearestField } from '../../errors/index.ts';
import { readBounded } from '../../files/index.ts';
import { type PublicKey, parsePublicKey } from '../keys.ts';
import { PUBLIC_GOOD, publicGoodRoot } from '../root.ts';
import { parseTrustedRoot, type TrustedRoot } from '../sigstore.ts';
import { PREDICATES, predicateType } from '../statement.ts';
import { parseDuration } from './duration.ts';
import type { PolicyText, policySchema } from './schema.ts';
import type { Allowed, DriftPolicy, Exception, Policy, Requirement, Rule, Trusted } from './types.ts';

/** In bytes. */
const LIMIT = 1024 * 1024;

/** Reads a file that a policy names: a key or a trusted root. */
export type ReadText = (path: string) => Promise<string>;

/** The root that this user followed under a name (`public-good`, or what `tuf:` is written before); undefined where none was. */
export type FindRoot = (name: string) => Promise<TrustedRoot | undefined>;

/**
 * Reads a policy and the keys and roots it names, which lie relative to it.
 * @param followed without it `public-good` is the pinned one, and there are no others
 * @throws McpBuildError `policy-invalid`, `policy-unreadable`, and what keys and roots throw (`key-invalid`, `root-invalid`)
 */
export async function loadPolicy(path: string, followed?: FindRoot): Promise<Policy> {
  const readText = async (file: string) => (await readBounded(file, LIMIT)).toString('utf8');
  const text = await readText(path).catch((cause) => {
    throw new McpBuildError({
      code: 'policy-unreadable',
      message: `Policy ${path} can't be read: ${cause instanceof Error ? cause.message : cause}`,
      input: path,
      fix: 'Name a policy file, or write one with `mcp-build init`.',
      exit: 2,
      cause,
    });
  });
  return parsePolicy(text, path, (file) => readText(resolve(dirname(path), file)), followed);
}

/** @param name where the text comes from, for errors. @throws as `loadPolicy` does */
export async function parsePolicy(text: string, name: string, read: ReadText, followed?: FindRoot): Promise<Policy> {
  const said = await checked(await parseYaml(text, name), name);
  const trusted = await trustedOf(said, name, { text: read, root: followed ?? (async () => undefined) });
  const rules = said.rules.map((rule, at) => ruleOf(rule, trusted, `rules.${at}`, name));
  unique(
    rules.map((rule) => rule.name),
    'rules',
    name,
  );
  const exceptions = said.exceptions.map(({ expires, predicate, ...rest }, at): Exception => {
    const type = predicate === undefined ? undefined : typeOf(predicate, `exceptions.${at}`, name);
    return { ...rest, ...(type === undefined ? {} : { predicateType: type }), expires: Date.parse(expires) };
  });
  return { name, rules, exceptions, ...(said.vetting ? { vetting: said.vetting } : {}) };
}

async function parseYaml(text: string, name: string): Promise<unknown> {
  if (Buffer.byteLength(text) > LIMIT) throw invalid(name, `has more than ${LIMIT} bytes`);
  const { parseDocument } = await import('yaml');
  const document = parseDocument(text, { uniqueKeys: true, strict: true, stringKeys: true, merge: false });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) throw invalid(name, problem.message.split('\n')[0] ?? 'is not YAML');
  try {
    // Aliases could make a small file huge; a policy has no use for many.
    return document.toJS({ maxAliasCount: 20 }) as unknown;
  } catch (error) {
    throw invalid(name, error instanceof Error ? error.message : 'is not YAML');
  }
}

async function checked(value: unknown, name: string): Promise<PolicyText> {
  // Who has no policy, or runs what was verified before, needn't wait for it to be built.
  const { policyJsonSchema, policySchema } = await import('./schema.ts');
  const result = policySchema.safeParse(value);
  if (result.success) return result.data;
  // A slip in a field's name also leaves the field missing; the slip is what to say.
  const issues = result.error.issues.flatMap(branches);
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  const path = issue?.path.join('.') ?? '';
  if (issue?.code === 'unrecognized_keys') {
    const field = issue.keys[0] ?? '';
    const known = nearestField(policyJsonSchema(), field, issue.path);
    throw invalid(
      name,
      `has the unknown field ${[path, field].filter(Boolean).join('.')}`,
      known ? `Did you mean ${known}?` : undefined,
    );
  }
  if (path === 'rules' && typeof value === 'object' && value !== null && !('rules' in value)) {
    throw invalid(
      name,
      'has no rules',
      'Say whose images may start; with `rules: []` none may, which is right for a file that only --policy names for vetting.',
    );
  }
  throw invalid(name, `at ${path || 'its root'}: ${issue?.message ?? 'does not fit'}`);
}

type Issue = z.core.$ZodIssue;

/** Of a value that may have several forms, what is wrong with the form that it has; each form's own complaint where it has none of them. */
function branches(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const form = issue.errors.find((errors) =>
    errors.some(({ path, code }) => path.length > 0 || code === 'unrecognized_keys'),
  );
  return form ? form.flatMap((one) => branches({ ...one, path: [...issue.path, ...one.path] })) : [issue];
}

interface Readers {
  readonly text: ReadText;
  readonly root: FindRoot;
}

/** Before the name of a root that was followed by TUF. */
const FOLLOWED = 'tuf:';

async function trustedOf(said: PolicyText, name: string, read: Readers): Promise<ReadonlyMap<string, Trusted>> {
  const found = new Map<string, Trusted>();
  const seen = new Map<string, string>();
  const add = (trusted: Trusted, what: string): void => {
    if (found.has(trusted.name)) throw invalid(name, `calls two signers "${trusted.name}"`);
    // One key under two names would be two of a threshold's signers.
    const twin = seen.get(what);
    if (twin !== undefined) throw invalid(name, `names the same signer twice, as "${twin}" and as "${trusted.name}"`);
    seen.set(what, trusted.name);
    found.set(trusted.name, trusted);
  };
  for (const [called, key] of Object.entries(said.keys)) {
    const trusted = await keyOf(called, key, name, read);
    add(trusted, trusted.kind === 'key' ? trusted.key.id : '');
  }
  for (const [called, one] of Object.entries(said.identities)) {
    add(await identityOf(called, one, name, read), `${one.issuer} ${one.identity}`);
  }
  return found;
}

type KeyText = PolicyText['keys'][string];
type IdentityText = PolicyText['identities'][string];

async function keyOf(called: string, said: KeyText, name: string, read: Readers): Promise<Trusted> {
  const at = `keys.${called}`;
  if ((said.file === undefined) === (said.pem === undefined))
    throw invalid(name, `at ${at}: name a file or give a pem`);
  const from = said.from === undefined ? undefined : Date.parse(said.from);
  const until = said.until === undefined ? undefined : Date.parse(said.until);
  if (from !== undefined && until !== undefined && from >= until)
    throw invalid(name, `at ${at}: until is not after from`);
  const need = { logEntries: said.logEntries ?? 0, timestamps: said.timestamps ?? 0 };
  if (said.root === undefined && need.logEntries + need.timestamps > 0) {
    throw invalid(name, `at ${at}: log entries and timestamps need a root`);
  }
  const pem = said.pem ?? (await readNamed(said.file ?? '', at, name, read.text));
  const key: PublicKey = parsePublicKey(pem, said.file ?? at);
  return {
    kind: 'key',
    name: called,
    key,
    ...(from === undefined ? {} : { from }),
    ...(until === undefined ? {} : { until }),
    ...(said.root === undefined ? {} : { witnessed: { root: await rootOf(said.root, at, name, read), need } }),
  };
}

async function identityOf(called: string, said: IdentityText, name: string, read: Readers): Promise<Trusted> {
  const { issuer, identity, logEntries, certificateLogs, timestamps } = said;
  // Numbers: https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
  const claims: readonly (readonly [number, string | undefined])[] = [
    [11, said.runner],
    [12, said.repository],
    [14, said.ref],
    [15, said.repositoryId],
    [17, said.ownerId],
    [20, said.trigger],
  ];
  return {
    kind: 'identity',
    name: called,
    issuer,
    identity,
    claims: new Map(claims.filter((claim): claim is readonly [number, string] => claim[1] !== undefined)),
    root: await rootOf(said.root, `identities.${called}`, name, read),
    need: { logEntries, certificateLogs, timestamps },
  };
}

async function rootOf(root: string, at: string, name: string, read: Readers): Promise<TrustedRoot> {
  if (root === PUBLIC_GOOD) return (await read.root(root)) ?? publicGoodRoot();
  if (!root.startsWith(FOLLOWED)) return parseTrustedRoot(await readNamed(root, at, name, read.text), root);
  const called = root.slice(FOLLOWED.length);
  const found = await read.root(called);
  if (found) return found;
  throw invalid(
    name,
    `at ${at}: no trusted root was followed as ${called}`,
    `Follow it first: mcp-build trust update ${called} --mirror <url> --root <file>.`,
  );
}

async function readNamed(file: string, at: string, name: string, read: ReadText): Promise<string> {
  return read(file).catch((cause) => {
    throw invalid(name, `at ${at}: ${file} can't be read: ${cause instanceof Error ? cause.message : cause}`);
  });
}

function ruleOf(
  said: PolicyText['rules'][number],
  trusted: ReadonlyMap<string, Trusted>,
  at: string,
  name: string,
): Rule {
  const signersOf = (names: readonly string[], where: string): Trusted[] => {
    unique(names, where, name);
    return names.map((one) => {
      const known = trusted.get(one);
      if (known) return known;
      throw invalid(name, `at ${where}: there is no key or identity "${one}"`, closest(one, [...trusted.keys()]));
    });
  };
  const requirement = (type: string, by: readonly string[], threshold: number, where: string): Requirement => {
    const found = signersOf(by, where);
    if (threshold > found.length)
      throw invalid(name, `at ${where}: ${threshold} of ${found.length} signers can't be had`);
    return { predicateType: type, by: found, threshold };
  };
  const { by, threshold } = said.signatures;
  const require = said.require.map((one, index): Requirement => {
    const where = `${at}.require.${index}`;
    const made = requirement(typeOf(one.predicate, where, name), one.by ?? by, one.threshold, where);
    return one.maxAge === undefined ? made : { ...made, maxAge: milliseconds(one.maxAge) };
  });
  unique(
    require.map((one) => one.predicateType),
    `${at}.require`,
    name,
  );
  return {
    name: said.name,
    ...(said.images ? { images: said.images } : {}),
    ...(said.sources ? { sources: said.sources } : {}),
    signature: requirement(PREDICATES.signature, by, threshold, `${at}.signatures`),
    require,
    allow: allowedOf(said.allow),
    ...(said.drift === undefined ? {} : { drift: driftOf(said.drift) }),
  };
}

function driftOf(said: NonNullable<PolicyText['rules'][number]['drift']>): Partial<DriftPolicy> {
  return typeof said === 'string' ? { tools: said, prompts: said, resources: said, instructions: said } : said;
}

function allowedOf({ releaseAge, ...rest }: z.infer<typeof policySchema>['rules'][number]['allow']): Allowed {
  const { sources, advisories, permissions } = rest;
  return {
    ...(sources ? { sources } : {}),
    ...(advisories ? { advisories } : {}),
    ...(permissions ? { permissions } : {}),
    ...(releaseAge === undefined ? {} : { releaseAge: milliseconds(releaseAge) }),
  };
}

function typeOf(predicate: string, where: string, name: string): string {
  try {
    return predicateType(predicate);
  } catch {
    throw invalid(name, `at ${where}: "${predicate}" is not a predicate`, closest(predicate, Object.keys(PREDICATES)));
  }
}

/** The schema has seen that it is one. */
function milliseconds(duration: string): number {
  return parseDuration(duration) ?? 0;
}

function unique(names: readonly string[], where: string, policy: string): void {
  const twice = names.find((one, at) => names.indexOf(one) !== at);
  if (twice !== undefined) throw invalid(policy, `at ${where}: "${twice}" is there twice`);
}

function closest(word: string, known: readonly string[]): string | undefined {
  const found = nearest(word, known);
  return found ? `Did you mean ${found}?` : undefined;
}

function invalid(input: string, reason: string, fix?: string): McpBuildError {
  return new McpBuildError({
    code: 'policy-invalid',
    message: `Policy ${input} ${reason}`,
    input,
    fix: fix ?? 'See docs/policy.md for what a policy can say.',
    exit: 2,
  });
}
