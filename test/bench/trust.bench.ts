import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLayout } from '../../registry/index.ts';
import { attach, gather, judge, PREDICATES, parsePolicy } from '../../trust/index.ts';
import { writeImage } from '../trust/image.ts';
import { report } from './measure.ts';

const ROUNDS = 200;

test('five keyless attestations, offline, in a warm process', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'trust-bench-'));
  try {
    const recorded = JSON.parse(await readFile(new URL('../fixtures/trust/keyless.json', import.meta.url), 'utf8'));
    const store = await openLayout(folder);
    const image = await writeImage(store);
    // The same bundle with white space of another length is another referrer, and as much work.
    for (let at = 0; at < 5; at++) {
      const bytes = Buffer.from(JSON.stringify(recorded.email) + ' '.repeat(at));
      await attach(store, image.index, bytes, PREDICATES.signature, new Date(0));
    }
    const identity = { issuer: recorded.issuer, identity: 'someone@example.test', root: 'root.json' };
    const policy = await parsePolicy(
      JSON.stringify({
        version: 1,
        identities: { it: identity },
        rules: [{ name: 'all', signatures: { by: ['it'] } }],
      }),
      'policy.yaml',
      async () => JSON.stringify(recorded.trustedRoot),
    );
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const started = performance.now();
      const evidence = await gather(store, image.index, { platforms: 'none' });
      // They speak of another image, and all five are verified to find that out.
      expect(judge(policy, evidence, new Date()).verdict).toBe('fail');
      times.push(performance.now() - started);
    }
    const warm = times.slice(ROUNDS / 2).sort((a, b) => a - b);
    const median = warm[warm.length >> 1]!;
    // What else the machine does can only make a round longer: the fastest tenth is nearest to what the work itself takes.
    const quiet = warm[Math.floor(warm.length / 10)]!;
    report('five keyless attestations, offline, in a warm process', [
      { what: 'median', measured: median, target: 25, unit: 'ms' },
      { what: 'undisturbed', measured: quiet, unit: 'ms' },
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
