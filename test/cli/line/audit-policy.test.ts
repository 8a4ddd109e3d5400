import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { vettingRules } from '../../../cli/line/audit-policy.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-policy-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function rulesOf(vetting: object | undefined, more: object = { rules: [] }) {
  const file = join(folder, 'named.yaml');
  await writeFile(file, JSON.stringify({ version: 1, ...more, ...(vetting ? { vetting } : {}) }));
  return vettingRules({ HOME: folder, XDG_CONFIG_HOME: join(folder, 'config') }, undefined, file);
}

const exception = { subject: 'npm:a@1', reason: 'read line by line', expires: '2027-01-01' };

test.each([
  ['codes', { codes: { minifed: 'refuse' } }, 'minified'],
  ['stop', { stop: ['malwere'] }, 'malware'],
  ['exceptions', { exceptions: [{ ...exception, finding: 'startup-hok' }] }, 'startup-hook'],
  ['exceptions', { exceptions: [{ ...exception, finding: 'CVE-2026-1' }] }, 'advisory: CVE-2026-1'],
  ['stop', { stop: ['nothing of the kind'] }, 'docs/vetting.md'],
])(
  'a code at vetting.%s that no finding has is refused: it would refuse, stop or excuse nothing',
  async (where, vetting, fix) => {
    await expect(rulesOf(vetting)).rejects.toMatchObject({
      code: 'policy-invalid',
      exit: 2,
      message: expect.stringContaining(`vetting.${where}`),
      fix: expect.stringContaining(fix),
    });
  },
);

test('codes that findings have are taken', async () => {
  const { rules } = await rulesOf({ stop: ['malware'], exceptions: [{ ...exception, finding: 'startup-hook' }] });
  expect(rules).toMatchObject({ stop: ['malware'], exceptions: [{ finding: 'startup-hook' }] });
});

test('a policy without rules is told what to write', async () => {
  await expect(rulesOf({ refuse: 'high' }, {})).rejects.toMatchObject({
    code: 'policy-invalid',
    fix: expect.stringContaining('rules: []'),
  });
});
