/** What a word is looked up as where the vocabulary has nothing for it. */
export const UNKNOWN = '[UNK]';

/** Pieces of one word that are read: what is longer is no word, and must not push others out of the window. */
const MOST_PIECES = 8;

/** Letters of one word, as in the tokenizer that the vocabulary is of. */
const LONGEST = 100;

/**
 * A word as WordPiece takes it apart (BERT, uncased): without accents, each sign for itself, then the longest piece that the vocabulary
 * has from the start, and so on, `##` before what goes on a word.
 *
 * @param vocabulary where each piece stands
 * @returns at least one place
 */
export function piecesOf(word: string, vocabulary: ReadonlyMap<string, number>): readonly number[] {
  const unknown = vocabulary.get(UNKNOWN) as number;
  const found: number[] = [];
  const plain = word
    .slice(0, LONGEST)
    .toLowerCase()
    .normalize('NFD')
    .replace(/\p{Mn}/gu, '');
  for (const [part] of plain.matchAll(/[\p{L}\p{N}\p{M}]+|[^\s]/gu)) {
    const before = found.length;
    for (let from = 0; from < part.length; ) {
      let to = part.length;
      let piece: number | undefined;
      for (; to > from; to -= 1) {
        piece = vocabulary.get(from === 0 ? part.slice(0, to) : `##${part.slice(from, to)}`);
        if (piece !== undefined) break;
      }
      if (piece === undefined) {
        found.splice(before, Number.POSITIVE_INFINITY, unknown);
        break;
      }
      found.push(piece);
      from = to;
    }
    if (found.length >= MOST_PIECES) break;
  }
  return found.length === 0 ? [unknown] : found.slice(0, MOST_PIECES);
}
