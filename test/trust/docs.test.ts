import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { execSigner, generateKey, parsePolicy, publicGoodRoot, publicPem, testPolicy } from '../../trust/index.ts';

/** The code blocks of a page, of one language. */
async function blocks(page: string, language: string): Promise<string[]> {
  const text = await readFile(new URL(`../../docs/${page}`, import.meta.url), 'utf8');
  return [...text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1] ?? '');
}

const keys = { 'team.pub': publicPem(generateKey()), 'other.pub': publicPem(generateKey()) };
const read = async (path: string) =>
  path.endsWith('.pub') ? keys[path as keyof typeof keys] : JSON.stringify(publicGoodRoot().json);

test('the policy of docs/policy.md is one', async () => {
  const [text = ''] = await blocks('policy.md', 'yaml');
  const policy = await parsePolicy(text, 'policy.md', read);
  expect(policy.rules).toHaveLength(1);
  expect(policy.exceptions).toHaveLength(1);
});

test('the cases of docs/policy.md are cases', async () => {
  const [, cases = ''] = await blocks('policy.md', 'yaml');
  const rules = [
    {
      name: 'ours',
      sources: ['npm:@acme/*'],
      signatures: { by: ['team'] },
      require: [{ predicate: 'https://example.test/review/v1', maxAge: '7d' }],
    },
  ];
  const policy = await parsePolicy(
    JSON.stringify({ version: 1, keys: { team: { file: 'team.pub' } }, rules }),
    'p',
    read,
  );
  const results = testPolicy(policy, parse(cases), new Date('2026-09-15T00:00:00Z'));
  expect(results.map(({ passed }) => passed)).toEqual([true, true]);
});

test('the plugin of docs/trust.md signs', async () => {
  const [script = ''] = await blocks('trust.md', 'sh');
  const folder = await mkdtemp(join(tmpdir(), 'trust-docs-'));
  try {
    const path = join(folder, 'signer.sh');
    await writeFile(path, script.replaceAll('team.pem', join(folder, 'team.pem')));
    await chmod(path, 0o755);
    execFileSync(
      'openssl',
      ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', join(folder, 'team.pem')],
      { stdio: 'ignore' },
    );
    const signer = await execSigner([path], { environment: { PATH: process.env.PATH } });
    expect((await signer.sign(Buffer.from('x'))).signature.length).toBeGreaterThan(60);
  } finally {
    await rm(folder, { recursive: true });
  }
});
