import type { Bundle } from './bundle.ts';
import { type TrustedRoot, verifyCertificate } from './sigstore.ts';
import { readStatement, type Statement } from './statement.ts';

/** Where something was built, by a certificate that was verified, and what was said there. */
export interface AttestedOrigin {
  readonly statement: Statement;
  /** Issuer of the token that the builder showed. */
  readonly issuer: string;
  /** URI of the source repository. */
  readonly repository: string;
  /** URI of the workflow, with its ref. */
  readonly workflow: string | undefined;
}

/**
 * Verifies somebody else's attestation: that a certificate of the given root, seen by its logs, made the signature. Whose certificate may
 * be is for the caller to judge, as is what the statement is about.
 * @returns the origin, or in one sentence why there is none
 */
export function originOf(bundle: Bundle, root: TrustedRoot): AttestedOrigin | string {
  if (bundle.material.kind !== 'certificate') return 'it is not signed with a certificate';
  const proven = verifyCertificate(bundle.json, root, { logEntries: 1, certificateLogs: 1, timestamps: 1 });
  if (typeof proven === 'string') return proven;
  const statement = readStatement(bundle.envelope.payloadType, bundle.envelope.payload);
  if (!statement) return 'it holds no in-toto statement';
  // https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
  const repository = proven.extensions.get(12);
  if (proven.issuer === undefined || repository === undefined) return 'its certificate names no source repository';
  return { statement, issuer: proven.issuer, repository, workflow: proven.extensions.get(18) };
}
