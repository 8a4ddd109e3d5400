import { McpBuildError } from '../../../errors/index.ts';
import type { Environment } from '../home.ts';

const VARIABLE = /\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|\{)/g;

/** Names of variables whose values are secrets more often than not. What is published must not take one in by mistake. */
const SECRET =
  /(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|PRIVATE_KEY|API_?KEY|ACCESS_KEY|AUTH)(?:_|$)/i;
/** What well-known services' tokens and keys look like. */
const TOKENS =
  /\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{20}|npm_[A-Za-z0-9]{30,}|pypi-AgE[A-Za-z0-9_-]{30,}|sk-[A-Za-z0-9_-]{20,}|xox[abposr]-[A-Za-z0-9-]{10,}|A[KS]IA[0-9A-Z]{16})\b|-----BEGIN [A-Z ]*PRIVATE KEY-----/;

export function hasVariables(text: string): boolean {
  return text.includes(`\${`);
}

/** Whether a variable's name says that its value is a secret. */
export function namesSecret(name: string): boolean {
  return SECRET.test(name);
}

export function looksLikeToken(text: string): boolean {
  return TOKENS.test(text);
}

/** The names that `text` takes in, or what is wrong with how it is written. */
export function variablesOf(text: string): readonly string[] | { readonly problem: string } {
  const names: string[] = [];
  for (const [match, name] of text.matchAll(VARIABLE)) {
    if (name !== undefined) names.push(name);
    else if (match.endsWith('{'))
      return { problem: `write a variable as \${NAME} or \${NAME:-default}, and a literal \${ as $\${` };
  }
  return names;
}

/**
 * Replaces `${NAME}` and `${NAME:-default}`; `$$` is a literal `$`. An empty variable counts as unset, as in a CI that has no value for it.
 * @param where what is expanded, for errors. @throws McpBuildError `variable-unset`
 */
export function expand(text: string, environment: Environment, where: string): string {
  return text.replace(VARIABLE, (match: string, name: string | undefined, fallback: string | undefined) => {
    if (match === '$$') return '$';
    if (name === undefined) return match;
    const value = environment[name];
    if (value !== undefined && value !== '') return value;
    if (fallback !== undefined) return fallback;
    throw new McpBuildError({
      code: 'variable-unset',
      message: `${where} needs the variable ${name}, which is not set`,
      input: name,
      fix: `Set ${name}, or write a default: \${${name}:-…}.`,
      exit: 2,
    });
  });
}
