import { describe, expect, it } from 'vitest';
import { auditTable } from '../../cli/audit-table.ts';
import { sha256 } from '../../digest/index.ts';
import { fileKey, finding, html, markdown, type Report, sarif } from '../../vetting/index.ts';
import { npmPackage } from './packages.ts';

const evil = '<script>alert(1)</script> | ![x](https://x.test) @team `"\'';
const server = npmPackage('server', '1.0.0', {}, { server: true, needs: ['npm:dep@1.0.0'] });
const dep = npmPackage('dep', '1.0.0', {}, { needs: ['npm:server@1.0.0'] });
const bad = finding('startup-hook', 'npm:dep@1.0.0', evil, {
  evidence: [evil],
  path: ['npm:server@1.0.0', 'npm:dep@1.0.0'],
});
const excused = finding('deprecated', 'npm:dep@1.0.0', 'old', { excepted: { reason: evil, expires: '2027-01-01' } });
const fact = finding('network-host', 'npm:dep@1.0.0', 'Names 1 host', { evidence: [evil] });
const report: Report = {
  name: 'server',
  source: 'npm:server@1.0.0',
  lock: sha256('lock'),
  findings: [bad, excused, fact],
  refused: [bad],
  packages: [server, dep],
  contents: new Map(),
  unfetched: new Map(),
  provenance: new Map([
    [
      'npm:dep@1.0.0',
      {
        signature: { state: 'valid' },
        attestation: { state: 'attested', origin: { issuer: 'i', repository: `https://forge.test/${evil}` } },
      },
    ],
  ]),
  tools: {
    instructions: null,
    tools: [{ name: evil, digest: 'x', definition: { description: evil } }],
    prompts: [],
    resources: [],
    resourceTemplates: [],
  },
  advisories: { from: 'exports', collected: new Map([['npm', new Date('2026-10-30')]]) },
  policy: undefined,
  now: new Date('2026-11-01'),
  version: '0.1.0',
};

describe('a report', () => {
  it('as HTML runs nothing, loads nothing, and shows markup as text', () => {
    const text = html([report]);
    expect(text).not.toContain('<script');
    expect(text).not.toMatch(/<(?:img|link|iframe|object|form)\b|\son\w+=|src=|href="(?!#)/);
    expect(text).toContain("default-src 'none'");
    for (const part of ['Refused', 'npm:dep@1.0.0', '&#60;script&#62;', 'forge.test', 'npm of 2026-10-30'])
      expect(text).toContain(part);
  });

  it('as HTML writes a tree that bites its own tail, once', () => {
    expect(html([report]).match(/npm:dep<\/code>/g)).toHaveLength(1);
  });

  it('as HTML folds many minor findings away, says which, and opens the tree where it leads to one', () => {
    const needed = npmPackage('needed', '1.0.0', {}, { needs: ['npm:deep@1.0.0'] });
    const aside = npmPackage('aside', '1.0.0', {}, { needs: ['npm:deep@1.0.0'] });
    const deep = npmPackage('deep', '1.0.0', {}, {});
    const root = npmPackage('server', '1.0.0', {}, { server: true, needs: [needed.ref, aside.ref] });
    const minor = Array.from({ length: 9 }, (_, at) => finding('deprecated', `npm:old${at}@1.0.0`, 'old'));
    const missing = finding('advisories-missing', 'server', 'none');
    const worse = finding('startup-hook', deep.ref, 'runs', { path: [root.ref, needed.ref, deep.ref] });
    const text = html([{ ...report, packages: [root, needed, aside, deep], findings: [worse, missing, ...minor] }]);
    expect(text).toContain('9 of low severity <span class="small">deprecated ×9');
    expect(text.indexOf('no advisories')).toBeLessThan(text.indexOf('9 of low severity'));
    expect(text).toMatch(/<details open><summary><code>npm:needed/);
    expect(text).toMatch(/<details><summary><code>npm:aside/);
    expect(html([{ ...report, findings: minor.slice(1) }])).not.toContain('of low severity');
  });

  it('as Markdown neither links, mentions nor breaks its table', () => {
    const lines = markdown([report]).split('\n');
    const row =
      lines.find((line) => line.includes('startup')) ?? lines.find((line) => line.includes('❌ | high')) ?? '';
    expect(row.replace(/`[^`]*`/g, '').split('|')).toHaveLength(7);
    expect(markdown([report])).not.toMatch(/!\[|<script|@team/);
  });

  it('as SARIF has a rule for each result, levels, suppressions and stable fingerprints', () => {
    const parsed = JSON.parse(sarif([report])) as {
      version: string;
      runs: {
        tool: { driver: { rules: { id: string }[] } };
        results: { ruleId: string; level: string; suppressions?: object[]; partialFingerprints: object }[];
      }[];
    };
    const [run] = parsed.runs;
    expect(parsed.version).toBe('2.1.0');
    const rules = new Set(run?.tool.driver.rules.map(({ id }) => id));
    expect(run?.results.every(({ ruleId }) => rules.has(ruleId))).toBe(true);
    expect(run?.results.map(({ level }) => level)).toEqual(['error', 'note', 'none']);
    expect(run?.results[1]?.suppressions).toHaveLength(1);
    const again = JSON.parse(sarif([{ ...report, now: new Date() }])) as typeof parsed;
    expect(again.runs[0]?.results.map((one) => one.partialFingerprints)).toEqual(
      run?.results.map((one) => one.partialFingerprints),
    );
  });

  it('says what nobody has read, where the policy ignores or accepts that', () => {
    const missing = npmPackage('missing', '1.0.0', { integrity: `sha256-${Buffer.alloc(32, 1).toString('base64')}` });
    const all = { ...report, packages: [server, dep, missing], findings: [fact], refused: [] };
    const partial: Report = { ...all, unfetched: new Map([[fileKey(missing.files[0]!), 'down']]) };
    const page = html([partial]);
    expect(page).toMatch(/<title>server: nothing refused, but 1 package was not read<\/title>/);
    expect(page).toMatch(/<header class="warn">\s*<p class="verdict">Nothing refused, but 1 package was not read</);
    expect(page).toMatch(/<h2>Not read<\/h2>.*npm:missing@1\.0\.0/s);
    expect(markdown([partial])).toMatch(/^### ⚠️ server\n.*\*\*1 package was not read\*\*.*- `npm:missing@1\.0\.0`\n/s);
    expect(auditTable(partial, false)).toMatch(/nothing is refused, and 1 package was not read$/);
    expect(html([all])).toContain('<p class="verdict">Nothing refused</p>');
    expect(markdown([all])).toMatch(/^### ✅ server/);
    expect(`${html([all])}${markdown([all])}${auditTable(all, false)}`).not.toMatch(/not read/i);
    // What is refused stays the verdict.
    expect(html([{ ...partial, refused: [bad] }])).toContain('<p class="verdict">Refused</p>');
    expect(markdown([{ ...partial, refused: [bad] }])).toMatch(/^### ❌ .*1 package was not read/s);
  });

  it('on several servers together has what is said of them, and nothing of packages', () => {
    const unpinned = finding('unpinned', 'time', 'Is started with npx');
    const together: Report = {
      ...report,
      name: 'mcp.json',
      lock: undefined,
      packages: [],
      findings: [unpinned],
      refused: [],
    };
    const text = html([report, together]);
    expect(text).toContain('Is started with npx');
    expect(text.split('<main>')[2]).not.toMatch(/packages|Dependencies/);
    expect(markdown([together])).not.toContain('packages');
    expect(sarif([together])).toContain('"uri": "mcp.json"');
  });
});
