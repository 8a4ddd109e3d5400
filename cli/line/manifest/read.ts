import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { type Document, LineCounter, parseDocument } from 'yaml';
import { type Base, PLATFORMS, parseSource, type Source } from '../../../builders/index.ts';
import { isFault, McpBuildError, nearestField } from '../../../errors/index.ts';
import { type Permissions, parsePermissions } from '../../../runner/index.ts';
import { parseDuration } from '../../../trust/index.ts';
import { parseBase } from '../base.ts';
import { offsetOf, placeOf } from './position.ts';
import { type ManifestText, manifestJsonSchema, manifestSchema, type ServerText } from './schema.ts';
import type { Manifest, ManifestSigner, ServerEntry, TestSettings } from './types.ts';
import { hasVariables, looksLikeToken, namesSecret, variablesOf } from './variables.ts';

/** In bytes. */
export const MANIFEST_LIMIT = 1024 * 1024;
/** Of problems that are told at once. */
const TOLD = 10;

interface Problem {
  readonly path: readonly PropertyKey[];
  /** Of the map at `path`, where the field itself is what is wrong. */
  readonly field?: string;
  readonly message: string;
  readonly fix?: string;
  readonly code?: string;
  /** The field that a slip was most likely meant to be. */
  readonly meant?: string;
}

/**
 * Reads a manifest. Every problem is told with its line and column.
 * @param file where the text comes from: names it in errors, and paths in it are relative to its folder.
 * @throws McpBuildError `manifest-invalid`, `manifest-secret` for what looks like a secret where it would be published,
 * `permission-refused` for what no server is ever given
 */
export function parseManifest(text: string, file: string): Manifest {
  const { document, counter } = parseYaml(text, file);
  const refuse = (problems: readonly Problem[]): never => {
    const at = (problem: Problem) => offsetOf(document, problem.path, problem.field);
    const inOrder = problems.toSorted((a, b) => at(a) - at(b));
    throw invalid(file, inOrder, (problem) => placeOf(counter, at(problem)));
  };
  let value: unknown;
  try {
    // Aliases could make a small file huge; a manifest has use for a few.
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return refuse([{ path: [], message: error instanceof Error ? error.message : 'is not YAML' }]);
  }
  const forbidden = refusedPermissions(value);
  if (forbidden.length > 0) return refuse(forbidden);
  const result = manifestSchema.safeParse(value);
  if (!result.success) return refuse(withoutEchoes(result.error.issues.flatMap(problemsOf)));
  const problems: Problem[] = [];
  const manifest = manifestOf(result.data, file, problems);
  if (problems.length > 0) return refuse(problems);
  return manifest;
}

function parseYaml(text: string, file: string): { document: Document; counter: LineCounter } {
  if (Buffer.byteLength(text) > MANIFEST_LIMIT) {
    throw invalid(file, [{ path: [], message: `has more than ${MANIFEST_LIMIT} bytes` }], () => '1:1');
  }
  const counter = new LineCounter();
  const document = parseDocument(text, {
    ...{ uniqueKeys: true, strict: true, stringKeys: true, merge: false, prettyErrors: false },
    lineCounter: counter,
  });
  const problems = [...document.errors, ...document.warnings];
  if (problems.length > 0) {
    const places = new Map(problems.map((one) => [one.message, placeOf(counter, one.pos[0])]));
    const fix = text.includes(`\${`)
      ? { fix: `Between { and }, or [ and ], quote what holds a variable: "\${NAME}".` }
      : {};
    const told = problems.map(({ message }) => ({ path: [], message, ...fix }));
    throw invalid(file, told, ({ message }) => places.get(message) ?? '1:1');
  }
  return { document, counter };
}

/** Before the schema: whoever asks to be let out should read that this is never given, not that a field is unknown. */
function refusedPermissions(value: unknown): Problem[] {
  const servers = (value as { servers?: unknown } | null)?.servers;
  if (typeof servers !== 'object' || servers === null) return [];
  return Object.entries(servers).flatMap(([name, entry]: [string, unknown]) => {
    const permissions = (entry as { permissions?: unknown } | null)?.permissions;
    try {
      parsePermissions(permissions ?? {});
      return [];
    } catch (error) {
      if (!isFault(error, 'permission-refused')) return [];
      const field = error.input?.split(':')[0] ?? '';
      const { message, code, fix } = error;
      return [{ path: ['servers', name, 'permissions'], field, message, code, ...(fix ? { fix } : {}) }];
    }
  });
}

type Issue = Parameters<typeof problemsOf>[0];

function problemsOf(issue: {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
  readonly errors?: readonly (readonly Issue[])[];
}): Problem[] {
  const { path, code, keys, errors, message } = issue;
  if (code === 'unrecognized_keys') {
    return (keys ?? []).map((field) => {
      const known = nearestField(manifestJsonSchema(), field, path);
      return {
        path,
        field,
        message: `${dotted([...path, field])} is not a field${known ? `; did you mean ${known}?` : ''}`,
        ...(known ? { meant: dotted([...path, known]) } : {}),
      };
    });
  }
  // Of several forms the one that is wrong in a single field's name is the one that was meant.
  const slip = (errors ?? []).find(([one, ...more]) => more.length === 0 && one && isSlip(one, path));
  if (code === 'invalid_union' && slip?.[0]) return problemsOf({ ...slip[0], path: [...path, ...slip[0].path] });
  const missing = code === 'invalid_type' && /received undefined$/.test(message);
  const known =
    code === 'invalid_key' ? 'write a name of lower-case letters and digits, with single . _ - between' : message;
  return [{ path, message: `${dotted(path)}: ${missing ? 'is missing' : known}` }];
}

