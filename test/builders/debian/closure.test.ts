import { describe, expect, test } from 'vitest';
import { closure } from '../../../builders/debian/closure.ts';
import { type Package, packageIndex } from '../../../builders/debian/packages.ts';
import { integrityFromHex } from '../../../digest/index.ts';

function pkg(name: string, more: Partial<Package> = {}): Package {
  return {
    name,
    version: '1.0-1',
    architecture: 'amd64',
    preDepends: '',
    depends: '',
    provides: '',
    conflicts: '',
    breaks: '',
    file: `pool/main/x/${name}.deb`,
    size: 1,
    integrity: integrityFromHex('sha256', '00'.repeat(32)),
    suite: 'trixie',
    ...more,
  };
}

function names(roots: string[], packages: Package[], already: Parameters<typeof closure>[2] = []): string[] {
  return closure(roots, packageIndex(packages), already).map(({ name }) => name);
}

describe('closure', () => {
  test('follows Depends and Pre-Depends, cycles included, in byte order', () => {
    const packages = [pkg('a', { depends: 'z', preDepends: 'b' }), pkg('b', { depends: 'a' }), pkg('z'), pkg('unused')];
    expect(names(['a'], packages)).toEqual(['a', 'b', 'z']);
  });

  test('takes the first alternative that can be had', () => {
    const packages = [pkg('a', { depends: 'missing | old (>= 2) | c | d' }), pkg('old'), pkg('c'), pkg('d')];
    expect(names(['a'], packages)).toEqual(['a', 'c']);
  });

  test('an alternative that is chosen already wins over an earlier one', () => {
    const packages = [pkg('a', { depends: 'c | d' }), pkg('c'), pkg('d')];
    expect(names(['a', 'd'], packages)).toEqual(['a', 'd']);
  });

  test('a virtual package is met by a provider, the first in byte order', () => {
    const packages = [pkg('a', { depends: 'awk' }), pkg('mawk', { provides: 'awk' }), pkg('gawk', { provides: 'awk' })];
    expect(names(['a'], packages)).toEqual(['a', 'gawk']);
    expect(names(['a'], packages, [{ name: 'mawk', version: '1', provides: 'awk' }])).toEqual(['a']);
  });

  test('only a versioned Provides meets a versioned relation', () => {
    const asks = pkg('a', { depends: 'libgcc1 (>= 1:4)' });
    expect(names(['a'], [asks, pkg('libgcc-s1', { provides: 'libgcc1 (= 1:14)' })])).toEqual(['a', 'libgcc-s1']);
    expect(() => names(['a'], [asks, pkg('libgcc-s1', { provides: 'libgcc1' })])).toThrow(
      expect.objectContaining({ code: 'dependency-unmet', input: 'a' }),
    );
  });

  test('what is there already is not chosen, and one without a version meets every relation', () => {
    const packages = [
      pkg('a', { depends: 'debconf (>= 0.5) | debconf-2.0, libc6 (>= 2)' }),
      pkg('libc6', { version: '2' }),
    ];
    expect(names(['a'], packages, [{ name: 'debconf' }, { name: 'libc6', version: '2.41' }])).toEqual(['a']);
  });

  test('a package that is there in a version that will not do is refused, not taken twice', () => {
    const packages = [pkg('a', { depends: 'libc6 (>= 3)' }), pkg('libc6', { version: '3' })];
    expect(() => names(['a'], packages, [{ name: 'libc6', version: '2' }])).toThrow(
      expect.objectContaining({ code: 'dependency-unmet' }),
    );
  });

  test('refuses roots that no suite has, and dependencies that nothing meets', () => {
    expect(() => names(['nope'], [])).toThrow(expect.objectContaining({ code: 'package-not-in-suite', input: 'nope' }));
    expect(() => names(['a'], [pkg('a', { depends: 'b (>> 1.0-1)' }), pkg('b')])).toThrow(
      expect.objectContaining({ code: 'dependency-unmet', input: 'a' }),
    );
  });

  test('refuses packages that conflict with or break each other, but not with themselves', () => {
    const conflicting = [pkg('a', { depends: 'b', conflicts: 'b (<< 2)' }), pkg('b')];
    expect(() => names(['a'], conflicting)).toThrow(expect.objectContaining({ code: 'package-conflict', input: 'a' }));
    expect(names(['a'], [pkg('a', { depends: 'b', breaks: 'b (<< 1)' }), pkg('b')])).toEqual(['a', 'b']);
    expect(names(['a'], [pkg('a', { provides: 'mta', conflicts: 'mta' })])).toEqual(['a']);
    const already = [{ name: 'mta', version: '1' }];
    expect(() => names(['a'], [pkg('a', { breaks: 'mta' })], already)).toThrow(
      expect.objectContaining({ code: 'package-conflict' }),
    );
  });
});

test('packageIndex keeps the newest, and of equal versions the first', () => {
  const packages = [
    pkg('a', { version: '1.0-1+deb13u1', suite: 'trixie-security' }),
    pkg('b', { version: '2', suite: 'trixie-security' }),
    pkg('a', { version: '1.0-1', suite: 'trixie' }),
    pkg('b', { version: '2', suite: 'trixie' }),
    pkg('b', { version: '10', suite: 'trixie-updates' }),
  ];
  const index = packageIndex(packages);
  expect(index.packages.get('a')?.suite).toBe('trixie-security');
  expect(index.packages.get('b')?.suite).toBe('trixie-updates');
  expect(packageIndex(packages.slice(0, 4)).packages.get('b')?.suite).toBe('trixie-security');
});
