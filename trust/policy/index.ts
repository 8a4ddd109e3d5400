export { defaultPolicy, keyPolicy } from './default.ts';
export { DURATION, parseDuration } from './duration.ts';
export { type FindRoot, loadPolicy, parsePolicy, type ReadText } from './parse.ts';
export { matches } from './pattern.ts';
export { POLICY_VERSION, policyJsonSchema } from './schema.ts';
export {
  type Allowed,
  DEFAULT_DRIFT,
  type DriftPolicy,
  type Exception,
  type OnDrift,
  type Policy,
  type Requirement,
  type Rule,
  type Trusted,
  type TrustedIdentity,
  type TrustedKey,
} from './types.ts';
export { DEFAULT_VETTING, type VettingRules } from './vetting.ts';
