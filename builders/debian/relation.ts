import { McpBuildError } from '../../errors/index.ts';
import { OPERATORS, type Operator } from './version.ts';

/** One alternative of a dependency: a package, or a virtual one, and the versions of it that will do. */
export interface Relation {
  readonly name: string;
  readonly constraint: { readonly operator: Operator; readonly version: string } | undefined;
}

const RELATION = /^([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^\s()]+)\s*\))?$/;

/**
 * Reads `Depends`, `Provides` and their like: all groups must hold, each by any one of its alternatives (Debian policy 7.1).
 * Architecture qualifiers are dropped; only one architecture is ever installed.
 * @param owner what has the relation, for the error. @throws McpBuildError `relation-invalid`
 */
export function parseRelations(text: string, owner: string): Relation[][] {
  const groups: Relation[][] = [];
  for (const group of text.split(',')) {
    if (group.trim() === '') continue;
    groups.push(group.split('|').map((alternative) => parseRelation(alternative.trim(), owner)));
  }
  return groups;
}

function parseRelation(text: string, owner: string): Relation {
  const match = RELATION.exec(text);
  if (!match?.[1]) {
    throw new McpBuildError({
      code: 'relation-invalid',
      message: `Package ${owner} has a relation that can't be read: "${text.slice(0, 200)}"`,
      input: owner,
      fix: 'Check the index of the mirror; if it is right, report this relation as unsupported.',
    });
  }
  const operator = OPERATORS.find((known) => known === match[2]);
  return { name: match[1], constraint: operator && { operator, version: match[3]! } };
}
