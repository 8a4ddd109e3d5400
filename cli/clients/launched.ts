import { formatSource, parseSource } from '../../builders/index.ts';
import { isFault } from '../../errors/index.ts';
import { refused, type Understood } from './entry.ts';

const NAME_ONLY = /^(?:@[^/]+\/)?[^/@]+/;

/** A package as `npx` is given it. @param bin the command of it that is started, where it isn't its only one */
export function npmServer(spec: string | undefined, args: readonly string[], bin?: string): Understood {
  if (spec === undefined || spec === '')
    return refused('entry-invalid', 'names no package', 'Say which package it starts.');
  // npm's own spelling of "whatever is newest" is also what no range means.
  const source = `npm:${spec.replace(/@latest$/, '')}`;
  const own = NAME_ONLY.exec(spec)?.[0]?.split('/').at(-1);
  return server(spec, source, args, bin === own ? undefined : bin);
}

/** A project as `uvx` and `pipx run` are given it. */
export function pypiServer(
  spec: string | undefined,
  args: readonly string[],
  bin: string | undefined,
  notes: readonly string[],
): Understood {
  if (spec === undefined || spec === '')
    return refused('entry-invalid', 'names no project', 'Say which project it starts.');
  const found = server(spec, `pypi:${spec}`, args, undefined, notes);
  if (found.kind !== 'server' || bin === undefined) return found;
  const { name } = parseSource(found.wanted.source);
  if (name === bin.toLowerCase().replace(/[-_.]+/g, '-')) return found;
  return { kind: 'server', wanted: { ...found.wanted, bin } };
}

function server(
  spec: string,
  text: string,
  args: readonly string[],
  bin: string | undefined,
  notes: readonly string[] = [],
): Understood {
  try {
    const source = formatSource(parseSource(text));
    return {
      kind: 'server',
      wanted: {
        source,
        ...(bin === undefined ? {} : { bin }),
        args,
        env: {},
        passed: [],
        volumes: [],
        hosts: [],
        notes,
      },
    };
  } catch (error) {
    if (!isFault(error)) throw error;
    return refused(
      'source-invalid',
      `starts "${spec.slice(0, 120)}", which is not a package of a registry`,
      error.fix ?? '',
    );
  }
}
