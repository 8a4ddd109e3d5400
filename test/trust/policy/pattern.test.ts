import { expect, test } from 'vitest';
import { matches } from '../../../trust/index.ts';

test.each([
  ['npm:@acme/*', 'npm:@acme/server', true],
  ['npm:@acme/*', 'npm:@acme/a/b', false],
  ['npm:@acme/*', 'npm:@acme/', true],
  ['npm:@acme/*', 'npm:@acme-evil/server', false],
  ['npm:@acme/*', 'xnpm:@acme/server', false],
  ['registry.example.test/**', 'registry.example.test/a/b/c', true],
  ['registry.example.test/**', 'registry.example.test.evil.test/a', false],
  ['a.c', 'abc', false],
  ['**', 'anything/at all', true],
  ['*', 'a/b', false],
  ['*-server', 'my-server', true],
  ['*-server', 'my-server-2', false],
  ['', '', true],
  ['', 'a', false],
  ['[a-z]+', 'a', false],
])('%s and %s: %s', (pattern, name, expected) => {
  expect(matches(pattern, name)).toBe(expected);
});

test('takes linear steps, whatever it is asked', () => {
  const started = performance.now();
  expect(matches(`${'*a'.repeat(50)}b`, 'a'.repeat(2000))).toBe(false);
  expect(performance.now() - started).toBeLessThan(20_000);
});
