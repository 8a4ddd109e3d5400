import { describe, expect, it } from 'vitest';
import { DEFAULT_VETTING, type VettingRules } from '../../trust/index.ts';
import { decide, FINDINGS, finding, printed, sorted } from '../../vetting/index.ts';

const now = new Date('2026-11-01T00:00:00Z');
const hook = finding('startup-hook', 'pypi:evil@1.0', 'runs');
const old = finding('deprecated', 'npm:old@1.0.0', 'old');
const rules = (more: Partial<VettingRules>): VettingRules => ({ ...DEFAULT_VETTING, ...more });
const exception = {
  finding: 'startup-hook',
  subject: 'pypi:evil@*',
  reason: 'read line by line',
  expires: '2026-12-01',
};

describe('decide', () => {
  it('refuses high and critical by default, and nothing below', () => {
    const { findings, refused } = decide([old, hook], undefined, now);
    expect(findings.map(({ code }) => code)).toEqual(['startup-hook', 'deprecated']);
    expect(refused).toEqual([hook]);
  });

  it.each(['none', 'low', 'medium', 'high', 'critical'] as const)('refuses %s and worse when told so', (refuse) => {
    const all = Object.keys(FINDINGS).map((code) => finding(code as keyof typeof FINDINGS, 'x', 'y'));
    const order = ['none', 'low', 'medium', 'high', 'critical'];
    const { refused } = decide(all, rules({ refuse }), now);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every(({ severity }) => order.indexOf(severity) >= order.indexOf(refuse))).toBe(true);
    expect(refused).toHaveLength(all.filter(({ severity }) => order.indexOf(severity) >= order.indexOf(refuse)).length);
  });

  it('weighs a kind otherwise, leaves it out, or refuses it whatever it weighs', () => {
    expect(decide([hook], rules({ codes: { 'startup-hook': 'low' } }), now)).toMatchObject({
      findings: [{ severity: 'low' }],
      refused: [],
    });
    expect(decide([hook], rules({ codes: { 'startup-hook': 'ignore' } }), now).findings).toEqual([]);
    expect(decide([old], rules({ codes: { deprecated: 'refuse' } }), now).refused).toEqual([old]);
    expect(decide([hook], rules({ refuse: 'never' }), now).refused).toEqual([]);
  });

  it('accepts by exception, with its reason, and only what it names', () => {
    const decided = decide([hook, old], rules({ exceptions: [exception] }), now);
    expect(decided.refused).toEqual([]);
    expect(decided.findings[0]?.excepted).toEqual({ reason: 'read line by line', expires: '2026-12-01' });
    const other = finding('startup-hook', 'pypi:other@1.0', 'runs');
    expect(decide([other], rules({ exceptions: [exception] }), now).refused).toEqual([other]);
  });

  it('refuses again when the exception has run out, and says that it has', () => {
    const decided = decide([hook], rules({ exceptions: [exception] }), new Date('2026-12-01T00:00:00Z'));
    expect(decided.refused.map(({ code }) => code)).toEqual(['startup-hook']);
    expect(decided.findings.map(({ code }) => code)).toContain('exception-expired');
  });

  it('excepts one advisory by any of its names', () => {
    const flaw = finding('known-vulnerable', 'npm:a@1.0.0', 'x', {
      severity: 'high',
      id: 'CVE-2026-1',
      aliases: ['GHSA-x'],
    });
    const one = {
      finding: 'known-vulnerable',
      subject: 'npm:a@*',
      reason: 'not reachable here',
      expires: '2027-01-01',
    };
    expect(decide([flaw], rules({ exceptions: [{ ...one, advisory: 'GHSA-x' }] }), now).refused).toEqual([]);
    expect(decide([flaw], rules({ exceptions: [{ ...one, advisory: 'CVE-2026-2' }] }), now).refused).toEqual([flaw]);
  });
});

it('prints no hidden character', () => {
  expect(printed('a\u202eb\u{e0041}c\u0007d\n  e')).toBe('a\\u{202e}b\\u{e0041}c\\u{7}d e');
  expect(printed('x'.repeat(1000))).toHaveLength(161);
});

it('sorts by severity, then always the same', () => {
  expect(sorted([old, hook])).toEqual(sorted([hook, old]));
});
