import { McpBuildError } from '../../../errors/index.ts';

/** One of several equal parts of a list of servers, for jobs that each publish one. */
export interface Shard {
  /** From 1. */
  readonly index: number;
  readonly of: number;
}

/** Reads `2/4`. @throws McpBuildError `shard-invalid` */
export function parseShard(text: string): Shard {
  const [, index = 0, of = 0] = (/^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? []).map(Number);
  if (index >= 1 && index <= of) return { index, of };
  throw new McpBuildError({
    code: 'shard-invalid',
    message: `"${text}" is not one part of several`,
    input: text,
    fix: 'Write 1/4, 2/4, 3/4 and 4/4, one for each job.',
    exit: 2,
  });
}

/**
 * Every job computes the same parts from the same list, so each server is in exactly one: by turns, in the list's order, so that neighbours, which often take
 * as long as each other, are apart. May be empty.
 */
export function shardOf<T>(all: readonly T[], { index, of }: Shard): readonly T[] {
  return all.filter((_, at) => at % of === index - 1);
}
