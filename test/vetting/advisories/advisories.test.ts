import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inMemory } from '../../../builders/archive/index.ts';
import { advisoriesApi, updateAdvisories } from '../../../cli/line/advisories.ts';
import { homeOf } from '../../../cli/line/home.ts';
import { cvss } from '../../../vetting/advisories/cvss.ts';
import type { Advisories } from '../../../vetting/index.ts';
import { importExport, listExports, onlineAdvisories, storedAdvisories } from '../../../vetting/index.ts';
import { type FakeOsv, flaw, type OsvRecord, osv, osvExport } from '../../fakes/osv.ts';
import { debPackage, npmPackage, wheelPackage } from '../packages.ts';

const now = new Date('2026-11-01T00:00:00Z');
const V3 = 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H';
const V4 = 'CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N';

const records: readonly OsvRecord[] = [
  flaw('GHSA-aaaa-bbbb-cccc', 'npm', 'victim', [{ introduced: '0' }, { fixed: '1.2.0' }], {
    aliases: ['CVE-2026-0001'],
    severity: [{ type: 'CVSS_V3', score: V3 }],
  }),
  flaw('SNYK-x', 'npm', 'victim', [{ introduced: '0' }, { fixed: '1.3.0' }], { aliases: ['CVE-2026-0001'] }),
  flaw('GHSA-with-draw-nnnn', 'npm', 'victim', [{ introduced: '0' }], { withdrawn: '2026-02-02T00:00:00Z' }),
  flaw('MAL-2026-1', 'npm', 'evil', [{ introduced: '0' }], { aliases: ['GHSA-mal-mal-malx'] }),
  flaw('GHSA-mod-erat-eeee', 'npm', 'worded', [{ introduced: '0' }], { database_specific: { severity: 'MODERATE' } }),
  flaw('PYSEC-2026-7', 'PyPI', 'Some_Project', [{ introduced: '0' }, { fixed: '2.0' }], {
    aliases: ['CVE-2026-0007'],
    severity: [{ type: 'CVSS_V4', score: V4 }],
  }),
  flaw('DEBIAN-CVE-2026-9', 'Debian:13', 'glibc', [{ introduced: '0' }, { fixed: '2.41-12+deb13u1' }], {
    upstream: ['CVE-2026-9'],
  }),
  // Of two flaws at once: no excuse for one of them may be one for the record.
  flaw('DSA-9-1', 'Debian:13', 'glibc', [{ introduced: '0' }, { fixed: '2.41-12+deb13u1' }], {
    upstream: ['CVE-2026-8', 'CVE-2026-9'],
  }),
  flaw('DEBIAN-CVE-2026-10', 'Debian:12', 'glibc', [{ introduced: '0' }]),
  flaw('UBUNTU-1', 'Ubuntu:24.04', 'glibc', [{ introduced: '0' }]),
];
const tree = [
  npmPackage('victim', '1.1.0'),
  npmPackage('evil', '0.0.1'),
  npmPackage('worded', '1.0.0'),
  npmPackage('fine', '1.0.0'),
  wheelPackage('some-project', '1.9'),
  debPackage('libc6', '2.41-12', 'glibc'),
];

