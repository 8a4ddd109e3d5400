import type { Evidence } from '../evidence.ts';
import { DEFAULT_DRIFT, type DriftPolicy, type Policy } from '../policy/index.ts';
import type { Permissions, ServerPredicate } from '../predicate/server.ts';
import { type Check, type Verdict, verdictOf } from '../verdict.ts';
import { decide } from './decide.ts';
import { factOf } from './facts.ts';

export interface Assessment {
  readonly verdict: Verdict;
  /** The rule that decided; undefined where none was for it. */
  readonly rule: string | undefined;
  /** What the image is and may do, where that was asked for, is signed by whom it must be, and the verdict is a pass. */
  readonly server: ServerPredicate | undefined;
  /**
   * What those who must sign it say that it offers, and what follows when it offers something else; also where the policy doesn't ask for it. Empty
   * where the verdict is no pass.
   */
  readonly offers: readonly ServerPredicate[];
  readonly drift: DriftPolicy;
  /** The widest permissions, where the rule says them. */
  readonly widest: Permissions | undefined;
}

/**
 * Whether an image may be used. Pure: it reads no clock, file or network, and the same arguments give the same verdict. Every check is
 * reported, not only the first that failed.
 */
export function judge(policy: Policy, evidence: Evidence, now: Date): Verdict {
  return assess(policy, evidence, now).verdict;
}

/** As `judge`, with the rule that decided and what was verified of the server. */
export function assess(policy: Policy, evidence: Evidence, now: Date): Assessment {
  const decision = decide(
    policy,
    {
      subject: evidence.subject.digest,
      platforms: evidence.platforms.map(({ digest }) => digest),
      facts: evidence.attestations.map((one) => factOf(one, now)),
      asked: evidence.asked,
      accepted: evidence.accepted,
    },
    now,
  );
  const verdict = verdictOf(evidence.subject.digest, [contentCheck(evidence), ...decision.checks]);
  return {
    verdict,
    rule: decision.rule?.name,
    server: verdict.verdict === 'pass' ? decision.server : undefined,
    offers: verdict.verdict === 'pass' ? decision.offers : [],
    drift: { ...DEFAULT_DRIFT, ...decision.rule?.drift },
    widest: decision.rule?.allow.permissions,
  };
}

/** The verdict in words: which rule decided, and every check with its reason. */
export function explain(policy: Policy, evidence: Evidence, now: Date): string {
  const { verdict, rule } = assess(policy, evidence, now);
  const lines = verdict.checks.map(({ id, status, detail, predicate, exception }) => {
    const mark = exception ? 'excused' : status;
    const why = exception ? ` — ${exception.reason} (until ${exception.expires})` : '';
    return `  ${mark.padEnd(7)}  ${predicate ? `${predicate}: ` : ''}${id}: ${detail}${why}`;
  });
  const decided = rule === undefined ? `no rule of ${policy.name}` : `rule "${rule}" of ${policy.name}`;
  return [
    `${verdict.verdict === 'pass' ? 'accepted' : 'refused'}  ${verdict.subject}`,
    `  by ${decided}`,
    ...lines,
  ].join('\n');
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
