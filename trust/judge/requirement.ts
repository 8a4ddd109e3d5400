import type { Digest } from '../../digest/index.ts';
import type { Requirement } from '../policy/index.ts';
import { isAbout, PREDICATES, predicateName, type Statement } from '../statement.ts';
import type { Check, CheckId } from '../verdict.ts';
import type { Fact, Vouched } from './facts.ts';
import { saidAt } from './said-at.ts';

/** How far another machine's clock may be ahead, in milliseconds. */
const SKEW = 5 * 60_000;

/** An attestation that counts for a requirement. */
interface Good {
  readonly statement: Statement;
  readonly signers: readonly string[];
}

export interface Met {
  readonly checks: readonly Check[];
  /** Statements that count; empty where the requirement isn't met. */
  readonly statements: readonly Statement[];
}

/** Whether what is said about the root, or else about each platform of it, meets a requirement. */
export function meet(
  requirement: Requirement,
  root: Digest,
  platforms: readonly Digest[],
  facts: readonly Fact[],
  now: Date,
): Met {
  const onRoot = meetOn(root, requirement, facts, now);
  if (onRoot.statements.length > 0 || platforms.length === 0) return onRoot;
  const onEach = platforms.map((digest) => meetOn(digest, requirement, facts, now));
  if (onEach.some(({ statements }) => statements.length === 0)) {
    // Some platforms have it: what the others lack says more than that the index has nothing.
    return onEach.some(({ statements }) => statements.length > 0)
      ? onEach.find(({ statements }) => statements.length === 0)!
      : onRoot;
  }
  return { checks: onEach[0]!.checks, statements: onEach.flatMap(({ statements }) => statements) };
}

/** What one attestation is worth, each question answered on its own. */
interface Candidate {
  readonly fact: Fact;
  readonly statement: Statement;
  readonly predicate: boolean;
  readonly subject: boolean;
  readonly signers: readonly string[];
  /** Why it isn't by any of those asked for. */
  readonly notBy: string;
  /** Why it is too old, or undefined. */
  readonly stale: string | undefined;
}

function meetOn(digest: Digest, requirement: Requirement, facts: readonly Fact[], now: Date): Met {
  const here = facts.filter(({ on }) => on === digest);
  const right = here.filter(
    ({ statement }) => statement?.predicateType === requirement.predicateType && isAbout(statement, digest),
  );
  const good: Good[] = right
    .map((fact) => candidate(fact, digest, requirement, now))
    .filter((one) => one !== undefined)
    .filter(({ signers, stale }) => signers.length > 0 && stale === undefined);
  const signers = [...new Set(good.flatMap((one) => one.signers))];
  const name = predicateName(requirement.predicateType);
  const missing = requirement.predicateType === PREDICATES.signature ? 'unsigned' : 'attestation-missing';
  const check = (id: CheckId, passed: boolean, detail: string): Check => {
    return { id, status: passed ? 'pass' : 'fail', detail, predicate: name };
  };
  if (signers.length >= requirement.threshold) {
    const checks = [
      check(missing, true, `${digest} has a ${name} attestation`),
      check('predicate-mismatch', true, `It says ${requirement.predicateType}`),
      check('subject-mismatch', true, `It speaks of ${digest}`),
      check('untrusted-signer', true, `Signed by ${signers.join(', ')}`),
      ...(requirement.maxAge === undefined ? [] : [check('attestation-expired', true, 'It is recent enough')]),
    ];
    return { checks, statements: good.map(({ statement }) => statement) };
  }
  // Only a refusal needs to know what the other attestations are.
  const best = here
    .map((fact) => candidate(fact, digest, requirement, now))
    .filter((one) => one !== undefined)
    .reduce<Candidate | undefined>((a, b) => (a && worth(a) >= worth(b) ? a : b), undefined);
  // A signature is offered as whatever it is; of other predicates an image may simply lack the one that is asked for.
  if (!best || (!best.predicate && missing !== 'unsigned')) {
    const problem = here.find((fact) => fact.problem)?.problem;
    const why = problem ? ` that can be read: ${problem}` : '';
    return { checks: [check(missing, false, `${digest} has no ${name} attestation${why}`)], statements: [] };
  }
  const about = best.statement.subject.map((one) => one.digest.sha256 ?? 'something else').slice(0, 3);
  const wanted = requirement.by.map((one) => one.name).join(', ');
  const few = best.predicate && best.subject && best.signers.length > 0 && best.stale === undefined;
  const checks = [
    check(missing, true, `${digest} has an attestation`),
    check(
      'predicate-mismatch',
      best.predicate,
      `It says ${best.statement.predicateType}, and ${requirement.predicateType} is asked for`,
    ),
    check('subject-mismatch', best.subject, `It speaks of ${about.join(', ')}, and the image is ${digest}`),
    few
      ? check(
          'untrusted-signer',
          false,
          `Signed by ${signers.join(', ')}, and ${requirement.threshold} of ${wanted} are asked for`,
        )
      : check('untrusted-signer', best.signers.length > 0, signedBy(best, wanted)),
    ...(requirement.maxAge === undefined || best.signers.length === 0
      ? []
      : [check('attestation-expired', best.stale === undefined, best.stale ?? 'It is recent enough')]),
  ];
  return { checks, statements: [] };
}

function signedBy(best: Candidate, wanted: string): string {
  if (best.signers.length > 0) return `Signed by ${best.signers.join(', ')}`;
  return `${best.fact.claim}, which is not ${wanted}: ${best.notBy}`;
}

/** The attestation that comes nearest is the one whose failure helps. */
function worth({ predicate, subject, signers, stale }: Candidate): number {
  return (predicate ? 4 : 0) + (signers.length > 0 ? 3 : 0) + (subject ? 2 : 0) + (stale === undefined ? 1 : 0);
}

function candidate(fact: Fact, digest: Digest, requirement: Requirement, now: Date): Candidate | undefined {
  const { statement } = fact;
  if (!statement) return undefined;
  const answers = requirement.by.map((trusted) => ({ trusted, answer: fact.by(trusted) }));
  const vouched = answers.filter((one): one is typeof one & { answer: Vouched } => typeof one.answer !== 'string');
  return {
    fact,
    statement,
    predicate: statement.predicateType === requirement.predicateType,
    subject: isAbout(statement, digest),
    signers: vouched.map(({ trusted }) => trusted.name),
    notBy: answers.map(({ answer }) => answer).find((answer) => typeof answer === 'string') ?? '',
    stale: staleness(statement, vouched[0]?.answer, requirement.maxAge, now),
  };
}

function staleness(
  statement: Statement,
  vouched: Vouched | undefined,
  maxAge: number | undefined,
  now: Date,
): string | undefined {
  if (maxAge === undefined) return undefined;
  const at = saidAt(statement) ?? vouched?.at;
  if (!at) return 'Nothing signed says when it was made';
  const age = now.getTime() - at.getTime();
  if (age < -SKEW) return `It is from the future (${at.toISOString()})`;
  return age > maxAge ? `It is of ${at.toISOString()}, and that is too long ago` : undefined;
}
