import { z } from 'zod';
import { sha256 } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { type Launch, launchOf, runtimeArgumentsFit } from './launch.ts';
import { normalizeProject, parseSource, type Source } from './source.ts';

/**
 * The MCP Registry's `server.json` as a source: which package a server is, and how it is started. Whoever wrote it decides what a user
 * runs, so only what is understood whole is taken: a field that could change how a package starts is known here, or refused.
 *
 * Schema 2025-12-11; the ones before it differ in nothing that is read here.
 */
const SCHEMAS = /\/schemas\/(?:2025-09-29|2025-10-17|2025-12-11)\/server\.schema\.json$/;

/** In bytes. Real ones have a few thousand. */
export const SERVER_JSON_LIMIT = 1024 * 1024;

const text = z.string().max(4096);
const input = {
  description: z.string().max(16_384).optional(),
  isRequired: z.boolean().optional(),
  isSecret: z.boolean().optional(),
  format: z.enum(['string', 'number', 'boolean', 'filepath']).optional(),
  value: text.optional(),
  default: text.optional(),
  placeholder: text.optional(),
  choices: z.array(text).max(1000).optional(),
};
const withVariables = { ...input, variables: z.record(z.string().max(256), z.strictObject(input)).optional() };
const argument = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('positional'),
    valueHint: text.optional(),
    isRepeated: z.boolean().optional(),
    ...withVariables,
  }),
  z.strictObject({
    type: z.literal('named'),
    name: text.min(1),
    valueHint: text.optional(),
    isRepeated: z.boolean().optional(),
    ...withVariables,
  }),
]);
const variable = z.strictObject({ name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/), ...withVariables });
const list = <T extends z.ZodType>(item: T) => z.array(item).max(200).default([]).readonly();

const packageSchema = z.strictObject({
  registryType: z.string().min(1).max(64),
  /** Not followed: where bytes come from is the user's own configuration. */
  registryBaseUrl: text.optional(),
  identifier: z.string().min(1).max(1024),
  version: z.string().min(1).max(255).optional(),
  fileSha256: z
    .string()
    .regex(/^[a-f0-9]{64}$/)
    .optional(),
  runtimeHint: text.optional(),
  /** How it is reached; headers and addresses are of transports that are not taken. */
  transport: z.looseObject({ type: z.string().max(64) }),
  runtimeArguments: list(argument),
  packageArguments: list(argument),
  environmentVariables: list(variable),
});

// Titles, icons, remotes: nothing of them is used, and newer ones may have more.
const documentSchema = z.looseObject({
  $schema: text.regex(SCHEMAS, 'not the schema 2025-12-11'),
  name: z
    .string()
    .max(200)
    .regex(/^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/),
  version: z.string().min(1).max(255),
  packages: z.array(packageSchema).max(100).default([]).readonly(),
});

export type Argument = z.infer<typeof argument>;
export type Variable = z.infer<typeof variable>;
export type ServerPackage = z.infer<typeof packageSchema>;
export type ServerDocument = z.infer<typeof documentSchema>;

/** What one package of a `server.json` asks for. */
export interface ServerJson {
  readonly source: Source;
  readonly launch: Launch;
  /** SHA-256 that the package's file must have, in hex, where the document says. */
  readonly fileSha256?: string;
}

/**
 * @param where the document comes from, for errors @param wanted `npm`, `pypi`, or the identifier of one package, where it has several
 * @throws McpBuildError `server-json-invalid`, `server-json-unsupported`, `package-ambiguous`, `package-missing`
 */
export function readServerJson(bytes: Uint8Array, where: string, wanted?: string): ServerJson {
  const document = parseDocument(bytes, where);
  const chosen = choosePackage(document, where, wanted);
  const source = sourceOf(chosen, where);
  runtimeArgumentsFit(chosen, (what) => unsupported(where, what));
  return {
    source,
    launch: launchOf(document, chosen, sha256(bytes), (what) => unsupported(where, what)),
    ...(chosen.fileSha256 === undefined ? {} : { fileSha256: chosen.fileSha256 }),
  };
}

function parseDocument(bytes: Uint8Array, where: string): ServerDocument {
  if (bytes.length > SERVER_JSON_LIMIT) throw invalid(where, `has more than ${SERVER_JSON_LIMIT} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalid(where, 'is not JSON', cause);
  }
  // The registry's own answer wraps the document in what it knows of it.
  const wrapped = (value as { server?: unknown; $schema?: unknown } | null) ?? {};
  const own = wrapped.$schema === undefined && typeof wrapped.server === 'object' ? wrapped.server : value;
  const result = documentSchema.safeParse(own);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw invalid(where, `at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit the schema'}`);
}

function choosePackage({ packages }: ServerDocument, where: string, wanted: string | undefined): ServerPackage {
  const usable = packages.filter(
    ({ registryType, transport }) => (registryType === 'npm' || registryType === 'pypi') && transport.type === 'stdio',
  );
  const fitting = usable.filter(
    ({ registryType, identifier }) =>
      wanted === undefined || [registryType, identifier, `${registryType}:${identifier}`].includes(wanted),
  );
  const [first] = fitting;
  if (first && fitting.length === 1) return first;
  const names = (those: readonly ServerPackage[]) =>
    those.map(({ registryType, identifier }) => `${registryType}:${identifier}`).join(', ');
  if (first) {
    throw new McpBuildError({
      code: 'package-ambiguous',
      message: `${where} has several packages: ${names(fitting)}`,
      input: where,
      fix: 'Say which one with --package, as in --package npm or --package pypi:<project>.',
      exit: 2,
    });
  }
  const rest = packages.map(({ registryType, transport }) => `${registryType} over ${transport.type}`).join(', ');
  throw new McpBuildError({
    code: 'package-missing',
    message:
      usable.length > 0
        ? `${where} has no package ${wanted}, only ${names(usable)}`
        : `${where} has no npm or PyPI package that speaks over stdio${rest ? `, only ${rest}` : ''}`,
    input: wanted ?? where,
    fix: usable.length > 0 ? 'Name one of these with --package.' : 'Only such packages can be built.',
    exit: 2,
  });
}

function sourceOf({ registryType, identifier, version }: ServerPackage, where: string): Source {
  if (version === undefined) throw invalid(where, `names no version of ${identifier}`);
  // The registry takes exact versions only; a range here would be one that nobody has reviewed.
  if (!/^v?[0-9][A-Za-z0-9.+!_-]*$/.test(version)) throw invalid(where, `names "${version}", which is no one version`);
  if (registryType === 'npm') return parseSource(`npm:${identifier}@${version.replace(/^v/, '')}`);
  const { name, ...rest } = parseSource(`pypi:${identifier}==${version}`);
  return { ...rest, name: normalizeProject(name) };
}

function invalid(input: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'server-json-invalid',
    message: `${input} ${reason}`,
    input,
    fix: 'It must be a server.json of the MCP Registry, of the schema 2025-12-11.',
    exit: 2,
    ...(cause === undefined ? {} : { cause }),
  });
}

function unsupported(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'server-json-unsupported',
    message: `${input}: ${reason}`,
    input,
    fix: 'Name the package itself (npm:… or pypi:…), and give what it needs on the command line.',
    exit: 1,
  });
}