/** A name that no form has, near one that some form has. */
function isSlip({ code, keys, path }: Issue, above: readonly PropertyKey[]): boolean {
  const [field] = keys ?? [];
  if (code !== 'unrecognized_keys' || field === undefined) return false;
  const known = nearestField(manifestJsonSchema(), field, [...above, ...path]);
  return known !== undefined && known !== field;
}

/** A slip in a field's name also leaves the field missing; the slip is what to say. */
function withoutEchoes(problems: readonly Problem[]): readonly Problem[] {
  const meant = new Set(problems.flatMap((one) => one.meant ?? []));
  return problems.filter(({ path, field }) => field !== undefined || !meant.has(dotted(path)));
}

function manifestOf(said: ManifestText, file: string, problems: Problem[]): Manifest {
  const folder = dirname(resolve(file));
  const { registry, policy, signer, spdx, tags, servers } = said;
  if (registry !== undefined) checkVariables(registry, ['registry'], problems);
  plainOnly(policy, ['policy'], problems);
  const { version: _v, ...defaults } = said;
  return {
    file,
    folder,
    ...(registry === undefined ? {} : { registry }),
    ...(policy === undefined ? {} : { policy: resolve(folder, policy) }),
    ...(signer === undefined ? {} : { signer: signerOf(signer, folder) }),
    spdx: spdx === true,
    tags: tags ?? [],
    servers: Object.entries(servers).flatMap(([name, server]) => {
      const entry = entryOf(name, server, { ...defaults, folder }, problems);
      return entry ? [entry] : [];
    }),
  };
}

function signerOf(said: NonNullable<ManifestText['signer']>, folder: string): ManifestSigner {
  if ('key' in said) return { kind: 'key', file: resolve(folder, said.key) };
  if ('exec' in said) return { kind: 'exec', command: said.exec };
  return {
    kind: 'keyless',
    ...(said.signingConfig === undefined ? {} : { signingConfig: resolve(folder, said.signingConfig) }),
    ...(said.identityToken === undefined ? {} : { identityToken: resolve(folder, said.identityToken) }),
  };
}

type Defaults = Pick<ManifestText, 'releaseAge' | 'platforms' | 'base'> & { readonly folder: string };

function entryOf(name: string, said: ServerText, defaults: Defaults, problems: Problem[]): ServerEntry | undefined {
  const path = ['servers', name];
  const secrets = (said.secrets ?? []).map((one) => (typeof one === 'string' ? { name: one, required: true } : one));
  const env = strings(said.env ?? {});
  const source = sourceOf(said.source, [...path, 'source'], problems);
  const file = fileOf(said.file, defaults.folder, [...path, 'file'], problems);
  const args = (said.args ?? []).map(String);
  for (const [at, arg] of args.entries()) checkPublished(arg, [...path, 'args', at], problems);
  for (const [key, value] of Object.entries(env)) {
    checkPublished(value, [...path, 'env', key], problems);
    if (namesSecret(key) && value !== '')
      problems.push(secretIn([...path, 'env', key], `its name says that ${key} is a secret`));
    if (secrets.some((one) => one.name === key))
      problems.push({
        path: [...path, 'env', key],
        message: `${dotted([...path, 'env', key])}: is among its secrets, too`,
      });
  }
  const names = secrets.map((one) => one.name);
  names.forEach((one, at) => {
    if (names.indexOf(one) !== at)
      problems.push({ path: [...path, 'secrets', at], message: `${dotted([...path, 'secrets'])}: names ${one} twice` });
  });
  const permissions = permissionsOf(said, [...Object.keys(env), ...names], path, problems);
  const base = baseOf(said.base ?? defaults.base, said.base === undefined ? ['base'] : [...path, 'base'], problems);
  const age = said.releaseAge ?? defaults.releaseAge;
  if (!source || !permissions) return undefined;
  return {
    name,
    source,
    ...(file === undefined ? {} : { file }),
    ...(said.bin === undefined ? {} : { bin: said.bin }),
    args,
    env,
    secrets: secrets.map(({ name: called, required, ...rest }) => ({
      name: called,
      required,
      ...('description' in rest && rest.description !== undefined ? { description: rest.description } : {}),
    })),
    permissions,
    test: testOf(said.test, path, problems),
    system: said.system ?? [],
    overrides: said.overrides ?? [],
    ...(age === undefined ? {} : { releaseAge: days(age) }),
    releaseAgeExceptions: (said.releaseAgeExceptions ?? []).map((one) => ({
      ...one,
      expires: Date.parse(one.expires),
    })),
    platforms: [...new Set(said.platforms ?? defaults.platforms ?? PLATFORMS)],
    ...(base === undefined ? {} : { base }),
    ...(said.bytecode === undefined ? {} : { bytecode: said.bytecode }),
    ...(said.stateless === true ? { stateless: true } : {}),
    ...(said.transport === 'http' ? { transport: said.transport } : {}),
  };
}

