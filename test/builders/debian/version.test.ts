import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareVersions, OPERATORS, satisfies } from '../../../builders/debian/version.ts';

// From deb-version(7), dpkg's own tests and versions that were in Debian; older first.
const ASCENDING: readonly (readonly [string, string])[] = [
  ['1.0~rc1', '1.0'],
  ['1.0~~', '1.0~~a'],
  ['1.0~~a', '1.0~'],
  ['1.0~', '1.0'],
  ['1.0', '1.0a'],
  ['1.0a', '1.0+'],
  ['1.0', '1.0-1'],
  ['1.0-1', '1.0-1+b1'],
  ['1.0-1', '1.0-1.1'],
  ['1.9', '1.10'],
  ['1.09', '1.10'],
  ['2:0.1', '10:0.1'],
  ['9.9', '1:0.1'],
  ['3.5.7-1~deb13u2', '3.5.7-1~deb13u3'],
  ['3.5.7-1~deb13u3', '3.5.7-1'],
  ['1:1.3.dfsg+really1.3.1-1+b1', '1:1.3.dfsg+really1.3.1-1+deb13u1'],
  ['1.0Z', '1.0a'],
  ['1.0z', '1.0.'],
  ['1.0-a', '1.0-a0b'],
  ['99999999999999999998', '99999999999999999999'],
];

const EQUAL: readonly (readonly [string, string])[] = [
  ['1.0', '0:1.0'],
  ['1.0', '1.00'],
  ['1.0', '1.0-0'],
  ['1.0a', '1.0a0'],
];

// Only valid ones: dpkg refuses to compare others.
const version = fc
  .tuple(
    fc.option(fc.nat(9)),
    fc.stringMatching(/^[0-9][0-9A-Za-z.+~]{0,8}$/),
    fc.option(fc.stringMatching(/^[0-9A-Za-z.+~]{1,6}$/)),
  )
  .map(
    ([epoch, upstream, revision]) =>
      `${epoch === null ? '' : `${epoch}:`}${upstream}${revision === null ? '' : `-${revision}`}`,
  );

describe('compareVersions', () => {
  test.each(ASCENDING)('%s is older than %s', (older, newer) => {
    expect(compareVersions(older, newer)).toBeLessThan(0);
    expect(compareVersions(newer, older)).toBeGreaterThan(0);
  });

  test.each(EQUAL)('%s equals %s', (a, b) => {
    expect(compareVersions(a, b)).toBe(0);
  });

  test('is a total order', () => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(Math.sign(compareVersions(a, b))).toBe(-Math.sign(compareVersions(b, a)) + 0);
        expect(compareVersions(a, a)).toBe(0);
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0)
          expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
      }),
    );
  });

  test.skipIf(spawnSync('dpkg', ['--version']).status !== 0)('agrees with dpkg', () => {
    const pairs = fc.sample(fc.tuple(version, version), 120);
    const script = pairs
      .map(
        ([a, b]) =>
          `dpkg --compare-versions '${a}' lt '${b}' && echo lt || { dpkg --compare-versions '${a}' eq '${b}' && echo eq || echo gt; }`,
      )
      .join('\n');
    const { stdout } = spawnSync('sh', { input: script, encoding: 'utf8' });
    const ours = pairs.map(([a, b]) => (compareVersions(a, b) < 0 ? 'lt' : compareVersions(a, b) > 0 ? 'gt' : 'eq'));
    expect(ours.map((order, index) => `${pairs[index]} ${order}`)).toEqual(
      stdout
        .trim()
        .split('\n')
        .map((order, index) => `${pairs[index]} ${order}`),
    );
  });
});

test('satisfies knows all five operators', () => {
  const results = OPERATORS.map((operator) => ['1.0', '1.1', '1.2'].map((one) => satisfies(one, operator, '1.1')));
  expect(results).toEqual([
    [true, false, false],
    [true, true, false],
    [false, true, false],
    [false, true, true],
    [false, false, true],
  ]);
});
