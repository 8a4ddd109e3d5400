import { z } from 'zod';
import { PLATFORMS } from '../../../builders/index.ts';
import { DURATION } from '../../../trust/index.ts';

/** A reader refuses any other. */
export const MANIFEST_VERSION = 1;

const text = z.string().min(1).max(4096);
const name = z
  .string()
  .max(100)
  .regex(/^[a-z0-9]+(?:[._-][a-z0-9]+)*$/, 'write a name of lower-case letters and digits, with single . _ - between');
const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, 'write the name of a variable')
  .describe('Name of an environment variable.');
const age = z
  .union([z.literal(0), z.string().regex(DURATION)], { error: 'write a number and one of m, h, d, w, as in 3d, or 0' })
  .describe('As in 3d or 12h; 0 takes any release.');
const reason = z.string().min(10, 'say why, in ten characters or more').max(2000);
const instant = z.union([z.iso.date(), z.iso.datetime({ offset: true })], {
  error: 'write a date, as in 2027-01-31, or a time',
});
const packageName = z
  .string()
  .max(214)
  .regex(/^(?:@[a-z0-9][a-z0-9._-]*\/)?[A-Za-z0-9_][A-Za-z0-9._-]*$/, 'write the name of a package');
const version = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9.^~<>=*|!, +_-]+$/, 'write a version or a range');
const platforms = z.array(z.enum(PLATFORMS)).min(1).describe('Both by default.');
const base = text.describe('Any OCI image by digest instead of the built-in base.');
const value = z
  .union([z.string().max(4096), z.number(), z.boolean()], { error: 'write a string' })
  .describe(`\${VAR} and \${VAR:-default} are replaced. Published for everyone to read: no secrets.`);

const signer = z
  .union(
    [
      z.strictObject({ key: text.describe('File of a private key (PKCS#8 or cosign’s).') }),
      z.strictObject({
        keyless: z.literal(true).describe('As the identity of the CI job.'),
        signingConfig: text.optional().describe('Services to sign with; the public ones by default.'),
        identityToken: text.optional().describe('File of an OpenID token, instead of the CI’s.'),
      }),
      z.strictObject({ exec: text.describe('A program that signs, for a key in a KMS or HSM.') }),
    ],
    { error: 'name one signer: key, keyless: true, or exec' },
  )
  .describe('What signs; by default the key that `mcp-build init` made.');

const permissions = z
  .strictObject({
    network: z
      .union([z.enum(['none', 'all']), z.array(text).min(1).max(200)], {
        error: 'write none, all, or a list of host:port',
      })
      .default('none'),
    volumes: z
      .array(
        z.strictObject({
          path: text.describe('Absolute; the same inside as outside.'),
          mode: z.enum(['ro', 'rw']).default('ro'),
        }),
      )
      .max(50)
      .default([]),
  })
  .describe('The widest the server may be given, as signed. Its variables are those of env and secrets.');

const secret = z.union(
  [
    variable,
    z.strictObject({
      name: variable,
      description: z.string().max(4096).optional(),
      required: z.boolean().default(true),
    }),
  ],
  { error: 'write the name of a variable; values never stand in a manifest' },
);

const test = z
  .union(
    [
      z.strictObject({
        args: z.array(z.string().max(4096)).max(200).optional().describe('Instead of the server’s own.'),
        env: z.record(variable, value).optional().describe('Dummies for what it requires to start.'),
      }),
      z.strictObject({ skip: reason.describe('Why it can’t be started for a test.') }),
    ],
    { error: 'write args and env to test it with, or skip with a reason' },
  )
  .describe('How it is started, without network, before it is published.');

const server = z.strictObject({
  source: text.describe('npm:<package>[@range] or pypi:<project>[specifier].'),
  file: text
    .regex(/\.(?:tgz|whl)$/, 'name an npm tarball (.tgz) or a wheel (.whl)')
    .optional()
    .describe('An npm tarball or wheel below this folder that is this package, which no index is then asked for.'),
  bin: text.optional().describe('Which command of the package to start, where it has several.'),
  args: z.array(value).max(200).optional().describe('What it is started with when the user gives no arguments.'),
  env: z.record(variable, value).optional().describe('Variables with their default values.'),
  secrets: z.array(secret).max(200).optional().describe('Variables whose values only the user has.'),
  permissions: permissions.optional(),
  test: test.optional(),
  system: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9+.-]{1,99}$/, 'write the name of a Debian package'))
    .max(50)
    .optional()
    .describe('Debian packages that it starts or loads.'),
  overrides: z
    .array(z.strictObject({ package: packageName, version, reason }))
    .max(100)
    .optional()
    .describe('Versions of dependencies that are taken whatever their dependents ask for.'),
  releaseAge: age.optional(),
  releaseAgeExceptions: z
    .array(z.strictObject({ package: packageName, version, reason, expires: instant }))
    .max(100)
    .optional()
    .describe('Releases that are taken although they are young.'),
  platforms: platforms.optional(),
  base: base.optional(),
  bytecode: z.boolean().optional().describe('Python byte-code; by default where this machine can compile it.'),
  transport: z
    .enum(['stdio', 'http'], { error: 'write stdio or http' })
    .optional()
    .describe('http: the image serves Streamable HTTP, for a cluster; stdio by default.'),
  stateless: z.boolean().optional().describe('Any instance can answer any request: a cluster may run several.'),
});

export const manifestSchema = z
  .strictObject({
    version: z.literal(MANIFEST_VERSION, { error: `write version: ${MANIFEST_VERSION}` }),
    registry: text
      .optional()
      .describe('Where publish pushes to, as in registry.example.com/mcp; each server is a repository below it.'),
    policy: text.optional().describe('The policy that what is published must satisfy; relative to this file.'),
    signer: signer.optional(),
    releaseAge: age.optional(),
    platforms: platforms.optional(),
    base: base.optional(),
    spdx: z.boolean().optional().describe('Attach an SPDX bill of materials, too.'),
    tags: z
      .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9._-]{0,127}$/, 'write a tag'))
      .max(10)
      .optional()
      .describe('Further tags that move with each publish, as latest.'),
    servers: z.record(name, server),
  })
  .meta({
    title: 'mcp-build manifest',
    description: 'The MCP servers that a team allows, and how they are built, signed and published.',
  });

export type ManifestText = z.infer<typeof manifestSchema>;
export type ServerText = ManifestText['servers'][string];

/** What editors check an mcp-build.yaml with; `manifest.schema.json` holds it. */
export function manifestJsonSchema(): object {
  return z.toJSONSchema(manifestSchema, { io: 'input', target: 'draft-2020-12' });
}
