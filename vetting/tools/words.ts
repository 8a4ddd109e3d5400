import { type Concept, conceptSpans } from './concepts.ts';

/** A stretch of a text that means something, from the first to behind the last character. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly sign: string;
}

export interface Word {
  /** As it is looked up: in lower case, or in angle brackets what kind of thing stands there. */
  readonly text: string;
  readonly from: number;
  readonly to: number;
  /** What it is a part of: concepts, techniques, and how it is written. */
  readonly signs: readonly string[];
}

/** Words of one text that are read. */
export const LONGEST = 20_000;

const TOKEN =
  /https?:\/\/[^\s)>\]'"`]+|[\w.+-]+@[\w-]+\.[\w.-]+|(?:~|\.{1,2})?(?:\/[\w.~*-]+)+\/?|(?<![\w.])\.[a-z][\w-]+|[a-z]+(?:'[a-z]+)?(?![\p{L}\p{N}_])|[\p{L}\p{N}_]+|\n+|[^\s\p{L}\p{N}_]/giu;

/** In which an order would be words without spaces. */
const UNSPACED = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/;

/**
 * The words of a text, as a model would read it (`plain`, in its own case), with what is known of each. Linear in its length.
 *
 * @param spans of techniques that were seen
 */
export function wordsOf(text: string, spans: readonly Span[], isParameter: boolean): readonly Word[] {
  const lower = text.toLowerCase();
  const cased = lower.length === text.length ? text : lower;
  const meanings: readonly Span[] = [
    ...spans,
    ...conceptSpans(lower).map(({ from, to, concept }) => ({ from, to, sign: concept as Concept })),
  ].sort((a, b) => a.from - b.from);
  const found: Word[] = [];
  let next = 0;
  let open: Span[] = [];
  for (const match of lower.matchAll(TOKEN)) {
    if (found.length >= LONGEST) break;
    const from = match.index;
    for (const part of partsOf(match[0])) {
      const at = from + part.offset;
      const to = at + part.length;
      while (next < meanings.length && (meanings[next] as Span).from < to) open.push(meanings[next++] as Span);
      open = open.filter((span) => span.to > at);
      const signs = new Set(open.map(({ sign }) => sign));
      if (isParameter) signs.add('in-schema');
      const written = cased.slice(at, to);
      if (part.length > 2 && /^[A-Z]+$/.test(written)) signs.add('capitals');
      if (part.isPiece) signs.add('piece');
      found.push({ text: part.text, from: at, to, signs: [...signs] });
    }
  }
  return found;
}

interface Part {
  readonly text: string;
  readonly offset: number;
  readonly length: number;
  /** One of several that a name is made of. */
  readonly isPiece?: boolean;
}

function partsOf(token: string): readonly Part[] {
  const whole = (text: string): readonly Part[] => [{ text, offset: 0, length: token.length }];
  if (/^https?:/.test(token)) return whole('<url>');
  if (token.length > 1 && token.includes('@')) return whole('<mail>');
  if (/^[~.]*\/./.test(token) || /^\.[a-z]/.test(token)) return whole('<path>');
  if (token.startsWith('\n')) return whole('<line>');
  if (/^\p{N}+$/u.test(token)) return whole('<number>');
  if (token.length > 1 && token.includes('_')) {
    const pieces = [...token.matchAll(/[^_]+/g)].slice(0, 8);
    return [
      { text: '<name>', offset: 0, length: token.length },
      ...pieces.map((piece) => ({ text: piece[0], offset: piece.index, length: piece[0].length, isPiece: true })),
    ];
  }
  if (UNSPACED.test(token)) {
    return Array.from({ length: Math.min(200, Math.ceil(token.length / 3)) }, (_, at) => ({
      text: '<sign>',
      offset: at * 3,
      length: Math.min(3, token.length - at * 3),
    }));
  }
  return whole(token);
}
