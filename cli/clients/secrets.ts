import { looksLikeToken, namesSecret } from '../line/manifest/index.ts';

const PRIVATE_NAME =
  /(?:^|_)(?:TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|SESSION|PAT|DSN|PIN|CERT|WEBHOOK|JWT|BEARER|ACCOUNT|USER|USERNAME|EMAIL|LOGIN)S?(?:_|$)/i;
/** Switches, numbers, levels, regions, plain paths and addresses without anything before an @ or behind a ?. */
const HARMLESS =
  /^(?:true|false|yes|no|on|off|[0-9]{1,9}|[a-z][a-z-]{0,15}(?:-[0-9]{1,2})?|https?:\/\/[a-z0-9.-]+(?::[0-9]{1,5})?\/?)$/i;

/**
 * Whether a variable's value may be copied out of the client's file into one that is committed. Doubt means no: a token that reads like
 * nothing in particular is a token.
 */
export function mayBeCommitted(name: string, value: string): boolean {
  return !namesSecret(name) && !PRIVATE_NAME.test(name) && HARMLESS.test(value);
}

/** Whether a word holds what a client fills in when it starts the server: VS Code's `${input:…}`, `${env:…}`, `%NAME%`. */
export function isTemplate(word: string): boolean {
  return /\$\{[^}]*\}|\$[A-Za-z_]|%[A-Za-z_][A-Za-z0-9_]*%|\{\{/.test(word);
}

/** Whether an argument may hold a secret, or take one in as its next word. */
export function mayHoldSecret(word: string): boolean {
  return (
    looksLikeToken(word) ||
    /(?:token|key|secret|passw|auth|credential)/i.test(word) ||
    /[A-Za-z0-9_-]{24,}/.test(word.replace(/^https?:\/\/[a-z0-9.:-]*/i, ''))
  );
}
