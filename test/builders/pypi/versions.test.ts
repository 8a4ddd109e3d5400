import { describe, expect, test } from 'vitest';
import { admits, isExact, parseSpecifiers } from '../../../builders/pypi/specifier.ts';
import { canonicalVersion, compareVersions, parseVersion, sameVersion } from '../../../builders/pypi/version.ts';

describe('versions by PEP 440', () => {
  test.each([
    ['1.0', '1'],
    ['1.0.0', '1'],
    ['v1.0-RC.1', '1rc1'],
    ['1.0alpha', '1a0'],
    ['1.0-1', '1.post1'],
    ['1.0.post', '1.post0'],
    ['1.0.rev3', '1.post3'],
    ['1.0.dev', '1.dev0'],
    ['1!2.0', '1!2'],
    ['0!2.0', '2'],
    ['2024.01.02', '2024.1.2'],
    ['1.0+Ubuntu-01', '1+ubuntu.1'],
    ['0.0.0', '0'],
  ])('%s is %s', (written, canonical) => {
    expect(canonicalVersion(written)).toBe(canonical);
  });

  test.each(['', 'x', '1..2', '1.0 2', '1.0+', '1.0-', '1.0/../x', `${'1.'.repeat(200)}1`])('%j is none', (text) => {
    expect(canonicalVersion(text)).toBeUndefined();
    expect(sameVersion(text, text)).toBe(false);
  });

  test('releases that differ are not the same', () => {
    expect(sameVersion('1.0', '1.0.1')).toBe(false);
    expect(sameVersion('1.0', '1.0rc1')).toBe(false);
    expect(sameVersion('1.0', '1.0+local')).toBe(false);
    expect(sameVersion('1.0.0', 'v1')).toBe(true);
  });
});

test('their order', () => {
  // PEP 440, "Summary of permitted suffixes and relative ordering", and what is around it.
  const sorted =
    '0.9 1.dev0 1.0.dev456 1.0a1.dev2 1.0a1 1.0a2.dev456 1.0a12 1.0b1.dev456 1.0b2 1.0b2.post345.dev456 1.0b2.post345 1.0rc1.dev456 1.0rc1 1.0 1.0.post456.dev34 1.0.post456 1.0.15 1.1.dev1 1.10 1!0.1';
  const versions = sorted.split(' ').map((text) => parseVersion(text)!);
  for (const [at, one] of versions.entries()) {
    for (const [other, two] of versions.entries()) {
      expect(Math.sign(compareVersions(one, two))).toBe(Math.sign(at - other));
    }
  }
  expect(compareVersions(parseVersion('1.0+cu1')!, parseVersion('v1')!)).toBe(0);
  expect(parseVersion('x')).toBeUndefined();
});

describe('specifiers', () => {
  test.each([
    ['>=1,<3', '1.0 2.9 2.99.post1', '0.9 3.0 3.0rc1'],
    ['>1', '1.0.1 1.1.dev1', '1.0 1.0.post1 1.0rc1'],
    ['>1.post1', '1.post2', '1.post1 1'],
    ['<2rc1', '2a1 1.9', '2rc1 2'],
    ['<=2', '2.0 2.0rc1 2+local', '2.0.post1'],
    ['==1.*', '1.0 1.9.post2 1rc1', '2.0 11.0 1!1.0'],
    ['!=1.5.*, !=1.7', '1.6', '1.5 1.5.3 1.7.0'],
    ['~=1.4.2', '1.4.2 1.4.9', '1.4.1 1.5'],
    ['~=1.4', '1.4 1.9', '2.0 1.3'],
    ['==1.0', '1 1.0.0 1.0+local', '1.0.1'],
    ['==1.0+local', '1+LOCAL', '1.0'],
    ['===1.0', '1.0', '1'],
    ['', '1 2rc1', 'x'],
    ['>=3.6.*', '3.13.5', '3.5'],
  ])('%s', (text, inside, outside) => {
    const clauses = parseSpecifiers(text)!;
    for (const one of inside.split(' ')) expect([one, admits(clauses, one)]).toEqual([one, true]);
    for (const one of outside.split(' ')) expect([one, admits(clauses, one)]).toEqual([one, false]);
  });

  test('what is none, and what leaves one release', () => {
    expect(parseSpecifiers('latest')).toBeUndefined();
    expect(parseSpecifiers('>=')).toBeUndefined();
    expect(['==1', '>=1,===2', '==1.*', '>=1', ''].map((text) => isExact(parseSpecifiers(text)!))).toEqual([
      ...[true, true, false, false, false],
    ]);
  });
});
