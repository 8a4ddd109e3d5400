import { McpBuildError } from '../../../errors/index.ts';
import { type Policy, PREDICATES, type Requirement, type Rule, type Trusted } from '../../../trust/index.ts';
import { kyvernoObjects } from './kyverno.ts';
import { sigstoreObjects } from './sigstore.ts';
import type { KubernetesObject } from './types.ts';

export type AdmissionKind = 'sigstore' | 'kyverno';

/** A rule as an admission controller can hold it: for these images, each of these things must have been said by one of those. */
export interface AdmissionRule {
  readonly name: string;
  readonly images: readonly string[];
  readonly said: readonly { readonly predicateType: string; readonly by: readonly Trusted[] }[];
}

export interface Admission {
  readonly objects: readonly KubernetesObject[];
  /** What the policy says and the controller doesn't judge. */
  readonly cannot: readonly string[];
}

/**
 * A policy as objects of an admission controller, which judge the images of a namespace as the policy does, as far as they can. What would make them let in
 * what the policy refuses is refused here, unless `partial`, which says it instead.
 * @throws McpBuildError `policy-inexpressible`
 */
export function admissionOf(policy: Policy, kind: AdmissionKind, namespace: string, partial: boolean): Admission {
  const weaker: string[] = [];
  const rules = policy.rules.map((rule) => ruleOf(rule, weaker));
  overlaps(rules, weaker);
  const made = kind === 'sigstore' ? sigstoreObjects(rules, namespace) : kyvernoObjects(rules, namespace);
  weaker.push(...made.weaker);
  if (weaker.length > 0 && !partial) throw inexpressible(policy, kind, weaker);
  const notes = [
    ...policy.rules
      .filter(({ drift }) => drift)
      .map(({ name }) => `${name}: drift is watched by the gateway, not at admission`),
    ...(policy.exceptions.length > 0
      ? ['exceptions let in what is refused here: apply them by hand, where they are meant for a cluster']
      : []),
    'an older version than the newest that ever ran is let in: a cluster keeps no such record',
  ];
  return { objects: made.objects, cannot: [...weaker, ...notes] };
}

function ruleOf(rule: Rule, weaker: string[]): AdmissionRule {
  const { name, images, sources, signature, require, allow } = rule;
  const less = (what: string) => weaker.push(`${name}: ${what}`);
  if (sources)
    less('sources are compared with what the image says of itself, which no controller reads as the policy does');
  if (allow.sources) less('allow.sources');
  if (allow.releaseAge !== undefined) less('allow.releaseAge');
  if (allow.advisories !== undefined) less('allow.advisories');
  if (allow.permissions) less('allow.permissions');
  const all = [{ ...signature, predicateType: PREDICATES.signature }, ...require];
  return { name, images: images ?? ['**'], said: all.flatMap((one) => saidOf(one, less)) };
}

function saidOf(requirement: Requirement, less: (what: string) => void): AdmissionRule['said'] {
  const { predicateType, by, threshold, maxAge } = requirement;
  if (maxAge !== undefined) less(`maxAge of ${predicateType}`);
  for (const one of by) {
    if (one.kind === 'key' && (one.from !== undefined || one.until !== undefined))
      less(`from and until of the key ${one.name}`);
    if (one.kind === 'key' && one.witnessed) less(`witnesses of the key ${one.name}`);
    if (one.kind === 'identity' && one.claims.size > 0) less(`claims of ${one.name} beside its identity and issuer`);
  }
  if (threshold <= 1) return [{ predicateType, by }];
  // All of them is each of them; some of them is no question a controller asks.
  if (threshold < by.length) less(`${threshold} of ${by.length} signers`);
  return by.map((one) => ({ predicateType, by: [one] }));
}

/** The first rule that matches decides; a controller asks for what all that match say, so that rules for the same images are stricter there, or other ones. */
function overlaps(rules: readonly AdmissionRule[], weaker: string[]): void {
  const start = (pattern: string) => pattern.split('*')[0] ?? '';
  const meet = (a: string, b: string) => start(a).startsWith(start(b)) || start(b).startsWith(start(a));
  rules.forEach((rule, at) => {
    for (const earlier of rules.slice(0, at))
      if (rule.images.some((one) => earlier.images.some((other) => meet(one, other))))
        weaker.push(
          `${rule.name} and ${earlier.name} may be for the same image: the first decides, and a controller asks for both`,
        );
  });
}

function inexpressible({ name }: Policy, kind: AdmissionKind, weaker: readonly string[]): McpBuildError {
  return new McpBuildError({
    code: 'policy-inexpressible',
    message: `${CONTROLLERS[kind]} can't judge all that ${name} says:\n${weaker.map((line) => `  ${line}`).join('\n')}`,
    input: name,
    fix: 'Give --partial to have the rest, with what is missing written above it; `deploy kubernetes` judges by all of it before it writes anything.',
    exit: 2,
  });
}

const CONTROLLERS: Readonly<Record<AdmissionKind, string>> = { sigstore: 'policy-controller', kyverno: 'Kyverno' };
