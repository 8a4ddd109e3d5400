import { InvalidArgumentError, Option } from 'commander';
import { hostPlatform, type Platform, parsePlatform } from '../builders/index.ts';
import { isFault } from '../errors/index.ts';

/** `--json`: one JSON document on stdout, and nothing else there. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON document on stdout');
}

export function platformOption(description: string): Option {
  return new Option('--platform <platform>', `${description}; may be repeated`).argParser(
    (value: string, previous: Platform[] | undefined) => [
      ...(previous ?? []),
      ...value.split(',').map((word) => usage(() => parsePlatform(word === 'host' ? hostPlatform() : word))),
    ],
  );
}

/** For sources that name several packages. */
export function packageOption(): Option {
  return new Option(
    '--package <package>',
    'which package of a server.json: npm, pypi or npm:<name>, where it has several',
  );
}

export function daysOption(flags: string, description: string, standard: number): Option {
  return new Option(flags, description).default(standard).argParser((value: string) => {
    const days = Number(value);
    if (!Number.isFinite(days) || days < 0 || days > 3650)
      throw new InvalidArgumentError('Give a number of days from 0 to 3650.');
    return days;
  });
}

/** Lets a parser of the line say what is wrong with a flag in commander's own form. */
export function usage<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (isFault(error)) throw new InvalidArgumentError([error.message, error.fix].filter(Boolean).join('. '));
    throw error;
  }
}

/** Examples at the end of a command's help. */
export function examples(...lines: readonly [command: string, what: string][]): string {
  return `\nExamples:\n${lines.map(([command, what]) => `  # ${what}\n  $ ${command}`).join('\n')}\n`;
}

/** A flag that may be given several times. */
export function repeated<T>(flags: string, description: string, parse: (word: string) => T): Option {
  return new Option(flags, `${description}; may be repeated`).argParser(
    (value: string, previous: readonly T[] | undefined) => [...(previous ?? []), usage(() => parse(value))],
  );
}

export type Transport = 'stdio' | 'http';

export function transportOption(): Option {
  return new Option(
    '--transport <how>',
    'http: the image serves Streamable HTTP, for a cluster; stdio by default',
  ).choices(['stdio', 'http']);
}
