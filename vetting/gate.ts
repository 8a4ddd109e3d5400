import { DEFAULT_VETTING, isWorse, matches, type VettingRules } from '../trust/index.ts';
import { type Finding, finding, sorted } from './finding.ts';

/** What a policy makes of findings. */
export interface Decision {
  /** Every finding that is not ignored, with the severity that the policy gives it; worst first. */
  readonly findings: readonly Finding[];
  /** Those for which nothing may be locked, built, published. */
  readonly refused: readonly Finding[];
}

/** Pure: the same findings, rules and day give the same decision. */
export function decide(findings: readonly Finding[], rules: VettingRules = DEFAULT_VETTING, now: Date): Decision {
  const kept: Finding[] = [];
  const refused: Finding[] = [];
  for (const found of [...findings, ...expired(findings, rules, now)]) {
    const said = rules.codes[found.code];
    if (said === 'ignore') continue;
    const weighed = said === undefined || said === 'refuse' ? found : { ...found, severity: said };
    const excused = exceptionFor(found, rules, now);
    if (excused) {
      kept.push({ ...weighed, excepted: { reason: excused.reason, expires: excused.expires } });
      continue;
    }
    kept.push(weighed);
    if (said === 'refuse' || (rules.refuse !== 'never' && !isWorse(rules.refuse, weighed.severity))) {
      refused.push(weighed);
    }
  }
  return { findings: sorted(kept), refused: sorted(refused) };
}

type Exception = VettingRules['exceptions'][number];

function exceptionFor(found: Finding, rules: VettingRules, now: Date): Exception | undefined {
  return rules.exceptions.find((one) => covers(one, found) && Date.parse(one.expires) > now.getTime());
}

function covers(one: Exception, found: Finding): boolean {
  if (one.finding !== found.code || !matches(one.subject, found.subject)) return false;
  return one.advisory === undefined || one.advisory === found.id || (found.aliases?.includes(one.advisory) ?? false);
}

/** An exception that ran out while what it excused is still there deserves more than silence. */
function expired(findings: readonly Finding[], rules: VettingRules, now: Date): readonly Finding[] {
  return rules.exceptions
    .filter((one) => Date.parse(one.expires) <= now.getTime() && findings.some((found) => covers(one, found)))
    .map((one) =>
      finding('exception-expired', one.subject, `The exception for ${one.finding} ran out on ${one.expires}`, {
        evidence: [one.reason],
      }),
    );
}
