import { describe, expect, test } from 'vitest';
import { compareVersions } from '../../../trust/index.ts';

describe('versions of PyPI', () => {
  // PEP 440, "Summary of permitted suffixes and relative ordering", and its examples.
  const ordered = [
    '0.9',
    '1.dev0',
    '1.0.dev456',
    '1.0a1.dev1',
    '1.0a1',
    '1.0a2.dev456',
    '1.0a12.dev456',
    '1.0a12',
    '1.0b1.dev456',
    '1.0b2',
    '1.0b2.post345.dev456',
    '1.0b2.post345',
    '1.0rc1.dev456',
    '1.0rc1',
    '1.0',
    '1.0+abc.5',
    '1.0+abc.7',
    '1.0+5',
    '1.0.post456.dev34',
    '1.0.post456',
    '1.0.15',
    '1.1.dev1',
    '1.1',
    '2026.8.31',
    '1!0.1',
  ];
  test.each(ordered.slice(1).map((version, at) => [ordered[at]!, version]))('%s is older than %s', (older, newer) => {
    expect(compareVersions('pypi', older, newer)).toBeLessThan(0);
    expect(compareVersions('pypi', newer, older)).toBeGreaterThan(0);
  });

  test.each([
    ['1.0', '1.0.0'],
    ['1.0a1', '1.0.alpha-1'],
    ['1.0-1', '1.0.post1'],
    ['1.0c1', '1.0rc1'],
    ['v1.0', '1'],
    ['1.0', '1.0'],
  ])('%s is %s', (a, b) => {
    expect(compareVersions('pypi', a, b)).toBe(0);
  });
});

describe('versions of npm', () => {
  test.each([
    ['1.2.3', '1.2.10'],
    ['1.0.0-rc.1', '1.0.0'],
    ['1.0.0-2', '1.0.0-10'],
  ])('%s is older than %s', (older, newer) => {
    expect(compareVersions('npm', older, newer)).toBeLessThan(0);
  });
});

test.each(['', 'latest', '1.x', 'x'.repeat(1000), '1..2', '-1'])('%s is no version', (text) => {
  expect(compareVersions('npm', text, '1.0.0')).toBeUndefined();
  expect(compareVersions('pypi', text, '1.0')).toBeUndefined();
});
