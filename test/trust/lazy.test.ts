import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** Packages that a fresh process has loaded after running some code. */
async function loadedBy(code: string): Promise<string[]> {
  const trust = new URL('../../trust/index.ts', import.meta.url).href;
  const script = `import { createRequire, registerHooks } from 'node:module';
    const seen = new Set();
    registerHooks({ resolve(name, context, next) { const found = next(name, context); seen.add(found.url); return found; } });
    const trust = await import(${JSON.stringify(trust)});
    ${code}
    for (const path of Object.keys(createRequire(${JSON.stringify(trust)}).cache)) seen.add(path);
    console.log(JSON.stringify([...seen]));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    maxBuffer: 1e8,
  });
  const names = (JSON.parse(stdout) as string[]).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))].sort();
}

const HEAVY = [
  '@sigstore/bundle',
  '@sigstore/protobuf-specs',
  '@sigstore/sign',
  '@sigstore/verify',
  '@sigstore/tuf',
  'make-fetch-happen',
  'yaml',
];

test('signing and verifying by key loads nothing that only certificates need', async () => {
  const loaded = await loadedBy(`
    const key = trust.generateKey();
    const bundle = trust.parseBundle(await trust.seal(trust.statement(['sha256:' + '0'.repeat(64)], 'x', {}), trust.keySigner(key)), 'b');
    const digest = 'sha256:' + '0'.repeat(64);
    const statement = trust.statement([digest], trust.PREDICATES.signature, {});
    const verdict = trust.judge(trust.keyPolicy([key]), { subject: { digest }, platforms: [], content: { layers: false, problems: [] },
      attestations: [{ on: digest, referrer: digest, said: { kind: 'statement', bundle, statement } }] }, new Date());
    if (verdict.verdict !== 'pass') throw new Error(JSON.stringify(verdict));`);
  expect(loaded).toContain('zod');
  expect(loaded.filter((name) => HEAVY.includes(name))).toEqual([]);
});

test('a trusted root loads what reads it', async () => {
  expect(await loadedBy('trust.publicGoodRoot();')).toEqual(
    expect.arrayContaining(['@sigstore/verify', '@sigstore/protobuf-specs']),
  );
});
