import type { Digest } from '../../digest/index.ts';
import type { Bundle } from '../bundle.ts';
import { envelopeVerifies } from '../dsse.ts';
import type { Attestation, Said } from '../evidence.ts';
import type { Trusted, TrustedIdentity, TrustedKey } from '../policy/index.ts';
import { type Proven, type TrustedRoot, verifyCertificate, verifyLogged } from '../sigstore.ts';
import type { Statement } from '../statement.ts';

/** That a signer said it, and when, where that is proved. */
export interface Vouched {
  readonly at?: Date;
}

/** One attestation, and whom it is by. Nothing in it is true only because it is here. */
export interface Fact {
  readonly on: Digest;
  /** Undefined where it can't be read; `problem` then says why. */
  readonly statement: Statement | undefined;
  readonly problem?: string;
  /** Whether a signer said it; else, in one sentence, why that isn't so. */
  readonly by: (trusted: Trusted) => Vouched | string;
  /** How its signature introduces itself, for people. */
  readonly claim: string;
}

/** Verification is put off until somebody asks by whom a statement is, and done once for each signer. */
export function factOf({ on, said }: Attestation, now: Date): Fact {
  if (said.kind === 'unreadable') {
    return { on, statement: undefined, problem: said.reason, by: () => said.reason, claim: 'It is not readable' };
  }
  const known = new Map<Trusted, Vouched | string>();
  const certificates = new Map<TrustedRoot, Map<string, Proven | string>>();
  const by = (trusted: Trusted): Vouched | string => {
    const before = known.get(trusted);
    if (before !== undefined) return before;
    const found = trusted.kind === 'key' ? byKey(said, trusted, now) : byIdentity(said.bundle, trusted, certificates);
    known.set(trusted, found);
    return found;
  };
  return { on, statement: said.statement, by, claim: claimOf(said.bundle) };
}

function byKey({ bundle }: Said & { kind: 'statement' }, trusted: TrustedKey, now: Date): Vouched | string {
  // A certificate whose key happens to be the trusted one is not a signature by that key: nobody who trusts a key trusts its issuer.
  if (bundle.material.kind !== 'key') return 'it is signed with a certificate, and a key is asked for';
  if (!envelopeVerifies(bundle.envelope, trusted.key)) return 'it is signed by another key';
  let times: readonly Date[] = [];
  if (trusted.witnessed) {
    const { root, need } = trusted.witnessed;
    const logged = verifyLogged(bundle.json, trusted.key, root, need);
    if (typeof logged === 'string') return logged;
    times = logged.times;
  }
  const at = earliest(times);
  const used = (at ?? now).getTime();
  if (trusted.from !== undefined && used < trusted.from) return 'it was signed before the key was valid';
  if (trusted.until !== undefined && used >= trusted.until) return 'the key is no longer valid';
  return at ? { at } : {};
}

function byIdentity(
  bundle: Bundle,
  trusted: TrustedIdentity,
  seen: Map<TrustedRoot, Map<string, Proven | string>>,
): Vouched | string {
  if (bundle.material.kind !== 'certificate') return 'it is signed by a key, and an identity is asked for';
  const { root, need } = trusted;
  const ofRoot = seen.get(root) ?? new Map<string, Proven | string>();
  seen.set(root, ofRoot);
  const which = `${need.logEntries} ${need.certificateLogs} ${need.timestamps}`;
  const proven = ofRoot.get(which) ?? verifyCertificate(bundle.json, root, need);
  ofRoot.set(which, proven);
  if (typeof proven === 'string') return proven;
  // Whole strings: a name that merely contains the expected one is somebody else's.
  if (proven.issuer !== trusted.issuer) return `its issuer is ${proven.issuer}`;
  if (proven.subject !== trusted.identity) return `its identity is ${proven.subject}`;
  for (const [extension, expected] of trusted.claims) {
    const found = proven.extensions.get(extension);
    if (found !== expected) return `its certificate says ${found ?? 'nothing'} where ${expected} is asked for`;
  }
  const at = earliest(proven.times);
  return at ? { at } : {};
}

function earliest(times: readonly Date[]): Date | undefined {
  return times.toSorted((a, b) => a.getTime() - b.getTime())[0];
}

function claimOf({ material }: Bundle): string {
  if (material.kind === 'certificate') return 'It is signed with a certificate';
  return `It is signed by the key ${material.hint.slice(0, 100) || 'without a name'}`;
}
