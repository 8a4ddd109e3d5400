import { hash as digestOf } from 'node:crypto';

/** What a record tells. Never an argument or an answer: those may hold secrets, and belong to the caller. */
export type Telling = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Where a chain stands: the number and hash of its last record. */
export interface Head {
  readonly n: number;
  /** Lower-case hex, SHA-256. */
  readonly hash: string;
}

export const START: Head = { n: 0, hash: '0'.repeat(64) };

/** In bytes, of one line: names of clients, servers and tools are bounded before they come here. */
export const LINE_LIMIT = 16 * 1024;

/**
 * One line of the log. The hash is over everything before it in the line, the hash of the line before included: whoever changes, removes or moves a
 * record has to make all later ones anew, and the last of those is known elsewhere.
 */
export function lineOf(at: string, telling: Telling, after: Head): { readonly line: string; readonly head: Head } {
  const n = after.n + 1;
  const when = telling.at === undefined ? `,"at":"${at}"` : '';
  // Pieced together as text: objects made anew for each line cost more than the hash.
  const told = JSON.stringify(telling).slice(1, -1);
  const text = `{"n":${n}${when}${told === '' ? '' : ','}${told},"prev":"${after.hash}"`;
  const hash = digestOf('sha256', text, 'hex');
  return { line: `${text},"hash":"${hash}"}\n`, head: { n, hash } };
}

const END = /^(\{"n":(\d{1,15}),.*,"prev":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"\}$/s;

/** @returns what is wrong with a line that should follow `after`, or the head behind it */
export function follow(line: string, after: Head): Head | string {
  const match = END.exec(line);
  if (!match) return 'is not a record';
  const [, text = '', n, prev, hash = ''] = match;
  if (digestOf('sha256', text, 'hex') !== hash) return 'was changed';
  if (Number(n) !== after.n + 1) return `has the number ${n} instead of ${after.n + 1}: records are missing or moved`;
  if (prev !== after.hash) return 'does not follow the record before it';
  return { n: Number(n), hash };
}

/** The head that a record says it has, unchecked. */
export function headOf(line: string): Head | undefined {
  const match = END.exec(line);
  return match ? { n: Number(match[2]), hash: match[4] ?? '' } : undefined;
}
