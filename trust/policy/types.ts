import type { PublicKey } from '../keys.ts';
import type { Permissions } from '../predicate/server.ts';
import type { Severity } from '../predicate/vulns.ts';
import type { Testimonies, TrustedRoot } from '../sigstore.ts';
import type { CheckId } from '../verdict.ts';
import type { VettingRules } from './vetting.ts';

/** Someone whose word counts. */
export type Trusted = TrustedKey | TrustedIdentity;

export interface TrustedKey {
  readonly kind: 'key';
  /** As the policy calls it. */
  readonly name: string;
  readonly key: PublicKey;
  /** Milliseconds since 1970. Outside of these its signatures don't count. */
  readonly from?: number;
  readonly until?: number;
  /** Where log entries or timestamps are asked for: whose count, and how many. */
  readonly witnessed?: { readonly root: TrustedRoot; readonly need: Pick<Testimonies, 'logEntries' | 'timestamps'> };
}

export interface TrustedIdentity {
  readonly kind: 'identity';
  readonly name: string;
  /** Compared as whole strings, never as patterns. */
  readonly issuer: string;
  readonly identity: string;
  /** Fulcio extensions that must have exactly these values, by the last number of their OID. */
  readonly claims: ReadonlyMap<number, string>;
  readonly root: TrustedRoot;
  readonly need: Testimonies;
}

export interface Requirement {
  readonly predicateType: string;
  readonly by: readonly Trusted[];
  /** How many different ones of `by` must have said it. */
  readonly threshold: number;
  /** Milliseconds since it was said. */
  readonly maxAge?: number;
}

export interface Allowed {
  /** Patterns of `npm:<name>` and `pypi:<name>`. */
  readonly sources?: readonly string[];
  /** Milliseconds that the newest file of the image must have been public for. */
  readonly releaseAge?: number;
  /** The worst severity that is put up with. */
  readonly advisories?: Severity;
  /** The widest that a server may declare. */
  readonly permissions?: Permissions;
}

/** What follows when a running server offers something else than what was signed: it is stopped, or its user is told. */
export type OnDrift = 'block' | 'warn';

export interface DriftPolicy {
  readonly tools: OnDrift;
  readonly prompts: OnDrift;
  /** Templates of resources, too. */
  readonly resources: OnDrift;
  readonly instructions: OnDrift;
}

/** Where a rule doesn't say. Resources are a server's data as often as its interface: a new row in a database is no attack. */
export const DEFAULT_DRIFT: DriftPolicy = {
  tools: 'block',
  prompts: 'block',
  resources: 'warn',
  instructions: 'block',
};

export interface Rule {
  readonly name: string;
  /** Patterns; undefined matches everything. */
  readonly images?: readonly string[];
  readonly sources?: readonly string[];
  /** Who must have signed the image itself. */
  readonly signature: Requirement;
  readonly require: readonly Requirement[];
  readonly allow: Allowed;
  /** As the rule says it; `DEFAULT_DRIFT` for the rest. What it says to block must have been signed. */
  readonly drift?: Partial<DriftPolicy>;
}

export interface Exception {
  readonly check: CheckId;
  readonly image?: string;
  readonly source?: string;
  readonly version?: string;
  readonly digest?: string;
  /** URI of the predicate that may be missing or expired. */
  readonly predicateType?: string;
  readonly advisory?: string;
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/** What is believed, and what it takes to be started. The first rule that matches decides; where none does, the answer is no. */
export interface Policy {
  /** Where it was read, for people. */
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly exceptions: readonly Exception[];
  /** What may not get into an image in the first place; vetting's defaults where absent. */
  readonly vetting?: VettingRules;
}
