import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ground, ground } from './every-byte.ts';

/** `npm run soak` changes every byte; here a sample that is another each day, named by its seed. */
const SAMPLE = 80;
const seed = Math.floor(Date.now() / 86_400_000);

function* randomly(from: number): Generator<number> {
  // Mulberry32: enough to spread a sample, and it can be repeated.
  for (let state = from >>> 0; ; ) {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    yield (mixed ^ (mixed >>> 14)) >>> 0;
  }
}

describe('one byte changed anywhere in an image and what is said about it', () => {
  let on: Ground;
  beforeAll(async () => {
    on = await ground();
  });
  afterAll(() => on?.end());

  test(`is refused, or means the same (seed ${seed})`, async () => {
    const random = randomly(seed);
    const next = (below: number) => (random.next().value as number) % below;
    const results = new Map<string, number>();
    for (let turn = 0; turn < SAMPLE; turn += 1) {
      const [file, offset] = on.places[next(on.places.length)] ?? ['', 0];
      const outcome = await on.change(file, offset, 1 << next(8));
      expect(outcome).toMatchObject({ result: expect.stringMatching(/^(refused|fault|same)$/) });
      // What is attached to a platform may be lost where the index has the same; the image itself may not be touched.
      if (on.image.has(file)) expect(outcome).toMatchObject({ result: expect.stringMatching(/^(refused|fault)$/) });
      results.set(outcome.result, (results.get(outcome.result) ?? 0) + 1);
    }
    expect((results.get('refused') ?? 0) + (results.get('fault') ?? 0)).toBeGreaterThan(SAMPLE / 4);
  }, 120_000);
});
