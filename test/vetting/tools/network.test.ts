import { describe, expect, it } from 'vitest';
import type { Model } from '../../../vetting/tools/model.ts';
import { weigh } from '../../../vetting/tools/network.ts';
import type { Word } from '../../../vetting/tools/words.ts';

const word = (text: string, ...signs: readonly string[]): Word => ({ text, from: 0, to: 0, signs });

/** Two words with one dimension, a mark and a sign; one layer of one unit that sees three words. */
const tiny: Model = {
  bar: 0,
  hidden: 1,
  vector: 1,
  size: 3,
  words: new Map([
    ['send', 0],
    ['keys', 1],
  ]),
  vectors: Float32Array.of(2, 3),
  marks: new Map([['<other>', 0]]),
  signs: new Map([['secret', 0]]),
  sign: 1.5,
  networks: [
    {
      // Of each of three words: its vector, the mark, the sign.
      layers: [
        {
          width: 3,
          dilation: 1,
          into: 3,
          weights: Float32Array.of(1, 0, 0, 10, -4, 2, 100, 0, 0),
          bias: Float32Array.of(0.5),
        },
      ],
      out: Float32Array.of(0.1),
      bias: -1,
    },
  ],
};

describe('the network', () => {
  it('weighs each word by those around it, and a text by its worst places', () => {
    const { score, worst } = weigh([word('send'), word('keys', 'secret')], tiny);
    // First: own 2 · 10, next 3 · 100; second: before 2 · 1, own 3 · 10 and its sign 1.5 · 2.
    const places = [(20 + 300 + 0.5) * 0.1, (2 + 30 + 3 + 0.5) * 0.1];
    expect(score).toBeCloseTo(Math.log(places.reduce((sum, each) => sum + Math.exp(each), 0)) - 1, 4);
    expect(worst).toBe(0);
  });

  it('takes a word that it does not know for what it is, and what is below zero for nothing', () => {
    expect(weigh([word('zyzzyva')], tiny).score).toBeCloseTo(0 - 1, 5);
  });

  it('never finds a text less suspicious for more words', () => {
    const alone = weigh([word('send'), word('keys')], tiny).score;
    const more = weigh([word('send'), word('keys'), word('zyzzyva'), word('zyzzyva'), word('zyzzyva')], tiny).score;
    expect(more).toBeGreaterThan(alone - 1e-6);
  });
});
