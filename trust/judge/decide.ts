import { isDeepStrictEqual } from 'node:util';
import type { Digest } from '../../digest/index.ts';
import type { Accepted, Asked } from '../evidence.ts';
import type { Exception, Policy, Requirement, Rule } from '../policy/index.ts';
import { matchesAny } from '../policy/pattern.ts';
import { readServer, type ServerPredicate } from '../predicate/server.ts';
import { readVulns } from '../predicate/vulns.ts';
import { PREDICATES, predicateName, type Statement } from '../statement.ts';
import type { Check } from '../verdict.ts';
import type { Fact } from './facts.ts';
import { meet } from './requirement.ts';
import {
  blocksDrift,
  checkAdvisories,
  checkAllowed,
  checkRollback,
  checkSource,
  concerns,
  sourceName,
} from './server.ts';

/** What there is to decide on. */
export interface Case {
  readonly subject: Digest;
  readonly platforms: readonly Digest[];
  readonly facts: readonly Fact[];
  readonly asked?: Asked | undefined;
  readonly accepted?: Accepted | undefined;
}

export interface Decision {
  readonly rule: Rule | undefined;
  readonly checks: readonly Check[];
  /** The `server` predicate, where it was asked for and is by whom it must be by. */
  readonly server: ServerPredicate | undefined;
  /** All that is said of what it offers by those who must sign it, whether the policy asks for it or not. */
  readonly offers: readonly ServerPredicate[];
}

/** What a policy says of a case. Pure. */
export function decide(policy: Policy, it: Case, now: Date): Decision {
  const rule = ruleFor(policy, it);
  if (!rule) {
    const what = [it.asked?.image, it.asked?.source && sourceName(it.asked.source)].filter(Boolean).join(', ');
    const detail = `No rule of ${policy.name} is for ${what || it.subject}, and what no rule is for is refused`;
    return { rule: undefined, checks: [{ id: 'no-rule', status: 'fail', detail }], server: undefined, offers: [] };
  }
  const required = requirementsOf(rule, it).map((one) => ({
    type: one.predicateType,
    ...meet(one, it.subject, it.platforms, it.facts, now),
  }));
  const statements = (type: string) => required.find((one) => one.type === type)?.statements ?? [];
  const { server, checks: said } = serverOf(statements(PREDICATES.server));
  const excusing = (exception: Exception) => concerns(exception, it.subject, it.asked, server);
  const exceptions = policy.exceptions.filter(excusing);
  const checks = [
    ...required.flatMap((one) => one.checks),
    ...said,
    ...(server && it.asked && (it.asked.source ?? it.asked.version) ? [checkSource(server, it.asked)] : []),
    ...(server && it.accepted ? [checkRollback(server, it.accepted)] : []),
    ...(server ? checkAllowed(server, rule, now) : []),
    ...advisories(rule, statements(PREDICATES.vulns), exceptions, now),
  ];
  return { rule, checks: checks.map((one) => excused(one, exceptions, now)), server, offers: offersOf(rule, it, now) };
}

function offersOf(rule: Rule, it: Case, now: Date): readonly ServerPredicate[] {
  const asked = rule.require.find(({ predicateType }) => predicateType === PREDICATES.server);
  const requirement = asked ?? { ...rule.signature, predicateType: PREDICATES.server };
  const { statements } = meet(requirement, it.subject, it.platforms, it.facts, now);
  return statements.map(({ predicate }) => readServer(predicate)).filter((one) => one !== undefined);
}

/** The first rule that matches what was asked for; where no source was asked for, what the image itself claims, which must then be signed. */
function ruleFor({ rules }: Policy, { asked, facts }: Case): Rule | undefined {
  const claimed = facts.flatMap(({ statement }) => {
    const server = statement?.predicateType === PREDICATES.server ? readServer(statement.predicate) : undefined;
    return server ? [sourceName(server.source)] : [];
  });
  const sources = asked?.source ? [sourceName(asked.source)] : claimed;
  return rules.find((rule) => {
    const bySource = rule.sources === undefined || sources.some((one) => matchesAny(rule.sources, one));
    return bySource && matchesAny(rule.images, asked?.image);
  });
}

