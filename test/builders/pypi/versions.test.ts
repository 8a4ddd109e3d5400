import { describe, expect, test } from 'vitest';
import { canonicalVersion, sameVersion } from '../../../builders/pypi/version.ts';

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
