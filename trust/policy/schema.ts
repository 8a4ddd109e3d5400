import { z } from 'zod';
import { isDigest } from '../../digest/index.ts';
import { SEVERITIES } from '../predicate/vulns.ts';
import { PREDICATES } from '../statement.ts';
import { DURATION } from './duration.ts';
import { vettingSchema } from './vetting.ts';

/** A reader refuses any other. */
export const POLICY_VERSION = 1;

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$/, 'write a name of letters, digits, spaces and . _ -');
const text = z.string().min(1).max(2000);
const pattern = text.describe('A name in which * stands for anything within a segment, and ** for anything.');
const patterns = z.array(pattern).min(1).max(1000);
const duration = z
  .string()
  .regex(DURATION, 'write a number and one of m, h, d, w, as in 30d')
  .describe('As in 12h or 30d.');
const instant = z
  .union([z.iso.date(), z.iso.datetime({ offset: true })])
  .describe('A date, which means midnight UTC, or a time, as in 2027-01-31 or 2027-01-31T12:00:00Z.');
const file = text.describe('A path, relative to the policy file.');
const count = z.int().min(0).max(10);

const key = z
  .strictObject({
    file: file.optional(),
    pem: text.optional().describe('The PEM itself, instead of a file.'),
    from: instant.optional(),
    until: instant
      .optional()
      .describe('From then on its signatures no longer count, unless a timestamp shows that they are older.'),
    root: file
      .optional()
      .describe(
        'trusted_root.json, or `tuf:NAME`, of the log and timestamp authority that must have seen its signatures.',
      ),
    logEntries: count.optional(),
    timestamps: count.optional(),
  })
  .describe('A public key: EC P-256, Ed25519 or RSA.');

const identity = z
  .strictObject({
    issuer: text.describe('Of the OpenID token, exactly.'),
    identity: text.describe(
      'The subject alternative name of the certificate, exactly: an e-mail address or the URI of a workflow.',
    ),
    root: z
      .union([z.literal('public-good'), file])
      .describe(
        '`public-good`, the root of the public Sigstore instance; a trusted_root.json; or `tuf:NAME`, what `mcp-build trust update NAME` follows.',
      ),
    repository: text.optional().describe('URI of the source repository.'),
    repositoryId: z
      .string()
      .regex(/^[0-9]{1,20}$/)
      .optional()
      .describe('Stays the same when a repository is renamed, and a new owner of the name gets another.'),
    ownerId: z
      .string()
      .regex(/^[0-9]{1,20}$/)
      .optional(),
    ref: text.optional().describe('As in refs/heads/main.'),
    runner: text.optional().describe('The kind of machine, as in github-hosted.'),
    trigger: text.optional().describe('The event that started the build, as in push.'),
    logEntries: count.default(1),
    certificateLogs: count.default(1),
    timestamps: count.min(1).default(1),
  })
  .describe('An identity that a certificate authority vouches for.');

const signers = z.array(name).min(1).max(100).describe('Names of keys and identities.');
const threshold = z.int().min(1).max(100).default(1).describe('How many different ones of them.');

const requirement = z.strictObject({
  predicate: text.describe('provenance, cyclonedx, spdx, vulns, summary, server, or the URI of a predicate type.'),
  by: signers.optional().describe('Who must say it; whoever must sign, by default.'),
  threshold,
  maxAge: duration.optional(),
});

const permissions = z
  .strictObject({
    network: z.union([z.enum(['none', 'all']), z.array(pattern).min(1).max(200)]).default('none'),
    volumes: z
      .array(
        z.strictObject({
          path: text.describe('This folder and all below it.'),
          mode: z.enum(['ro', 'rw']).default('ro'),
        }),
      )
      .max(100)
      .default([]),
    environment: z.array(pattern).max(200).default([]),
  })
  .describe('The widest permissions a server may declare.');

const onDrift = z.enum(['block', 'warn']);
const drift = z
  .union([
    onDrift,
    z.strictObject({
      tools: onDrift.exactOptional(),
      prompts: onDrift.exactOptional(),
      resources: onDrift.exactOptional(),
      instructions: onDrift.exactOptional(),
    }),
  ])
  .describe(
    'When a running server offers something else than what was signed: block stops it, warn says so. By default tools, prompts and instructions are blocked, resources warned of. What it says to block must have been signed.',
  );

const rule = z.strictObject({
  name,
  images: patterns.optional().describe('Image names it is for, without tag and digest.'),
  sources: patterns.optional().describe('Sources it is for, as in npm:@example/*.'),
  signatures: z.strictObject({ by: signers, threshold }),
  require: z.array(requirement).max(50).default([]),
  allow: z
    .strictObject({
      sources: patterns.optional(),
      releaseAge: duration.optional().describe('How long every file of the image must have been public.'),
      advisories: z
        .enum(SEVERITIES)
        .optional()
        .describe('The worst severity that is put up with. Needs a vulns attestation.'),
      permissions: permissions.optional(),
    })
    .default({}),
  drift: drift.optional(),
});

/** Checks that an exception may turn around. What says who made an image and that it is whole can't be waved through, but for one digest. */
export const EXCUSABLE = [
  'unsigned',
  'attestation-missing',
  'attestation-expired',
  'source-refused',
  'rollback',
  'too-new',
  'known-vulnerable',
  'permission-refused',
  'offer-unsigned',
] as const;

const exception = z
  .strictObject({
    check: z.enum(EXCUSABLE),
    image: pattern.exactOptional(),
    source: pattern.exactOptional(),
    version: text.exactOptional(),
    digest: z.string().refine(isDigest, 'not a sha256 digest').exactOptional(),
    predicate: text.exactOptional().describe('Which predicate may be missing or expired.'),
    advisory: text.exactOptional().describe('Only this advisory.'),
    reason: z.string().min(10, 'say why, in ten characters or more').max(2000),
    expires: instant,
  })
  .refine((one) => one.image ?? one.source ?? one.digest, 'say what for: image, source or digest')
  .refine((one) => !one.check.startsWith('attestation-') || one.predicate, 'say which predicate')
  .refine(
    // Without it nobody knows what server it is, and source, age, rollback and permissions could not be judged at all.
    (one) => one.predicate === undefined || ![PREDICATES.server, 'server'].includes(one.predicate),
    'a server predicate has no exception',
  )
  .refine((one) => one.check !== 'unsigned' || one.digest, 'an unsigned image is only accepted by its digest');

export const policySchema = z
  .strictObject({
    version: z.literal(POLICY_VERSION),
    keys: z.record(name, key).default({}),
    identities: z.record(name, identity).default({}),
    rules: z.array(rule).max(1000).describe('The first that matches decides. Where none does, the answer is no.'),
    exceptions: z.array(exception).max(1000).default([]),
    vetting: vettingSchema.optional(),
  })
  .meta({ title: 'mcp-build policy', description: 'Who may sign what, and what it takes for an image to be started.' });

export type PolicyText = z.infer<typeof policySchema>;

/** What editors check a policy.yaml with; `policy.schema.json` holds it. */
export function policyJsonSchema(): object {
  return z.toJSONSchema(policySchema, { io: 'input', target: 'draft-2020-12' });
}
