import { describe, expect, it } from 'vitest';
import { auditTable } from '../../cli/audit-table.ts';
import { sha256 } from '../../digest/index.ts';
import { DEFAULT_VETTING, type VettingRules } from '../../trust/index.ts';
import { checkContents } from '../../vetting/content/check.ts';
import { decide, fileKey, gathered, html, type Listing, markdown, type Package, sarif } from '../../vetting/index.ts';
import { checkListings } from '../../vetting/origin/listing.ts';
import { lock } from '../builders/sample-lock.ts';
import { npmPackage, wheelPackage } from './packages.ts';

const now = new Date('2026-11-01');
const integrityOf = (at: number) => `sha256-${Buffer.alloc(32, at).toString('base64')}` as const;
const npm = Array.from({ length: 9 }, (_, at) => npmPackage(`dep${at}`, '1.0.0', { integrity: integrityOf(at) }));
const corp = npmPackage('@corp/own', '1.0.0', { index: '@corp', integrity: integrityOf(100) });
const wheel = wheelPackage('srv', '1.0', { integrity: integrityOf(101) });
const packages: readonly Package[] = [...npm, corp, wheel];

/** As an audit finds it where nobody answers. */
function silent(why = (one: Package) => `https://registry.example.test/${one.name} could not be read: down`) {
  const known = { lock, native: {}, contents: new Map(), packages, rules: DEFAULT_VETTING, now };
  const listings = new Map<string, Listing>(
    packages.map((one) => [one.ref, { state: 'unreachable', reason: why(one) }]),
  );
  const unfetched = new Map(packages.map((one) => [fileKey(one.files[0]!), `${one.name} 1.0.0 was not asked for`]));
  return [...checkListings({ ...known, listings }), ...checkContents({ ...known, unfetched })];
}

function report(rules: Partial<VettingRules> = {}, findings = silent()) {
  const decided = decide(findings, { ...DEFAULT_VETTING, ...rules }, now);
  const rest = { provenance: undefined, tools: undefined, advisories: undefined, policy: undefined };
  const about = { name: 'server', source: 'npm:server@1.0.0', lock: sha256('lock'), version: '0.1.0', now };
  return { ...decided, ...about, ...rest, packages, contents: new Map(), unfetched: new Map() };
}

const count = (text: string, part: string) => text.split(part).length - 1;

describe('a registry that is down', () => {
  it('is told once, with how many packages, some of their names, and as bad as it was', () => {
    const { findings, refused } = report();
    const told = gathered(findings, refused).map(({ finding, refused: bad, subjects }) => ({
      ...{ bad, severity: finding.severity, subject: finding.subject, count: subjects.length },
      message: finding.message,
    }));
    expect(told).toHaveLength(6);
    expect(told).toContainEqual({
      ...{ bad: false, severity: 'low', subject: 'npm registry "default"', count: 9 },
      message:
        'Could not be asked about 9 packages, npm:dep0@1.0.0, npm:dep1@1.0.0, npm:dep2@1.0.0 and 6 more: https://registry.example.test/dep0 could not be read: down',
    });
    expect(told).toContainEqual(
      expect.objectContaining({ bad: true, severity: 'high', subject: 'npm registry "default"', count: 9 }),
    );
    // One alone is told as it is.
    expect(told).toContainEqual(expect.objectContaining({ severity: 'low', subject: corp.ref, count: 1 }));
    expect(told).toContainEqual(expect.objectContaining({ severity: 'high', subject: wheel.ref, count: 1 }));
  });

  it('is one line of a table, of Markdown and of HTML, where all of its packages can be seen', () => {
    const one = report();
    for (const text of [auditTable(one, false), markdown([one])]) {
      expect(count(text, 'dep0'), text).toBeLessThan(5);
      expect(text).not.toContain('dep8');
    }
    const page = html([{ ...one, packages: [] }]);
    expect(count(page, '<article')).toBe(6);
    expect(count(page, 'npm:dep8@1.0.0')).toBe(2);
    expect(auditTable(one, false)).toContain('11 high, 11 low; REFUSED: 11 of 22 findings');
  });

  it('is excepted by package, and told of each where programs read it', () => {
    const excused = { finding: 'not-checked', subject: 'npm:dep3@*', reason: 'r', expires: '2027-01-01T00:00:00Z' };
    const one = report({ exceptions: [excused] });
    const told = gathered(one.findings, one.refused).filter(({ finding }) => !finding.excepted);
    expect(told.filter(({ subjects }) => subjects.length > 1).map(({ subjects }) => subjects.length)).toEqual([8, 8]);
    expect(told.flatMap(({ subjects }) => subjects)).not.toContain('npm:dep3@1.0.0');
    const { runs } = JSON.parse(sarif([one])) as { runs: [{ results: { suppressions?: object[] }[] }] };
    expect(runs[0].results).toHaveLength(22);
    expect(runs[0].results.filter(({ suppressions }) => suppressions)).toHaveLength(2);
  });

  it('has no other reason hidden behind it', () => {
    const down = (one: Package) => `https://registry.example.test/${one.name} could not be read: down`;
    const { findings, refused } = report(
      {},
      silent((one) => (one.name === 'dep5' ? 'The answer on dep5 is no JSON' : down(one))),
    );
    const told = gathered(findings, refused).find(({ finding }) => finding.message.startsWith('Could not be asked'));
    expect(told?.finding.message).toMatch(/down, and for 1 other reason$/);
    expect(told?.finding.evidence).toEqual(['The answer on dep5 is no JSON']);
  });
});
