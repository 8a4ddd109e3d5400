import { McpBuildError } from '../../errors/index.ts';

const VARIABLE = /\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/**
 * Puts variables in place of `${NAME}` in every text of a value that was parsed already: a value with quotes in it can't change the structure,
 * and a lone `$` stays one. `$${NAME}` is `${NAME}` as it stands.
 * @throws McpBuildError `environment-missing`
 */
export function expand(value: unknown, environment: Readonly<Record<string, string | undefined>>): unknown {
  if (typeof value === 'string') {
    return value.replace(VARIABLE, (whole, name: string) => {
      if (whole.startsWith('$$')) return whole.slice(1);
      const found = environment[name];
      if (found !== undefined) return found;
      throw new McpBuildError({
        code: 'environment-missing',
        message: `The variable ${name}, which the configuration names, is not set`,
        input: name,
        fix: `Set it where the gateway is started, or write $\${${name}} for these characters themselves.`,
        exit: 2,
      });
    });
  }
  if (Array.isArray(value)) return value.map((each) => expand(each, environment));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, expand(each, environment)]));
}
