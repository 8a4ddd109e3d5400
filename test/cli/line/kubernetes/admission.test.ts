import { describe, expect, test } from 'vitest';
import { admissionOf, renderObjects } from '../../../../cli/line/kubernetes/index.ts';
import { type Policy, PREDICATES, parsePublicKey, type Rule, type Trusted } from '../../../../trust/index.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into it
type Any = any;

const PEM = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8vGrE2p3GXlEoIt/eObgbPXBZl1z
jUU1XWytfZ4ppArjwdRxmTheFihyJPxZZII1udEktNvvtztlX12KeZCBkg==
-----END PUBLIC KEY-----
`;

const key: Trusted = { kind: 'key', name: 'team', key: parsePublicKey(PEM, 'team.pub') };
const release: Trusted = {
  kind: 'identity',
  name: 'release',
  issuer: 'https://issuer.example.test',
  identity: 'https://example.test/acme/release.yml@refs/heads/main',
  claims: new Map(),
  root: { name: 'public-good', json: {} } as Any,
  need: { logEntries: 1, certificateLogs: 1, timestamps: 1 },
};
const own: Trusted = {
  ...release,
  name: 'own',
  need: { logEntries: 0, certificateLogs: 1, timestamps: 1 },
  root: {
    name: 'trusted_root.json',
    json: {
      certificateAuthorities: [
        {
          subject: { organization: 'acme', commonName: 'fulcio' },
          uri: 'https://fulcio.example.test',
          certChain: { certificates: [{ rawBytes: 'AAAA' }] },
        },
      ],
      ctlogs: [{ baseUrl: 'https://ct.example.test', publicKey: { rawBytes: 'BBBB' } }],
    },
  } as Any,
};

function rule(by: readonly Trusted[], more: Partial<Rule> = {}): Rule {
  return {
    name: 'our servers',
    images: ['registry.example.test/mcp/**'],
    signature: { predicateType: PREDICATES.signature, by, threshold: 1 },
    require: [{ predicateType: PREDICATES.provenance, by, threshold: 1 }],
    allow: {},
    ...more,
  };
}
const policy = (...rules: readonly Rule[]): Policy => ({ name: 'policy.yaml', rules, exceptions: [] });
const kinds = (objects: readonly Any[], kind: string): Any[] => objects.filter((object) => object.kind === kind);

describe('sigstore', () => {
  const { objects } = admissionOf(policy(rule([release, own])), 'sigstore', 'mcp', true);

  test('is what it was', async () => {
    await expect(renderObjects(objects)).toMatchFileSnapshot('golden-admission/sigstore.yaml');
  });

  test('every predicate is a policy of its own, since all that match must be satisfied', () => {
    const policies = kinds(objects, 'ClusterImagePolicy');
    expect(policies.map(({ spec }) => spec.authorities.map((one: Any) => one.attestations[0].predicateType))).toEqual([
      [PREDICATES.signature, PREDICATES.signature],
      [PREDICATES.provenance, PREDICATES.provenance],
    ]);
    for (const { spec } of policies) {
      expect(spec.mode).toBe('enforce');
      for (const one of spec.authorities) {
        expect(one.signatureFormat).toBe('bundle');
        expect(one.keyless.identities).toEqual([{ issuer: release.issuer, subject: release.identity }]);
      }
    }
  });

  test('what no rule is for is refused, in a namespace that enforces the restricted profile', () => {
    expect(kinds(objects, 'ConfigMap')[0].data).toEqual({ 'no-match-policy': 'deny' });
    expect(kinds(objects, 'Namespace')[0].metadata.labels).toEqual({
      'pod-security.kubernetes.io/enforce': 'restricted',
      'policy.sigstore.dev/include': 'true',
    });
  });

  test('a key is refused, and left out with --partial; nobody left is no policy, so nothing gets in', () => {
    expect(() => admissionOf(policy(rule([key])), 'sigstore', 'mcp', false)).toThrow(
      expect.objectContaining({ code: 'policy-inexpressible' }),
    );
    const partial = admissionOf(policy(rule([key])), 'sigstore', 'mcp', true);
    expect(kinds(partial.objects, 'ClusterImagePolicy')).toEqual([]);
    expect(partial.cannot.join()).toContain('the key team');
  });
});

describe('kyverno', () => {
  const { objects } = admissionOf(policy(rule([key, release])), 'kyverno', 'mcp', false);

  test('is what it was', async () => {
    await expect(renderObjects(objects)).toMatchFileSnapshot('golden-admission/kyverno.yaml');
  });

  test('asks for the signature by its type, too: any bundle of the signer would do otherwise', () => {
    const [verify] = kinds(objects, 'ClusterPolicy')[0].spec.rules[0].verifyImages;
    expect(verify).toMatchObject({ type: 'SigstoreBundle', required: true, verifyDigest: true });
    expect(verify.attestations.map(({ type }: Any) => type)).toEqual([PREDICATES.signature, PREDICATES.provenance]);
    expect(verify.attestations[0].attestors[0].entries).toHaveLength(2);
  });

  test('what no rule is for is refused, and so is a tag', () => {
    const others = kinds(objects, 'ClusterPolicy').at(-1).spec.rules[0].validate.pattern.spec;
    expect(others.containers).toEqual([{ image: 'registry.example.test/mcp/*@sha256:*' }]);
    expect(Object.keys(others)).toEqual(['containers', '=(initContainers)', '=(ephemeralContainers)']);
  });
});

describe.each(['sigstore', 'kyverno'] as const)('for %s', (kind) => {
  test.each<[string, Partial<Rule>]>([
    ['sources', { sources: ['npm:@acme/*'] }],
    ['allow.sources', { allow: { sources: ['npm:@acme/*'] } }],
    ['allow.releaseAge', { allow: { releaseAge: 1 } }],
    ['allow.advisories', { allow: { advisories: 'high' } }],
    ['allow.permissions', { allow: { permissions: { network: 'none', volumes: [], environment: [] } } }],
    ['maxAge', { require: [{ predicateType: PREDICATES.vulns, by: [release], threshold: 1, maxAge: 1 }] }],
    ['2 of 3', { signature: { predicateType: PREDICATES.signature, by: [release, own, key], threshold: 2 } }],
    [
      'claims',
      {
        signature: {
          predicateType: PREDICATES.signature,
          by: [{ ...release, claims: new Map([[5, 'x']]) }],
          threshold: 1,
        },
      },
    ],
    ['dates', { signature: { predicateType: PREDICATES.signature, by: [{ ...key, until: 1 }], threshold: 1 } }],
  ])('a rule with %s is refused rather than let more in, and said with --partial', (_what, more) => {
    const one = policy(rule([release], more));
    expect(() => admissionOf(one, kind, 'mcp', false)).toThrow(
      expect.objectContaining({ code: 'policy-inexpressible', exit: 2 }),
    );
    expect(admissionOf(one, kind, 'mcp', true).cannot.some((line) => line.startsWith('our servers: '))).toBe(true);
  });

  test('all of several signers are each of them', () => {
    const both = rule([release], {
      signature: {
        predicateType: PREDICATES.signature,
        by: [release, { ...release, name: 'second', identity: 'https://example.test/b' }],
        threshold: 2,
      },
      require: [],
    });
    const text = renderObjects(admissionOf(policy(both), kind, 'mcp', false).objects);
    expect(text.match(/cosign\/sign\/v1/g)).toHaveLength(2);
  });

  test('rules for the same images are refused: there the first one decides, here all of them', () => {
    const narrow = { name: 'narrow', images: ['registry.example.test/mcp/memory'] };
    const elsewhere = { name: 'elsewhere', images: ['other.example.test/**'] };
    expect(() => admissionOf(policy(rule([release], narrow), rule([release])), kind, 'mcp', false)).toThrow('narrow');
    expect(() => admissionOf(policy(rule([release], elsewhere), rule([release])), kind, 'mcp', false)).not.toThrow();
  });
});
