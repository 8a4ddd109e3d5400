import { describe, expect, it } from 'vitest';
import type { Model } from '../../../vetting/tools/model.ts';
import { encoded, weigh } from '../../../vetting/tools/network.ts';
import type { Word } from '../../../vetting/tools/words.ts';

const word = (text: string, ...signs: readonly string[]): Word => ({ text, from: 0, to: 0, signs });

/** The kernel's columns come by 16: all but the first are empty. */
const first = (...values: readonly number[]): Float32Array =>
  Float32Array.from(values.flatMap((value) => [value, ...Array<number>(15).fill(0)]));

/** Of a word one number, a mark and a sign; one layer of one unit that sees three words. */
const tiny: Model = {
  name: 'tiny',
  bar: 0,
  hidden: 16,
  width: 1,
  kept: 16,
  projection: first(2),
  centre: first(-1),
  size: 18,
  marks: new Map([['<url>', 0]]),
  signs: new Map([['secret', 0]]),
  sign: 1.5,
  networks: [
    {
      layers: [
        {
          width: 3,
          dilation: 1,
          into: 18,
          // Of each of three words: its numbers, the mark, the sign.
          weights: Float32Array.from(
            [
              [1, 0, 0],
              [10, -4, 2],
              [100, 0, 0],
            ].flatMap(([own, mark, sign]) => [
              ...first(own as number),
              ...Array<number>(15 * 16).fill(0),
              ...first(mark as number, sign as number),
            ]),
          ),
          bias: first(0.5),
        },
      ],
      out: first(0.1),
      bias: -1,
    },
  ],
};

/** What is kept of a word's number is 2 · it - 1. */
const numbers = (...kept: readonly number[]): Float32Array => Float32Array.from(kept, (value) => (value + 1) / 2);

const logSumExp = (places: readonly number[]): number =>
  Math.log(places.reduce((sum, each) => sum + Math.exp(each), 0));

describe('the network', () => {
  it('weighs each word by those around it, and a text by its worst places', () => {
    const { score, worst } = weigh([word('send'), word('keys', 'secret')], numbers(2, 3), tiny);
    // First: own 2 · 10, next 3 · 100; second: before 2 · 1, own 3 · 10 and its sign 1.5 · 2.
    const places = [(20 + 300 + 0.5) * 0.1, (2 + 30 + 3 + 0.5) * 0.1];
    expect(score).toBeCloseTo(logSumExp(places) - 1, 4);
    expect(worst).toBe(0);
  });

  it('takes a kind of thing for what it is, and what is below zero for nothing', () => {
    expect(weigh([word('<url>')], numbers(0), tiny).score).toBeCloseTo(0 - 1, 5);
  });

  it('never finds a text less suspicious for more words', () => {
    const alone = weigh([word('send'), word('keys')], numbers(2, 3), tiny).score;
    const more = weigh(
      ['send', 'keys', 'a', 'b', 'c'].map((text) => word(text)),
      numbers(2, 3, 0, 0, 0),
      tiny,
    ).score;
    expect(more).toBeGreaterThan(alone - 1e-6);
  });

  it('weighs a long text as one, wherever its blocks end', () => {
    const values = Array.from({ length: 1300 }, (_, at) => ((at * 37) % 11) / 10);
    const words = values.map((_, at) => word(`w${at}`));
    const places = values.map(
      (value, at) => Math.max(0, (values[at - 1] ?? 0) * 1 + value * 10 + (values[at + 1] ?? 0) * 100 + 0.5) * 0.1,
    );
    const { score, worst } = weigh(words, numbers(...values), tiny);
    expect(score).toBeCloseTo(logSumExp(places) - 1, 3);
    expect(places[worst]).toBe(Math.max(...places));
  });

  it('reads words that objects have as words', () => {
    expect(encoded([[word('constructor'), word('__proto__'), word('toString')]]).every(Number.isFinite)).toBe(true);
  });
});