function sourceOf(text: string, path: readonly PropertyKey[], problems: Problem[]): Source | undefined {
  if (plainOnly(text, path, problems)) return told(() => parseSource(text), path, problems);
  return undefined;
}

/** Below the manifest's folder, so that whoever has the manifest has the file. */
function fileOf(
  text: string | undefined,
  folder: string,
  path: readonly PropertyKey[],
  problems: Problem[],
): string | undefined {
  if (text === undefined || !plainOnly(text, path, problems)) return undefined;
  const within = relative(folder, resolve(folder, text));
  if (!isAbsolute(text) && within !== '..' && !within.startsWith(`..${sep}`) && !isAbsolute(within))
    return resolve(folder, text);
  problems.push({
    path,
    message: `${dotted(path)}: ${text} does not lie below the folder of the manifest`,
    fix: 'Put the file beside the manifest, and commit both.',
  });
  return undefined;
}

function baseOf(text: string | undefined, path: readonly PropertyKey[], problems: Problem[]): Base | undefined {
  if (text === undefined || !plainOnly(text, path, problems)) return undefined;
  return told(() => parseBase(text), path, problems);
}

function permissionsOf(
  said: ServerText,
  environment: readonly string[],
  path: readonly PropertyKey[],
  problems: Problem[],
): Permissions | undefined {
  return told(
    () => parsePermissions({ ...said.permissions, environment }, dotted([...path, 'permissions'])),
    [...path, 'permissions'],
    problems,
  );
}

function testOf(said: ServerText['test'], path: readonly PropertyKey[], problems: Problem[]): TestSettings {
  if (said === undefined) return { kind: 'run', env: {} };
  if ('skip' in said) return { kind: 'skip', reason: said.skip };
  const env = strings(said.env ?? {});
  for (const [key, value] of Object.entries(env)) checkVariables(value, [...path, 'test', 'env', key], problems);
  for (const [at, arg] of (said.args ?? []).entries()) checkVariables(arg, [...path, 'test', 'args', at], problems);
  return { kind: 'run', ...(said.args === undefined ? {} : { args: said.args }), env };
}

/** What is signed and attached to an image is read by whoever may pull it. */
function checkPublished(text: string, path: readonly PropertyKey[], problems: Problem[]): void {
  if (looksLikeToken(text)) problems.push(secretIn(path, 'it looks like a token or a key'));
  const names = checkVariables(text, path, problems);
  const secret = names.find(namesSecret);
  if (secret !== undefined) problems.push(secretIn(path, `its name says that \${${secret}} is a secret`));
}

function secretIn(path: readonly PropertyKey[], why: string): Problem {
  return {
    path,
    code: 'manifest-secret',
    message: `${dotted(path)}: ${why}, and what stands here is published`,
    fix: 'List the variable under secrets, where only its name stands; who runs the server gives the value.',
  };
}

function checkVariables(text: string, path: readonly PropertyKey[], problems: Problem[]): readonly string[] {
  const names = variablesOf(text);
  if (!('problem' in names)) return names;
  problems.push({ path, message: `${dotted(path)}: ${names.problem}` });
  return [];
}

/** What decides which packages are taken must be the same on every machine. */
function plainOnly(text: string | undefined, path: readonly PropertyKey[], problems: Problem[]): boolean {
  if (text === undefined || !hasVariables(text)) return true;
  problems.push({ path, message: `${dotted(path)}: no variables are replaced here` });
  return false;
}

function told<T>(parse: () => T, path: readonly PropertyKey[], problems: Problem[]): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!isFault(error)) throw error;
    problems.push({ path, message: `${dotted(path)}: ${error.message}`, ...(error.fix ? { fix: error.fix } : {}) });
    return undefined;
  }
}

function strings(values: Readonly<Record<string, string | number | boolean>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, String(value)]));
}

/** The schema has seen that it is a duration. */
function days(age: 0 | string): number {
  return age === 0 ? 0 : (parseDuration(age) ?? 0) / 86_400_000;
}

function dotted(path: readonly PropertyKey[]): string {
  return path.length === 0 ? 'the manifest' : path.map(String).join('.');
}

function invalid(file: string, problems: readonly Problem[], place: (problem: Problem) => string): McpBuildError {
  const lines = problems.slice(0, TOLD).map((problem) => `${file}:${place(problem)}: ${problem.message}`);
  if (problems.length > TOLD) lines.push(`and ${problems.length - TOLD} more`);
  const [first] = problems;
  return new McpBuildError({
    code: first?.code ?? 'manifest-invalid',
    message: lines.join('\n'),
    input: file,
    fix:
      first?.fix ??
      'docs/manifest.md says what a manifest can hold; `mcp-build manifest schema` prints a schema for editors.',
    exit: first?.code === 'permission-refused' ? 3 : 2,
  });
}
