import fc from 'fast-check';
import semver from 'semver';
import { describe, expect, it } from 'vitest';
import { compareOf, isAffected } from '../../../vetting/advisories/range.ts';
import type { Event } from '../../../vetting/advisories/record.ts';

const range = (...events: readonly Event[]) => ({ versions: [], ranges: [[...events]] });

describe('ranges', () => {
  // Checked by hand against OSV's schema, "Evaluation".
  it.each([
    ['npm', '1.2.3', [{ introduced: '0' }, { fixed: '1.2.4' }], true, '1.2.4'],
    ['npm', '1.2.4', [{ introduced: '0' }, { fixed: '1.2.4' }], false, undefined],
    ['npm', '1.2.4-rc.1', [{ introduced: '0' }, { fixed: '1.2.4' }], true, '1.2.4'],
    ['npm', '0.9.9', [{ introduced: '1.0.0' }, { fixed: '1.2.4' }], false, undefined],
    ['npm', '1.0.0', [{ introduced: '1.0.0' }, { last: '1.0.0' }], true, undefined],
    ['npm', '1.0.1', [{ introduced: '1.0.0' }, { last: '1.0.0' }], false, undefined],
    [
      'npm',
      '2.5.0',
      [{ introduced: '1.0.0' }, { fixed: '1.5.0' }, { introduced: '2.0.0' }, { fixed: '2.6.0' }],
      true,
      '2.6.0',
    ],
    [
      'npm',
      '1.7.0',
      [{ introduced: '1.0.0' }, { fixed: '1.5.0' }, { introduced: '2.0.0' }, { fixed: '2.6.0' }],
      false,
      undefined,
    ],
    // Events in any order mean the same.
    [
      'npm',
      '2.5.0',
      [{ fixed: '2.6.0' }, { introduced: '2.0.0' }, { fixed: '1.5.0' }, { introduced: '1.0.0' }],
      true,
      '2.6.0',
    ],
    ['npm', '3.0.0', [{ introduced: '0' }], true, undefined],
    ['npm', '3.0.0', [{ introduced: '0' }, { limit: '3.0.0' }], false, undefined],
    ['npm', '1.0.0+build.5', [{ introduced: '1.0.0' }, { fixed: '1.0.1' }], true, '1.0.1'],
    ['PyPI', '1.0.post1', [{ introduced: '0' }, { fixed: '1.0.1' }], true, '1.0.1'],
    ['PyPI', '1.0rc1', [{ introduced: '0' }, { fixed: '1.0' }], true, '1.0'],
    ['PyPI', '1.0.0', [{ introduced: '0' }, { fixed: '1.0' }], false, undefined],
    ['PyPI', '1.0.dev3', [{ introduced: '1.0a1' }, { fixed: '1.0' }], false, undefined],
    ['PyPI', '1!1.0', [{ introduced: '0' }, { fixed: '9.0' }], false, undefined],
    ['PyPI', '1.10', [{ introduced: '1.9' }, { fixed: '1.11' }], true, '1.11'],
    ['PyPI', '2.0+local.1', [{ introduced: '0' }, { last: '2.0' }], false, undefined],
    ['Debian:13', '3.5.1-1+deb13u1', [{ introduced: '0' }, { fixed: '3.5.1-1+deb13u2' }], true, '3.5.1-1+deb13u2'],
    ['Debian:13', '3.5.1-1+deb13u2', [{ introduced: '0' }, { fixed: '3.5.1-1+deb13u2' }], false, undefined],
    ['Debian:13', '2.41-12~bpo1', [{ introduced: '0' }, { fixed: '2.41-12' }], true, '2.41-12'],
    ['Debian:13', '1:1.0-1', [{ introduced: '0' }, { fixed: '9.0-1' }], false, undefined],
  ] as const)('%s %s in %j: %s', (ecosystem, version, events, affected, fixed) => {
    const result = isAffected(range(...events), version, compareOf(ecosystem));
    expect(result.affected).toBe(affected);
    expect(result.affected ? result.fixed : undefined).toBe(fixed);
  });

  it('takes a listed version for affected, however it is spelt', () => {
    expect(isAffected({ versions: ['1.0', '1.1'], ranges: [] }, '1.0.0', compareOf('PyPI')).affected).toBe(true);
    expect(isAffected({ versions: ['1.0', '1.1'], ranges: [] }, '1.2', compareOf('PyPI')).affected).toBe(false);
  });

  it('takes what cannot be compared for affected, and says so', () => {
    expect(isAffected(range({ introduced: 'banana' }), '1.0.0', compareOf('npm'))).toEqual({
      affected: true,
      unsure: 'banana',
    });
    expect(isAffected(range({ introduced: '0' }, { fixed: 'x' }), '1.0', compareOf('PyPI'))).toEqual({
      affected: true,
      unsure: 'x',
    });
    expect(isAffected(range({ introduced: '0' }, { fixed: '1.0.0' }), 'not a version', compareOf('npm')).affected).toBe(
      true,
    );
  });

  it('agrees with semver itself on any range and version', () => {
    const version = fc.tuple(fc.nat(4), fc.nat(4), fc.nat(4)).map((parts) => parts.join('.'));
    fc.assert(
      fc.property(version, version, version, (at, from, to) => {
        // Where both are one version, the range is taken for affected: nobody can know what was meant.
        fc.pre(!semver.eq(from, to));
        const [low, high] = semver.lte(from, to) ? [from, to] : [to, from];
        const expected = semver.gte(at, low) && semver.lt(at, high);
        expect(isAffected(range({ introduced: low }, { fixed: high }), at, compareOf('npm')).affected).toBe(expected);
      }),
    );
  });

  it('orders versions of each ecosystem totally', () => {
    const pep440 = fc
      .tuple(fc.nat(3), fc.nat(3), fc.constantFrom('', 'a1', 'b2', 'rc1', '.post1', '.dev2', 'a1.dev1'))
      .map(([a, b, c]) => `${a}.${b}${c}`);
    const debian = fc
      .tuple(fc.nat(3), fc.nat(20), fc.constantFrom('', '~rc1', '+dfsg', 'a'), fc.nat(3))
      .map(([a, b, c, d]) => `${a}.${b}${c}-${d}`);
    for (const [ecosystem, one] of [
      ['PyPI', pep440],
      ['Debian:13', debian],
    ] as const) {
      const compare = compareOf(ecosystem);
      fc.assert(
        fc.property(one, one, one, (a, b, c) => {
          expect(Math.sign(compare(a, b) ?? Number.NaN) + Math.sign(compare(b, a) ?? Number.NaN)).toBe(0);
          if ((compare(a, b) ?? 1) <= 0 && (compare(b, c) ?? 1) <= 0) expect(compare(a, c) ?? 1).toBeLessThanOrEqual(0);
        }),
      );
    }
  });
});