/** What the rule lists, and what it takes to answer its other questions. */
function requirementsOf(rule: Rule, { asked, accepted }: Case): readonly Requirement[] {
  const { allow } = rule;
  const implied: string[] = [];
  const identity = asked?.source ?? asked?.version ?? accepted;
  if (identity ?? rule.sources ?? allow.sources ?? allow.permissions ?? allow.releaseAge)
    implied.push(PREDICATES.server);
  else if (blocksDrift(rule.drift)) implied.push(PREDICATES.server);
  if (allow.advisories !== undefined) implied.push(PREDICATES.vulns);
  const listed = [rule.signature, ...rule.require];
  const missing = implied.filter((type) => !listed.some(({ predicateType }) => predicateType === type));
  return [...listed, ...missing.map((predicateType) => ({ ...rule.signature, predicateType }))];
}

function serverOf(statements: readonly Statement[]): { server: ServerPredicate | undefined; checks: readonly Check[] } {
  if (statements.length === 0) return { server: undefined, checks: [] };
  const read = statements.map(({ predicate }) => readServer(predicate));
  const conflict = (detail: string): Check => ({
    id: 'predicate-conflict',
    status: 'fail',
    detail,
    predicate: 'server',
  });
  const servers = read.filter((one) => one !== undefined);
  if (servers.length < read.length)
    return { server: undefined, checks: [conflict('It is not of the form of a server predicate')] };
  // Who took back what they had said before says when; of two that don't, nobody can say which is meant.
  const newest = Math.max(...servers.map(issuedAt));
  const [first, ...others] = servers.filter((one) => issuedAt(one) === newest);
  if (!first || others.some((other) => !isDeepStrictEqual(other, first))) {
    return { server: undefined, checks: [conflict(`${read.length} signed server predicates disagree`)] };
  }
  return {
    server: first,
    checks: [{ id: 'predicate-conflict', status: 'pass', detail: 'It says one thing', predicate: 'server' }],
  };
}

function issuedAt({ issued }: ServerPredicate): number {
  return issued === undefined ? Number.NEGATIVE_INFINITY : Date.parse(issued);
}

function advisories(
  rule: Rule,
  statements: readonly Statement[],
  exceptions: readonly Exception[],
  now: Date,
): readonly Check[] {
  const ceiling = rule.allow.advisories;
  if (ceiling === undefined || statements.length === 0) return [];
  const scans = statements.map(({ predicate }) => readVulns(predicate)).filter((one) => one !== undefined);
  const newest = scans.toSorted((a, b) => b.finished.getTime() - a.finished.getTime())[0];
  if (!newest) {
    return [
      {
        id: 'known-vulnerable',
        status: 'fail',
        detail: 'It is not of the form of a vulns predicate',
        predicate: 'vulns',
      },
    ];
  }
  const covers = (advisory: string) =>
    exceptions.some(
      (one) => one.check === 'known-vulnerable' && one.advisory === advisory && one.expires > now.getTime(),
    );
  return [checkAdvisories(newest, ceiling, covers)];
}

const OF_SIGNATURE = ['unsigned', 'predicate-mismatch', 'subject-mismatch', 'untrusted-signer'];

function excused(check: Check, exceptions: readonly Exception[], now: Date): Check {
  if (check.status === 'pass') return check;
  const found = exceptions.filter((one) => {
    // An image accepted by its digest is accepted however its signature fails.
    if (one.check === 'unsigned') return check.predicate === 'signature' && OF_SIGNATURE.includes(check.id);
    const about = one.predicateType === undefined || predicateName(one.predicateType) === check.predicate;
    return one.check === check.id && about && one.advisory === undefined;
  });
  const valid = found.find(({ expires }) => expires > now.getTime());
  if (valid) {
    const expires = new Date(valid.expires).toISOString();
    return { ...check, status: 'pass', exception: { reason: valid.reason, expires } };
  }
  if (found.length === 0) return check;
  return { ...check, detail: `${check.detail} (an exception for this has expired)` };
}
