import type { Digest } from '../digest/index.ts';
import type { Bundle } from './bundle.ts';
import { envelopeVerifies } from './dsse.ts';
import type { Attestation, Evidence } from './evidence.ts';
import type { Policy, Requirement, Trusted } from './policy.ts';
import { isAbout, PREDICATES, predicateName, type Statement } from './statement.ts';
import { type Check, type CheckId, type Verdict, verdictOf } from './verdict.ts';

/**
 * Whether an image may be used. Pure: it reads no clock, file or network, and the same arguments give the same verdict. Every check is
 * reported, not only the first that failed.
 */
export function judge(policy: Policy, evidence: Evidence, now: Date): Verdict {
  const required = policy.require.flatMap((one) => requirementChecks(one, evidence, now));
  return verdictOf(evidence.subject.digest, [contentCheck(evidence), ...required]);
}

function contentCheck({ content }: Evidence): Check {
  const [first] = content.problems;
  if (!first) {
    const what = content.layers ? 'Manifests, configs and layers' : 'Manifests and configs';
    return { id: 'content-mismatch', status: 'pass', detail: `${what} have the digests that name them` };
  }
  const more = content.problems.length > 1 ? ` (and ${content.problems.length - 1} more)` : '';
  return { id: 'content-mismatch', status: 'fail', detail: `${first.reason}${more}` };
}

/** What one attestation is worth for one requirement, each question answered on its own. */
interface Candidate {
  readonly attestation: Attestation;
  readonly predicate: boolean;
  readonly subject: boolean;
  readonly signer: Trusted | undefined;
}

function requirementChecks(requirement: Requirement, evidence: Evidence, now: Date): readonly Check[] {
  const { subject, platforms } = evidence;
  const onRoot = checksOn(subject.digest, requirement, evidence, now);
  if (platforms.length === 0 || passes(onRoot)) return onRoot;
  const onEach = platforms.map(({ digest }) => checksOn(digest, requirement, evidence, now));
  if (onEach.every(passes)) return onEach[0]!;
  return onRoot;
}

function passes(checks: readonly Check[]): boolean {
  return checks.every(({ status }) => status === 'pass');
}

function checksOn(digest: Digest, requirement: Requirement, evidence: Evidence, now: Date): readonly Check[] {
  const candidates = evidence.attestations
    .filter(({ on }) => on === digest)
    .map((attestation) => candidate(attestation, digest, requirement, now));
  const name = predicateName(requirement.predicateType);
  const missing = requirement.predicateType === PREDICATES.signature ? 'unsigned' : 'attestation-missing';
  const check = (id: CheckId, passed: boolean, detail: string): Check => {
    return { id, status: passed ? 'pass' : 'fail', detail, predicate: name };
  };
  const good = candidates.filter((one) => one.predicate && one.subject && one.signer);
  const signers = [...new Set(good.map(({ signer }) => signer?.name ?? ''))];
  if (signers.length >= requirement.threshold) {
    return [
      check(missing, true, `${digest} has a ${name} attestation`),
      check('predicate-mismatch', true, `It says ${requirement.predicateType}`),
      check('subject-mismatch', true, `It speaks of ${digest}`),
      check('untrusted-signer', true, `Signed by ${signers.join(', ')}`),
    ];
  }
  const best = candidates.toSorted((a, b) => worth(b) - worth(a))[0];
  if (!best) return [check(missing, false, `${digest} has no ${name} attestation`)];
  const { said } = best.attestation;
  if (said.kind === 'unreadable') {
    return [check(missing, false, `The only attestation of ${digest} can't be read: ${said.reason}`)];
  }
  const about = said.statement.subject.map((one) => one.digest.sha256 ?? 'something else').slice(0, 3);
  const wanted = requirement.by.map((one) => one.name).join(', ');
  return [
    check(missing, true, `${digest} has an attestation`),
    check(
      'predicate-mismatch',
      best.predicate,
      `It says ${said.statement.predicateType}; ${requirement.predicateType} is asked for`,
    ),
    check('subject-mismatch', best.subject, `It speaks of ${about.join(', ')}; the image is ${digest}`),
    best.predicate && best.subject && best.signer
      ? check(
          'untrusted-signer',
          false,
          `Signed by ${signers.join(', ')}; ${requirement.threshold} of ${wanted} are asked for`,
        )
      : check('untrusted-signer', best.signer !== undefined, `${signedBy(said.bundle)}; trusted: ${wanted}`),
  ];
}

/** The attestation that comes nearest is the one whose failure helps. */
function worth({ attestation, predicate, subject, signer }: Candidate): number {
  if (attestation.said.kind === 'unreadable') return -1;
  return (signer ? 2 : 0) + (subject ? 1.5 : 0) + (predicate ? 2 : 0);
}

function candidate(attestation: Attestation, digest: Digest, requirement: Requirement, now: Date): Candidate {
  const { said } = attestation;
  if (said.kind === 'unreadable') return { attestation, predicate: false, subject: false, signer: undefined };
  const { statement }: { statement: Statement } = said;
  return {
    attestation,
    predicate: statement.predicateType === requirement.predicateType,
    subject: isAbout(statement, digest),
    signer: requirement.by.find((one) => verifies(said.bundle, one, now)),
  };
}

function verifies(bundle: Bundle, trusted: Trusted, now: Date): boolean {
  // A certificate whose key happens to be the trusted one is not a signature by that key: nobody who trusts a key trusts its issuer.
  if (bundle.material.kind !== 'key') return false;
  if (trusted.from !== undefined && now.getTime() < trusted.from) return false;
  if (trusted.until !== undefined && now.getTime() >= trusted.until) return false;
  return envelopeVerifies(bundle.envelope, trusted.key);
}

function signedBy({ material }: Bundle): string {
  return material.kind === 'key'
    ? `It is signed by the key ${material.hint || 'without a name'}`
    : 'It is signed with a certificate';
}
