import { expect, it } from 'vitest';
import { scanOf } from '../../cli/line/audit-attest.ts';
import { readVulns, vulnsPredicate } from '../../trust/index.ts';
import { type Advisories, finding } from '../../vetting/index.ts';

const now = new Date('2026-11-01T00:00:00Z');
const advisories: Advisories = {
  from: 'exports',
  unread: 0,
  collected: new Map([
    ['npm', new Date('2026-10-31T00:00:00Z')],
    ['Debian', new Date('2026-10-20T00:00:00Z')],
  ]),
  matching: () => [],
};
const flaw = finding('known-vulnerable', 'npm:@a/b@1.0.0', 'x', { id: 'CVE-2026-1', severity: 'medium' });
const excepted = { ...flaw, id: 'CVE-2026-2', severity: 'high' as const, excepted: { reason: 'r', expires: 'e' } };

it('a scan names every flaw, excused ones too, and is as old as its oldest data', () => {
  const scan = scanOf({ findings: [flaw, excepted, finding('deprecated', 'npm:c@1.0.0', 'y')], advisories }, now, now);
  expect(scan?.database?.lastUpdate).toBe('2026-10-20T00:00:00.000Z');
  expect(scan?.found.map(({ purl }) => purl)).toEqual(['pkg:npm/%40a/b@1.0.0', 'pkg:npm/%40a/b@1.0.0']);
  expect(readVulns(scan && vulnsPredicate(scan))?.found).toEqual([
    { id: 'CVE-2026-1', severity: 'medium', purl: 'pkg:npm/%40a/b@1.0.0' },
    { id: 'CVE-2026-2', severity: 'high', purl: 'pkg:npm/%40a/b@1.0.0' },
  ]);
});

it('nothing is scanned where nothing was compared with', () => {
  expect(scanOf({ findings: [], advisories: undefined }, now, now)).toBeUndefined();
});
