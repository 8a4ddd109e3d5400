import { type Finding, finding, printed } from '../finding.ts';
import type { Package } from '../tree.ts';

interface Rules {
  readonly allow?: readonly string[] | undefined;
  readonly deny?: readonly string[] | undefined;
}

/**
 * An SPDX expression against lists of identifiers: `OR` is the user's choice, so one acceptable side is enough; `AND` is not. What is no
 * expression is taken as one name.
 */
export function checkLicence(
  { ref }: Package,
  license: string | undefined,
  rules: Rules,
  matches: (pattern: string, name: string) => boolean,
): readonly Finding[] {
  if (license === undefined || license.trim() === '')
    return [finding('licence-unknown', ref, 'Says nothing of its licence')];
  const acceptable = (id: string) =>
    !(rules.deny?.some((pattern) => matches(pattern, id)) ?? false) &&
    (rules.allow?.some((pattern) => matches(pattern, id)) ?? true);
  if (accepts(license, acceptable)) return [];
  return [finding('licence-refused', ref, `Its licence is ${printed(license)}`)];
}

/** Bounded: expressions are short, and parentheses nest no deeper than a few. */
export function accepts(expression: string, acceptable: (id: string) => boolean): boolean {
  const tokens = expression.slice(0, 500).match(/\(|\)|[^\s()]+/g) ?? [];
  if (!tokens.some((token) => /^(?:AND|OR)$/.test(token)) || tokens.filter((token) => token === '(').length > 20) {
    return acceptable(expression.replace(/[()]/g, '').trim());
  }
  let at = 0;
  const either = (): boolean => {
    let result = both();
    while (tokens[at] === 'OR') {
      at += 1;
      const right = both();
      result ||= right;
    }
    return result;
  };
  const both = (): boolean => {
    let result = one();
    while (tokens[at] === 'AND') {
      at += 1;
      const right = one();
      result &&= right;
    }
    return result;
  };
  const one = (): boolean => {
    if (tokens[at] === '(') {
      at += 1;
      const inner = either();
      if (tokens[at] === ')') at += 1;
      return inner;
    }
    const words: string[] = [];
    while (at < tokens.length && !/^(?:AND|OR|\(|\))$/.test(tokens[at] ?? '')) words.push(tokens[at++] ?? '');
    return acceptable(words.join(' '));
  };
  return either();
}
