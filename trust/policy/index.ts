export { defaultPolicy, keyPolicy } from './default.ts';
export { DURATION, parseDuration } from './duration.ts';
export { loadPolicy, parsePolicy, type ReadText } from './parse.ts';
export { matches } from './pattern.ts';
export { POLICY_VERSION, policyJsonSchema } from './schema.ts';
export type { Allowed, Exception, Policy, Requirement, Rule, Trusted, TrustedIdentity, TrustedKey } from './types.ts';
