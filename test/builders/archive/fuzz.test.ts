import { expect, test } from 'vitest';
import { fuzz, randomFrom, TARGETS } from './fuzz.ts';

const SEED = 20_260_101;

test.each(Object.keys(TARGETS))('%s: nothing but its own errors, and soon', async (name) => {
  const outcomes = await fuzz(name, SEED, (runs) => runs === 400);
  // The mutations reach both what is accepted and what is refused, or they would test nothing.
  expect(outcomes.get('ok')).toBeGreaterThan(0);
  expect([...outcomes.keys()].sort().join()).toMatch(/^(?:archive-invalid,)?(?:archive-unsafe,)?ok$/);
  expect(outcomes.size).toBeGreaterThan(1);
});

test.each(Object.entries(TARGETS))('%s: what it starts from is sound', async (_, { seeds, parse }) => {
  for (const bytes of seeds) await parse(bytes, randomFrom(1));
});
