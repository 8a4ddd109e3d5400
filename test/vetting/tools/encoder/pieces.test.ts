import { describe, expect, it } from 'vitest';
import { piecesOf } from '../../../../vetting/tools/encoder/pieces.ts';

const names = ['[UNK]', 'send', 'keys', 'key', '##s', '##board', "'", 'the', 'e'];
const vocabulary = new Map(names.map((name, at) => [name, at]));
const read = (word: string) => piecesOf(word, vocabulary).map((at) => names[at]);

describe('a word', () => {
  it.each([
    ['send', ['send']],
    ['keys', ['keys']],
    ['keyboards', ['key', '##board', '##s']],
    ['SEND', ['send']],
    ['s\u00e9nd', ['send']],
    ["the'keys", ['the', "'", 'keys']],
    ['keyxyz', ['[UNK]']],
    ["keyxyz'send", ['[UNK]', "'", 'send']],
    ['', ['[UNK]']],
    [' ', ['[UNK]']],
    ['\u5bc6', ['[UNK]']],
  ])('is taken apart as its vocabulary has it: %j', (word, pieces) => {
    expect(read(word)).toEqual(pieces);
  });

  it('has a bounded number of pieces, however long it is', () => {
    expect(read("'".repeat(100_000))).toHaveLength(8);
    expect(read('e'.repeat(100_000))).toEqual(['[UNK]']);
  });
});
