import { expect, test } from 'vitest';
import { generateKey, parsePolicy, publicPem, testPolicy } from '../../../trust/index.ts';
import { SERVER } from '../predicates.ts';

const NOW = new Date('2026-09-15T12:00:00Z');
const policy = await parsePolicy(
  JSON.stringify({
    version: 1,
    keys: { team: { pem: publicPem(generateKey()) }, ci: { pem: publicPem(generateKey()) } },
    rules: [
      {
        name: 'ours',
        sources: ['npm:@example/*'],
        signatures: { by: ['team'] },
        require: [{ predicate: 'https://example.test/review/v1', by: ['ci'], maxAge: '7d' }],
        allow: {
          permissions: { network: ['api.example.test'], volumes: [{ path: '/data', mode: 'rw' }], environment: ['*'] },
        },
      },
    ],
  }),
  'policy.yaml',
  async () => '',
);

const review = { predicate: 'https://example.test/review/v1', by: ['ci'], age: '2d' };
const good = {
  name: 'good',
  source: 'npm:@example/server-memory',
  attestations: [
    { predicate: 'signature', by: ['team'] },
    { predicate: 'server', by: ['team'], content: SERVER },
    review,
  ],
  expect: 'pass',
};

test('a policy is tried on made-up images', () => {
  const without = (at: number) => good.attestations.filter((_, index) => index !== at);
  const results = testPolicy(
    policy,
    [
      good,
      { ...good, name: 'unsigned', attestations: without(0), expect: 'fail', failing: ['predicate-mismatch'] },
      { ...good, name: 'unreviewed', attestations: without(2), expect: 'fail', failing: ['attestation-missing'] },
      {
        ...good,
        name: 'stale',
        attestations: [...without(2), { ...review, age: '8d' }],
        expect: 'fail',
        failing: ['attestation-expired'],
      },
      { ...good, name: 'another source', source: 'npm:@example/other', expect: 'fail', failing: ['source-mismatch'] },
      { ...good, name: 'a foreign source', source: 'pypi:other', expect: 'fail', failing: ['no-rule'] },
      { ...good, name: 'another version', version: '9.9.9', expect: 'fail', failing: ['source-mismatch'] },
      { ...good, name: 'wrongly expected', expect: 'fail' },
      { ...good, name: 'wrong reason', source: 'pypi:other', expect: 'fail', failing: ['rollback'] },
    ],
    NOW,
  );
  expect(results.filter(({ passed }) => !passed).map(({ name }) => name)).toEqual(['wrongly expected', 'wrong reason']);
});

test.each([[{}], [[{ name: 'x' }]], [[{ ...good, surprise: 1 }]], [[{ ...good, failing: ['nonsense'] }]], [null]])(
  'cases of another form are refused',
  (cases) => {
    expect(() => testPolicy(policy, cases, NOW)).toThrow(expect.objectContaining({ code: 'cases-invalid', exit: 2 }));
  },
);
