import { isDeepStrictEqual } from 'node:util';
import { McpBuildError } from '../../errors/index.ts';
import type { Entry } from './entry.ts';
import type { Start } from './plan.ts';
import { type Change, isRecord, type Path, type Syntax, SyntaxFault, valueAt } from './syntax.ts';

/** How this mcp-build is started by a program that knows no PATH: every word absolute. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** Variables that decide where state lives, which a graphical client wouldn't have. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Rewrite {
  readonly entry: Entry;
  readonly start: Start;
}

/** The words behind the program: `run <source> … -- <args>`. */
export function runWords(start: Start): readonly string[] {
  const { network } = start;
  return [
    'run',
    start.source,
    ...(start.bin === undefined ? [] : ['--bin', start.bin]),
    ...start.volumes.flatMap((volume) => ['--volume', volume]),
    ...(network === 'none' ? [] : ['--allow-net', network === 'all' ? 'all' : network.join(',')]),
    ...start.variables.flatMap((name) => ['--env', name]),
    ...(start.args.length > 0 ? ['--', ...start.args] : []),
  ];
}

/**
 * A client's file with some of its servers started through `program`. What comes out is read again: it must be what was read before with
 * exactly these servers changed, or nothing is given out.
 * @throws McpBuildError `client-file-not-rewritable`
 */
export function rewrite(
  text: string,
  file: string,
  syntax: Syntax,
  rewrites: readonly Rewrite[],
  program: Program,
): string {
  const changes = rewrites.flatMap((one) => changesOf(one, program, syntax.parse(text)));
  try {
    const changed = syntax.change(text, changes);
    if (isDeepStrictEqual(syntax.parse(changed), applied(syntax.parse(text), changes))) return changed;
    throw new SyntaxFault(text, 0, 'the result reads as something else');
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    throw new McpBuildError({
      code: 'client-file-not-rewritable',
      message: `${file} can't be changed in place: ${error.message}`,
      input: file,
      fix: 'Leave out --write, and put in what `mcp-build export` prints by hand.',
    });
  }
}

function changesOf({ entry, start }: Rewrite, program: Program, value: unknown): readonly Change[] {
  const { path, shape } = entry;
  const argv = [...program.args, ...runWords(start)];
  const changes: Change[] =
    shape.args === 'argv'
      ? [{ path: [...path, ...shape.command], value: [program.command, ...argv] }]
      : [
          { path: [...path, ...shape.command], value: program.command },
          { path: [...path, ...shape.args], value: argv },
        ];
  const added = Object.entries({ ...start.moved, ...program.env }).filter(([name]) => !Object.hasOwn(entry.env, name));
  if (added.length === 0) return changes;
  const env: Path = [...path, ...shape.env];
  const there = valueAt(value, env);
  if (isRecord(there) && Object.keys(there).length > 0)
    return [...changes, ...added.map(([name, word]) => ({ path: [...env, name], value: word }))];
  return [...changes, { path: env, value: Object.fromEntries(added) }];
}

/** The same changes on the value instead of the text. */
function applied(value: unknown, changes: readonly Change[]): unknown {
  const root = structuredClone(value);
  for (const { path, value: wanted } of changes) {
    const parent = valueAt(root, path.slice(0, -1));
    if (!isRecord(parent)) throw new SyntaxFault('', 0, `"${path.join('.')}" has no place`);
    (parent as Record<string | number, unknown>)[path.at(-1) ?? ''] = structuredClone(wanted);
  }
  return root;
}
