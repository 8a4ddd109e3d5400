import { z } from 'zod';
import { type Digest, sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { DURATION, parseDuration } from '../policy/duration.ts';
import type { Policy } from '../policy/index.ts';
import type { ServerPredicate } from '../predicate/server.ts';
import { PREDICATES, predicateType, statement } from '../statement.ts';
import { CHECKS, type Verdict, verdictOf } from '../verdict.ts';
import { decide } from './decide.ts';
import type { Fact } from './facts.ts';

const source = z.string().regex(/^(npm|pypi):[^\s]{1,300}$/, 'write npm:<name> or pypi:<name>');
const caseSchema = z.strictObject({
  name: z.string().min(1),
  image: z.string().optional(),
  source: source.optional(),
  version: z.string().optional(),
  /** What is attached to the image; each by signers the policy names. */
  attestations: z
    .array(
      z.strictObject({
        predicate: z.string(),
        by: z.array(z.string()).default([]),
        /** How long ago its signature was witnessed. */
        age: z.string().regex(DURATION).optional(),
        /** Of a server predicate only what the case is about; the rest is harmless. */
        content: z.record(z.string(), z.unknown()).default({}),
      }),
    )
    .default([]),
  expect: z.enum(['pass', 'fail']),
  /** Checks that must be among those that fail. */
  failing: z.array(z.enum(CHECKS)).default([]),
});

export type PolicyCase = z.input<typeof caseSchema>;

export interface CaseResult {
  readonly name: string;
  readonly passed: boolean;
  readonly verdict: Verdict;
  readonly rule: string | undefined;
}

/**
 * Tries a policy on made-up images, without an image or a key: who would sign what is simply said. So that a team can test its policy as it
 * tests its code.
 * @param cases as read from a file. @throws McpBuildError `cases-invalid`
 */
export function testPolicy(policy: Policy, cases: unknown, now: Date): readonly CaseResult[] {
  const parsed = z.array(caseSchema).max(1000).safeParse(cases);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new McpBuildError({
      code: 'cases-invalid',
      message: `The cases, at ${issue?.path.join('.') || 'their root'}: ${issue?.message ?? 'do not fit'}`,
      fix: 'Write a list of cases, each with name, attestations and expect.',
      exit: 2,
    });
  }
  return parsed.data.map((one) => {
    const subject = sha256(one.name);
    const [ecosystem, name] = split(one.source);
    const decision = decide(
      policy,
      {
        subject,
        platforms: [],
        facts: one.attestations.map((said) => factOf(said, one, subject, now)),
        asked: {
          ...(one.image === undefined ? {} : { image: one.image }),
          ...(ecosystem === undefined ? {} : { source: { ecosystem, name } }),
          ...(one.version === undefined ? {} : { version: one.version }),
        },
      },
      now,
    );
    const verdict = verdictOf(subject, decision.checks);
    const failed = verdict.checks.filter(({ status }) => status === 'fail').map(({ id }) => id);
    const passed = verdict.verdict === one.expect && one.failing.every((id) => failed.includes(id));
    return { name: one.name, passed, verdict, rule: decision.rule?.name };
  });
}

function split(text: string | undefined): readonly ['npm' | 'pypi' | undefined, string] {
  if (text === undefined) return [undefined, ''];
  const colon = text.indexOf(':');
  return [text.startsWith('npm:') ? 'npm' : 'pypi', text.slice(colon + 1)];
}

type Case = z.output<typeof caseSchema>;

function factOf(said: Case['attestations'][number], it: Case, subject: Digest, now: Date): Fact {
  const age = said.age === undefined ? undefined : parseDuration(said.age);
  const vouched = age === undefined ? {} : { at: new Date(now.getTime() - age) };
  const type = predicateType(said.predicate);
  const content = type === PREDICATES.server ? { ...serverOf(it), ...said.content } : said.content;
  return {
    on: subject,
    statement: statement([subject], type, content),
    by: (trusted) => (said.by.includes(trusted.name) ? vouched : `it is by ${said.by.join(', ') || 'nobody'}`),
    claim: `It is signed by ${said.by.join(', ') || 'nobody'}`,
  };
}

/** What a case leaves unsaid: the source that was asked for, released long ago, that only computes. */
function serverOf({ source: name, version }: Case): ServerPredicate {
  const [ecosystem = 'npm', rest] = split(name);
  return {
    source: { ecosystem, name: rest || 'server', version: version ?? '1.0.0' },
    created: '2020-01-01T00:00:00Z',
    newest: '2020-01-01T00:00:00Z',
    lock: sha256(''),
    permissions: { network: 'none', volumes: [], environment: [] },
    args: [],
    environment: [],
    tools: { digest: sha256('[]'), items: [] },
  };
}
