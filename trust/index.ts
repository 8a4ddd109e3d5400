export { type Attached, attach, attest, signImage } from './attach.ts';
export { BUNDLE_TYPE, type Bundle, formatBundle, type KeyMaterial, parseBundle, type Testimony } from './bundle.ts';
export { type Platform, type ReadLayers, verifyContent } from './content.ts';
export type { Accepted, Asked, Attestation, Content, Evidence, Said } from './evidence.ts';
export { type Followed, type FollowOptions, followRoot, type TufMetadata } from './follow.ts';
export { type GatherOptions, gather } from './gather.ts';
export {
  type Assessment,
  assess,
  beyond,
  type CaseResult,
  checkRollback,
  checkSource,
  compareVersions,
  explain,
  judge,
  type PolicyCase,
  sourceName,
  testPolicy,
} from './judge/index.ts';
export {
  generateKey,
  type KeyKind,
  type PrivateKey,
  type PublicKey,
  parsePrivateKey,
  parsePublicKey,
  publicPem,
  readPrivateKey,
  writeKey,
} from './keys.ts';
export { type AttestedOrigin, originOf } from './origin.ts';
export {
  type Allowed,
  DEFAULT_DRIFT,
  DEFAULT_VETTING,
  type DriftPolicy,
  DURATION,
  defaultPolicy,
  type Exception,
  type FindRoot,
  keyPolicy,
  loadPolicy,
  matches,
  type OnDrift,
  type Policy,
  parseDuration,
  parsePolicy,
  policyJsonSchema,
  type ReadText,
  type Requirement,
  type Rule,
  type Trusted,
  type TrustedIdentity,
  type TrustedKey,
  type VettingRules,
} from './policy/index.ts';
export { cyclonedx } from './predicate/cyclonedx.ts';
export { type Material, type Materials, nameOf, purlOf } from './predicate/materials.ts';
export { BUILD_TYPE, type Build, LOCAL_BUILDER, provenancePredicate } from './predicate/provenance.ts';
export { type Permissions, readServer, type ServerPredicate, serverSchema } from './predicate/server.ts';
export { spdx } from './predicate/spdx.ts';
export { summaryPredicate, type Verification } from './predicate/summary.ts';
export {
  isWorse,
  readVulns,
  type Scan,
  SEVERITIES,
  type Severity,
  type Vulnerability,
  vulnsPredicate,
} from './predicate/vulns.ts';
export { PUBLIC_GOOD, publicGoodRepository, publicGoodRoot } from './root.ts';
export { keySigner, type Signature, type Signer, seal, type Witness } from './signer.ts';
export {
  ambientIdentity,
  type ExecOptions,
  execSigner,
  type Identity,
  keylessSigner,
  parseSigningConfig,
  publicGoodServices,
  type Service,
  type SigningServices,
  tokenIdentity,
  witnessesOf,
} from './signing/index.ts';
export { parseTrustedRoot, type TrustedRoot } from './sigstore.ts';
export {
  isAbout,
  PREDICATES,
  type PredicateName,
  predicateName,
  predicateType,
  type Statement,
  type Subject,
  statement,
} from './statement.ts';
export { CHECKS, type Check, type CheckId, failures, type Verdict, verdictOf } from './verdict.ts';
