import { expect, test } from 'vitest';
import { ground } from '../trust/every-byte.ts';

/** Judged at the same time: most of a verdict's time is waiting for files. */
const LANES = 4;
const ALL_BITS = [0, 1, 2, 3, 4, 5, 6, 7];

/**
 * Each byte of a blob, of which one bit is enough, since a hash has no favourites; each bit of the files without one: the layout's index and
 * version. Some 44,000 verdicts, seven minutes on an idle machine.
 */
test('every byte of an image and of what is said about it, changed, is refused or means the same', async () => {
  const on = await ground();
  try {
    const results = new Map<string, number>();
    const changes = (function* () {
      for (const [file, offset] of on.places)
        for (const bit of on.addressed(file) ? [offset % 8] : ALL_BITS) yield { file, offset, bit };
    })();
    const judge = async (lane: number) => {
      // One iterator for all lanes: each takes what is next.
      for (const { file, offset, bit } of changes) {
        const outcome = await on.change(file, offset, 1 << bit, lane);
        expect(outcome).toMatchObject({ result: expect.stringMatching(/^(refused|fault|same)$/) });
        if (on.image.has(file)) expect(outcome).toMatchObject({ result: expect.stringMatching(/^(refused|fault)$/) });
        results.set(outcome.result, (results.get(outcome.result) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: LANES }, (_, lane) => judge(lane)));
    const files = new Set(on.places.map(([file]) => file));
    expect(files.size).toBeGreaterThan(30);
    console.log(`${on.places.length} bytes: ${[...results].map(([result, count]) => `${result} ${count}`).join(', ')}`);
  } finally {
    await on.end();
  }
});
