import type { PublicKey } from './keys.ts';
import { PREDICATES } from './statement.ts';

/** Someone whose word counts. */
export type Trusted = TrustedKey;

export interface TrustedKey {
  readonly kind: 'key';
  /** As the policy calls it. */
  readonly name: string;
  readonly key: PublicKey;
  /** Milliseconds since 1970; outside of these its signatures don't count. */
  readonly from?: number;
  readonly until?: number;
}

export interface Requirement {
  readonly predicateType: string;
  readonly by: readonly Trusted[];
  /** How many different ones of `by` must have said it. */
  readonly threshold: number;
}

export interface Policy {
  readonly require: readonly Requirement[];
}

/** The policy of `verify --key`: a cosign signature by one of these keys, and nothing else asked. */
export function keyPolicy(keys: readonly PublicKey[]): Policy {
  const by = keys.map((key): TrustedKey => ({ kind: 'key', name: key.id, key }));
  return { require: [{ predicateType: PREDICATES.signature, by, threshold: 1 }] };
}