describe('advisories', () => {
  let service: FakeOsv;
  let folder: string;
  let stored: Advisories;
  let online: Advisories;
  beforeAll(async () => {
    service = await osv(records, { page: 1 });
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-osv-'));
    const home = homeOf({ MCP_BUILD_HOME: folder });
    for (const name of ['npm', 'PyPI', 'Debian'] as const)
      await updateAdvisories(name, { home, from: service.url, now });
    stored = (await storedAdvisories(join(folder, 'advisories'), tree)) as Advisories;
    online = await onlineAdvisories(tree, advisoriesApi({}, service.url)!, now);
  });
  afterAll(async () => {
    await service.close();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(['exports', 'batch API'])('are the same from %s', (from) => {
    const advisories = from === 'exports' ? stored : online;
    expect(advisories.from).toBe(from);
    const [victim, evil, worded, fine, project, libc] = tree.map((one) => advisories.matching(one));
    expect(victim).toEqual([
      expect.objectContaining({
        id: 'CVE-2026-0001',
        aliases: ['GHSA-aaaa-bbbb-cccc', 'SNYK-x'],
        severity: 'critical',
        score: 9.8,
        malware: false,
        // Until then one of the two records still holds.
        fixed: '1.3.0',
      }),
    ]);
    expect(evil).toEqual([expect.objectContaining({ id: 'MAL-2026-1', malware: true, severity: 'critical' })]);
    expect(worded).toEqual([expect.objectContaining({ severity: 'medium', rated: true })]);
    expect(fine).toEqual([]);
    expect(project).toEqual([
      expect.objectContaining({ id: 'CVE-2026-0007', severity: 'medium', score: 6.9, fixed: '2.0' }),
    ]);
    expect(libc).toEqual([
      expect.objectContaining({ id: 'CVE-2026-9', aliases: ['DEBIAN-CVE-2026-9'], severity: 'medium', rated: false }),
      expect.objectContaining({ id: 'DSA-9-1', aliases: [] }),
    ]);
  });

  it('say how old what they say is: of the newest record, not of the download', () => {
    expect(stored.collected.get('npm')).toEqual(new Date('2026-10-30T00:00:00Z'));
  });

  it('keep what was there until a new export is whole, and leave nothing behind', async () => {
    await expect(
      importExport(join(folder, 'advisories'), 'npm', inMemory(Buffer.from('no zip')), { now, digest: 'x' }),
    ).rejects.toMatchObject({ code: 'archive-invalid' });
    const others = osvExport([flaw('GHSA-other', 'PyPI', 'x', [{ introduced: '0' }])]);
    await expect(
      importExport(join(folder, 'advisories'), 'npm', inMemory(others), { now, digest: 'x' }),
    ).rejects.toMatchObject({ code: 'advisories-invalid' });
    expect((await listExports(join(folder, 'advisories'))).map(({ name }) => name)).toEqual(['npm', 'PyPI', 'Debian']);
    expect((await readdir(join(folder, 'advisories'))).sort()).toEqual(['Debian', 'PyPI', 'npm']);
  });

  it('count records that are none, and are not younger than today', async () => {
    const other = await mkdtemp(join(tmpdir(), 'mcp-build-osv-'));
    const archive = osvExport([
      '{"id":',
      '[]',
      JSON.stringify({ id: 'x', modified: 5 }),
      flaw('GHSA-1', 'npm', 'victim', [{ introduced: '0' }]),
      flaw('GHSA-2', 'npm', 'victim', [{ introduced: '0' }], { modified: '2999-01-01T00:00:00Z' }),
    ]);
    const meta = await importExport(other, 'npm', inMemory(archive), { now, digest: 'x' });
    expect(meta).toMatchObject({ records: 2, unread: 3, collected: '2026-10-30T00:00:00.000Z' });
    await rm(other, { recursive: true });
  });

  it('are not read from a damaged file as if there were none', async () => {
    const other = await mkdtemp(join(tmpdir(), 'mcp-build-osv-'));
    await importExport(other, 'npm', inMemory(osvExport([records[0]!])), { now, digest: 'x' });
    for (const name of await readdir(join(other, 'npm', 'by-name')))
      await writeFile(join(other, 'npm', 'by-name', name), '{"npm/victim":[{"id":1}]}');
    await expect(storedAdvisories(other, tree)).rejects.toMatchObject({ code: 'advisories-invalid' });
    await rm(other, { recursive: true });
  });

  it('are refused from an API that answers less than was asked, something else, or nothing', async () => {
    for (const text of ['{"results":[]}', '{"results":[{}]}', '[]', 'no JSON', '{"results":[{"vulns":[{"id":5}]}]}']) {
      const broken = await osv(records, { fault: () => ({ status: 200, text }) });
      await expect(onlineAdvisories(tree, advisoriesApi({}, broken.url)!, now)).rejects.toMatchObject({
        code: 'advisories-unavailable',
        exit: 5,
      });
      await broken.close();
    }
    const missing = await osv(records, {
      fault: (path) => (path.includes('vulns') ? { status: 404, text: '{}' } : undefined),
    });
    await expect(onlineAdvisories(tree, advisoriesApi({}, missing.url)!, now)).rejects.toMatchObject({
      code: 'advisories-unavailable',
    });
    await missing.close();
    const endless = await osv(records, {
      fault: (path) =>
        path.includes('batch')
          ? { status: 200, text: JSON.stringify({ results: tree.map(() => ({ next_page_token: 'again' })) }) }
          : undefined,
    });
    await expect(onlineAdvisories(tree, advisoriesApi({}, endless.url)!, now)).rejects.toMatchObject({
      code: 'advisories-unavailable',
    });
    await endless.close();
  });

  it('match 10,000 packages within a second once they are loaded', async () => {
    const many = Array.from({ length: 10_000 }, (_, at) => npmPackage(`package-${at}`, '1.5.0'));
    const flaws = many.flatMap(({ name }, at) => [
      flaw(`GHSA-${at}`, 'npm', name, [{ introduced: '0' }, { fixed: at % 10 === 0 ? '2.0.0' : '1.0.0' }], {
        aliases: [`CVE-${at}`],
      }),
      flaw(`OTHER-${at}`, 'npm', name, [{ introduced: '1.0.0' }, { fixed: '1.2.0' }]),
    ]);
    const other = await mkdtemp(join(tmpdir(), 'mcp-build-osv-'));
    await importExport(other, 'npm', inMemory(osvExport(flaws)), { now, digest: 'x' });
    const advisories = (await storedAdvisories(other, many)) as Advisories;
    const before = process.cpuUsage();
    const hits = many.filter((one) => advisories.matching(one).length > 0);
    const { user, system } = process.cpuUsage(before);
    expect(hits).toHaveLength(1000);
    expect((user + system) / 1e6).toBeLessThan(1);
    await rm(other, { recursive: true });
  });
});

describe('CVSS', () => {
  // The specifications' own examples, and FIRST's calculator.
  it.each([
    ['CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H', 10],
    ['CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N', 6.1],
    ['CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H', 7.8],
    ['CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N', 3.1],
    ['CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N', 0],
    ['CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H', 10],
    ['CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N', 9.3],
    ['CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N', 0],
  ])('%s is %d', async (vector, score) => {
    expect((await cvss())(vector)).toBe(score);
  });

  it('has no score for a vector with holes, nonsense or another system', async () => {
    const rate = await cvss();
    for (const vector of [
      '',
      '9.8',
      'CVSS:3.1/AV:N',
      'CVSS:3.1/AV:Q/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H',
      'CVSS:9.9/AV:N',
      'CVSS:4.0/AV:N/AC:L',
    ])
      expect(rate(vector), vector).toBeUndefined();
  });
});
