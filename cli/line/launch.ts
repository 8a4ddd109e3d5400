import type { Launch } from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';

/** Told before a container starts: most servers end without a word when something is missing. @throws McpBuildError `argument-missing`, `environment-missing` */
export function requireGiven(
  launch: Launch | undefined,
  values: Readonly<Record<string, string>>,
  args: readonly string[],
): void {
  if (!launch) return;
  const wanted = launch.wanted.filter(({ required }) => required);
  if (args.length === 0 && wanted.length > 0) {
    const names = wanted.map(({ name }) => name).join(' ');
    throw new McpBuildError({
      code: 'argument-missing',
      message: `${launch.document.name} needs arguments: ${names}${described(wanted)}`,
      input: names,
      fix: `Give them after --, as in: -- ${names}`,
      exit: 2,
    });
  }
  const missing = launch.environment.filter(
    ({ name, required, value }) => required && value === undefined && values[name] === undefined,
  );
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name).join(', ');
  throw new McpBuildError({
    code: 'environment-missing',
    message: `${launch.document.name} needs ${names}${described(missing)}`,
    input: names,
    // Never taken by itself from what the user has set: the document would choose what the server gets to see.
    fix: `Give it with ${missing.map(({ name, secret }) => (secret ? `--secret ${name}=…` : `--env ${name}`)).join(' ')}.`,
    exit: 2,
  });
}

function described(all: readonly { readonly name: string; readonly description?: string | undefined }[]): string {
  const lines = all.flatMap(({ name, description }) => (description ? [`${name}: ${oneLine(description)}`] : []));
  return lines.length === 0 ? '' : ` (${lines.join('; ')})`;
}

/** What a stranger wrote, for a terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, 200);
}
