import { expect, test } from 'vitest';
import { ground } from '../trust/every-byte.ts';

test('every byte of an image and of what is said about it, changed, is refused or means the same', async () => {
  const on = await ground();
  try {
    const results = new Map<string, number>();
    for (const [file, offset] of on.places) {
      // A bit that keeps text text, and one that doesn't.
      for (const bits of [0x01, 0x80]) {
        const outcome = await on.change(file, offset, bits);
        expect(outcome).toMatchObject({ result: expect.stringMatching(/^(refused|fault|same)$/) });
        if (on.image.has(file)) expect(outcome).toMatchObject({ result: expect.stringMatching(/^(refused|fault)$/) });
        results.set(outcome.result, (results.get(outcome.result) ?? 0) + 1);
      }
    }
    console.log(`${on.places.length} bytes: ${[...results].map(([result, count]) => `${result} ${count}`).join(', ')}`);
  } finally {
    await on.end();
  }
});
