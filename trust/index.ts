export { type Attached, attach, attest, signImage } from './attach.ts';
export { BUNDLE_TYPE, type Bundle, formatBundle, type Material, parseBundle, type Testimony } from './bundle.ts';
export { type Platform, verifyContent } from './content.ts';
export type { Attestation, Content, Evidence, Said } from './evidence.ts';
export { type GatherOptions, gather } from './gather.ts';
export { judge } from './judge.ts';
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
export { keyPolicy, type Policy, type Requirement, type Trusted } from './policy.ts';
export { keySigner, type Signature, type Signer, seal, type Witness } from './signer.ts';
export {
  PREDICATES,
  type PredicateName,
  predicateName,
  predicateType,
  type Statement,
  type Subject,
  statement,
} from './statement.ts';
export { CHECKS, type Check, type CheckId, failures, type Verdict, verdictOf } from './verdict.ts';
