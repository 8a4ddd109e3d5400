import { describe, expect, test } from 'vitest';
import { formatExplanation } from '../../../cli/line/explain.ts';
import { refuseBeyond, type Verified } from '../../../cli/line/start.ts';
import { sha256 } from '../../../digest/index.ts';
import { parsePermissions } from '../../../runner/index.ts';

const widest = {
  network: ['api.example.test:443'],
  volumes: [{ path: '/data', mode: 'ro' as const }],
  environment: ['A_*'],
};
const verified = {
  grounds: { policy: 'policy.yaml', rule: 'ours', widest, server: undefined },
} as unknown as Verified;

describe('flags within a policy', () => {
  test.each([
    [{ network: ['api.example.test:443'] }],
    [{ volumes: [{ path: '/data/below' }] }],
    [{ environment: ['A_TOKEN'] }],
    [{}],
  ])('are granted: %j', (asked) => {
    expect(() => refuseBeyond(verified, parsePermissions(asked), 'x')).not.toThrow();
  });

  test.each([
    [{ network: 'all' }],
    [{ network: ['other.example.test:443'] }],
    [{ volumes: [{ path: '/data', mode: 'rw' }] }],
    [{ volumes: [{ path: '/other' }] }],
    [{ environment: ['TOKEN'] }],
  ])('beyond it are refused: %j', (asked) => {
    expect(() => refuseBeyond(verified, parsePermissions(asked), 'x')).toThrow(
      expect.objectContaining({ code: 'permission-refused', exit: 3, input: 'x' }),
    );
  });

  test('without one, whoever types is the policy', () => {
    const { grounds, ...rest } = verified;
    expect(() => refuseBeyond(rest as Verified, parsePermissions({ network: 'all' }), 'x')).not.toThrow();
  });
});

test('an explanation is one screen of text that names who says what', () => {
  const text = formatExplanation({
    image: sha256('image'),
    server: { name: 'server', source: 'npm:server@1.0.0' },
    verdict: { policy: 'policy.yaml', rule: 'ours' },
    permissions: [{ what: 'network: x:443', from: '--allow-net', signed: false, policy: true }],
    offer: {
      signed: { tools: 3 },
      onDrift: { tools: 'block', prompts: 'block', resources: 'warn', instructions: 'block' },
    },
    walls: [{ wall: 'user', setting: '65532:65532' }],
    request: {} as never,
    daemon: { address: { kind: 'unix', path: '/d.sock' }, version: '1.2.3' },
    lacks: [{ id: 'swap', detail: 'no', refused: false }],
    notes: [],
  });
  expect(text).toContain('network: x:443  (by --allow-net; not in the signed declaration; allowed by policy)');
  expect(text).toContain('tools 3');
  expect(text).toContain('tools: block');
  expect(text).toContain('! swap: no');
});
