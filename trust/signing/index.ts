export { parseSigningConfig, type Service, type SigningServices } from './config.ts';
export { type ExecOptions, execSigner } from './exec.ts';
export { ambientIdentity, type Identity, keylessSigner, publicGoodServices, tokenIdentity } from './keyless.ts';
export { witnessesOf } from './witnesses.ts';
