import { expect, test } from 'vitest';
import { fuzz, TARGETS } from '../builders/archive/fuzz.ts';

const names = Object.keys(TARGETS);
/** Of each parser. */
const seconds = Number(process.env.SOAK_SECONDS ?? 600);

/** Another part of the space each day; a failure names the seed that `fuzzOnce` repeats it with. */
const seed = Math.floor(Date.now() / 86_400_000) * 100_000_000;

test.each(names)('%s', async (name) => {
  const end = performance.now() + seconds * 1000;
  const before = process.memoryUsage.rss();
  const outcomes = await fuzz(name, seed, () => performance.now() > end);
  const runs = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
  console.log(`${name}: ${runs} runs, ${[...outcomes].map(([code, count]) => `${code} ${count}`).join(', ')}`);
  expect(outcomes.size).toBeGreaterThan(1);
  expect(process.memoryUsage.rss() - before).toBeLessThan(300 * 1024 * 1024);
});
