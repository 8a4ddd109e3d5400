import type { Digest } from '../digest/index.ts';

/** Why an image can be refused. Stable: tests, scripts and policies' exceptions name them. */
export const CHECKS = [
  'content-mismatch',
  'unsigned',
  'attestation-missing',
  'predicate-mismatch',
  'subject-mismatch',
  'untrusted-signer',
  'attestation-expired',
  'predicate-conflict',
  'no-rule',
  'source-mismatch',
  'source-refused',
  'rollback',
  'too-new',
  'known-vulnerable',
  'permission-refused',
  'offer-unsigned',
] as const;

export type CheckId = (typeof CHECKS)[number];

export interface Check {
  /** Named after what it refuses, whether it passed or failed. */
  readonly id: CheckId;
  readonly status: 'pass' | 'fail';
  /** One sentence for people. */
  readonly detail: string;
  /** The predicate it is about, by its short name; absent where it is about the image as a whole. */
  readonly predicate?: string;
  /** The exception of the policy that turned a failure into a pass. */
  readonly exception?: { readonly reason: string; readonly expires: string };
}

/** What `verify --json` prints, and what `run` obeys. */
export interface Verdict {
  readonly subject: Digest;
  readonly verdict: 'pass' | 'fail';
  readonly checks: readonly Check[];
}

/** Passes only when something was checked and nothing failed. */
export function verdictOf(subject: Digest, checks: readonly Check[]): Verdict {
  const passed = checks.length > 0 && checks.every(({ status }) => status === 'pass');
  return { subject, verdict: passed ? 'pass' : 'fail', checks };
}

export function failures({ checks }: Verdict): readonly Check[] {
  return checks.filter(({ status }) => status === 'fail');
}
