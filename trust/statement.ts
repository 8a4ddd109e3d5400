import { z } from 'zod';
import { type Digest, hexOf } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { IN_TOTO } from './dsse.ts';

/** An in-toto Statement v1: `predicate`, of the form `predicateType` names, is said of each subject. */
export interface Statement {
  readonly _type: string;
  readonly subject: readonly Subject[];
  readonly predicateType: string;
  readonly predicate: unknown;
}

export interface Subject {
  readonly name?: string | undefined;
  readonly digest: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, unknown>> | undefined;
}

const STATEMENT_V1 = 'https://in-toto.io/Statement/v1';

/** What a predicate is called in a policy and on the command line. */
export const PREDICATES = {
  signature: 'https://sigstore.dev/cosign/sign/v1',
  provenance: 'https://slsa.dev/provenance/v1',
  cyclonedx: 'https://cyclonedx.org/bom',
  spdx: 'https://spdx.dev/Document',
  vulns: 'https://in-toto.io/attestation/vulns/v0.1',
  summary: 'https://slsa.dev/verification_summary/v1',
  // A URN: it needs no host that someone else could come to own.
  server: 'urn:mcp-build:server:v1',
} as const;

export type PredicateName = keyof typeof PREDICATES;

/** The URI of a predicate by its short name; a URI is itself. @throws McpBuildError `predicate-unknown` */
export function predicateType(name: string): string {
  if (Object.hasOwn(PREDICATES, name)) return PREDICATES[name as PredicateName];
  if (/^(?:https?:\/\/|urn:)[^\s]{1,500}$/.test(name)) return name;
  throw new McpBuildError({
    code: 'predicate-unknown',
    message: `"${name}" is not the name of a predicate`,
    input: name,
    fix: `Write one of ${Object.keys(PREDICATES).join(', ')}, or the URI of a predicate type.`,
    exit: 2,
  });
}

export function predicateName(type: string): string {
  return Object.entries(PREDICATES).find(([, uri]) => uri === type)?.[0] ?? type;
}

const schema = z.object({
  // v0.1 differs in the name only; npm's publish attestations and older tools still write it.
  _type: z.enum([STATEMENT_V1, 'https://in-toto.io/Statement/v0.1']),
  subject: z
    .array(
      z.object({
        name: z.string().optional(),
        digest: z.record(z.string(), z.string()),
        annotations: z.record(z.string(), z.unknown()).optional(),
      }),
    )
    .min(1)
    .max(1000),
  predicateType: z.string().min(1).max(1000),
  predicate: z.unknown(),
});

export function statement(digests: readonly Digest[], type: string, predicate: unknown): Statement {
  const subject = digests.map((digest) => ({ digest: { sha256: hexOf(digest) } }));
  return { _type: STATEMENT_V1, subject, predicateType: type, predicate };
}

/** The statement in a payload; undefined for anything else, which then says nothing. */
export function readStatement(payloadType: string, payload: Uint8Array): Statement | undefined {
  if (payloadType !== IN_TOTO) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(payload);
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

export function isAbout(said: Statement, digest: Digest): boolean {
  return said.subject.some((subject) => subject.digest.sha256 === hexOf(digest));
}
