import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isFault } from '../../../errors/index.ts';
import {
  defaultPolicy,
  generateKey,
  loadPolicy,
  type Policy,
  parsePolicy,
  policyJsonSchema,
  publicPem,
} from '../../../trust/index.ts';

const PEM = publicPem(generateKey());
const OTHER = publicPem(generateKey('ed25519'));
const read = async (path: string) => {
  if (path === 'team.pub') return PEM;
  if (path === 'other.pub') return OTHER;
  throw new Error(`no ${path}`);
};
const parse = (text: string): Promise<Policy> => parsePolicy(text, 'policy.yaml', read);

const GOOD = `version: 1
keys:
  team: {file: team.pub, from: 2026-01-01, until: 2027-01-01T12:00:00+02:00}
  other: {file: other.pub}
identities:
  release:
    issuer: https://token.actions.githubusercontent.com
    identity: https://github.com/acme/servers/.github/workflows/release.yml@refs/heads/main
    root: public-good
    repositoryId: "101"
    runner: github-hosted
rules:
  - name: ours
    images: ["registry.example.test/mcp/*"]
    sources: ["npm:@acme/*"]
    signatures: {by: [team, release], threshold: 2}
    require:
      - {predicate: provenance, by: [release], maxAge: 30d}
      - {predicate: "https://example.test/review/v1"}
    allow: {releaseAge: 3d, advisories: high, permissions: {network: ["api.example.test:443"], environment: ["ACME_*"]}}
exceptions:
  - {check: too-new, source: "npm:@acme/x", version: 1.0.0, reason: fixes an outage, expires: 2026-12-01}
`;

describe('a policy', () => {
  test('is read, with the keys and roots it names', async () => {
    const policy = await parse(GOOD);
    const [rule] = policy.rules;
    expect(rule).toMatchObject({
      name: 'ours',
      images: ['registry.example.test/mcp/*'],
      sources: ['npm:@acme/*'],
      signature: { predicateType: 'https://sigstore.dev/cosign/sign/v1', threshold: 2 },
      allow: {
        releaseAge: 3 * 86_400_000,
        advisories: 'high',
        permissions: { network: ['api.example.test:443'], volumes: [], environment: ['ACME_*'] },
      },
    });
    expect(rule?.signature.by.map(({ name }) => name)).toEqual(['team', 'release']);
    expect(rule?.signature.by[0]).toMatchObject({
      kind: 'key',
      from: Date.parse('2026-01-01T00:00:00Z'),
      until: Date.parse('2027-01-01T10:00:00Z'),
    });
    const [, release] = rule?.signature.by ?? [];
    expect(release?.kind === 'identity' && [...release.claims]).toEqual([
      [11, 'github-hosted'],
      [15, '101'],
    ]);
    expect(release).toMatchObject({ need: { logEntries: 1, certificateLogs: 1, timestamps: 1 } });
    expect(rule?.require[0]).toMatchObject({
      predicateType: 'https://slsa.dev/provenance/v1',
      maxAge: 30 * 86_400_000,
    });
    // Who must sign must say the rest, too, where nobody else is named.
    expect(rule?.require[1]?.by).toEqual(rule?.signature.by);
    expect(policy.exceptions).toMatchObject([{ check: 'too-new', expires: Date.parse('2026-12-01T00:00:00Z') }]);
  });

  test.each([
    ['an unknown field', 'version: 1\nrules: []\nruels: []', 'ruels', 'rules'],
    [
      'an unknown field of a rule',
      'version: 1\nrules: [{name: a, signature: {by: [x]}}]',
      'rules.0.signature',
      'signatures',
    ],
    ['an unknown field of a key', 'version: 1\nkeys: {a: {fiel: x}}\nrules: []', 'keys.a.fiel', 'file'],
    [
      'an unknown permission',
      'version: 1\nrules: [{name: a, signatures: {by: [x]}, allow: {permissions: {netwrok: none}}}]',
      'netwrok',
      'network',
    ],
    [
      'an unknown field of a requirement',
      'version: 1\nrules: [{name: a, signatures: {by: [x]}, require: [{predicate: vulns, maxage: 1d}]}]',
      'maxage',
      'maxAge',
    ],
    [
      'an unknown signer',
      `version: 1\nkeys: {team: {file: team.pub}}\nrules: [{name: a, signatures: {by: [taem]}}]`,
      'taem',
      'team',
    ],
    [
      'an unknown predicate',
      `version: 1\nkeys: {team: {file: team.pub}}\nrules: [{name: a, signatures: {by: [team]}, require: [{predicate: provenence}]}]`,
      'provenence',
      'provenance',
    ],
  ])('with %s is refused, and what was meant is named', async (_, text, field, meant) => {
    const error = await parse(text).catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code: 'policy-invalid', exit: 2, input: 'policy.yaml' });
    expect((error as Error).message).toContain(field);
    expect((error as { fix: string }).fix).toContain(meant);
  });

  const key = 'keys: {team: {file: team.pub}}';
  test.each([
    ['nothing', ''],
    ['a list', '[]'],
    ['another version', 'version: 2\nrules: []'],
    ['no rules', 'version: 1'],
    ['broken YAML', 'version: 1\nrules: ['],
    ['a field twice', 'version: 1\nrules: []\nrules: []'],
    ['a key that is not there', 'version: 1\nkeys: {a: {file: none.pub}}\nrules: []'],
    ['a key in two places at once', `version: 1\nkeys: {a: {file: team.pub, pem: x}}\nrules: []`],
    ['one key under two names', 'version: 1\nkeys: {a: {file: team.pub}, b: {file: team.pub}}\nrules: []'],
    [
      'a key that is never valid',
      'version: 1\nkeys: {a: {file: team.pub, from: 2027-01-01, until: 2026-01-01}}\nrules: []',
    ],
    ['log entries of nobody', 'version: 1\nkeys: {a: {file: team.pub, logEntries: 1}}\nrules: []'],
    [
      'an identity without a timestamp',
      'version: 1\nidentities: {a: {issuer: i, identity: j, root: public-good, timestamps: 0}}\nrules: []',
    ],
    [
      'a threshold that cannot be reached',
      `version: 1\n${key}\nrules: [{name: a, signatures: {by: [team], threshold: 2}}]`,
    ],
    ['a signer twice', `version: 1\n${key}\nrules: [{name: a, signatures: {by: [team, team], threshold: 2}}]`],
    [
      'two rules of one name',
      `version: 1\n${key}\nrules: [{name: a, signatures: {by: [team]}}, {name: a, signatures: {by: [team]}}]`,
    ],
    ['a signature by nobody', `version: 1\n${key}\nrules: [{name: a, signatures: {by: []}}]`],
    ['a bad duration', `version: 1\n${key}\nrules: [{name: a, signatures: {by: [team]}, allow: {releaseAge: 3 days}}]`],
    [
      'an exception without a reason',
      `version: 1\nrules: []\nexceptions: [{check: too-new, image: a, expires: 2027-01-01}]`,
    ],
    [
      'an exception for ever',
      `version: 1\nrules: []\nexceptions: [{check: too-new, image: a, reason: because I say so}]`,
    ],
    [
      'an exception for everything',
      `version: 1\nrules: []\nexceptions: [{check: too-new, reason: because I say so, expires: 2027-01-01}]`,
    ],
    [
      'an exception from wholeness',
      `version: 1\nrules: []\nexceptions: [{check: content-mismatch, image: a, reason: because I say so, expires: 2027-01-01}]`,
    ],
    [
      'an exception from signatures without a digest',
      `version: 1\nrules: []\nexceptions: [{check: unsigned, image: a, reason: because I say so, expires: 2027-01-01}]`,
    ],
    [
      'a bomb of aliases',
      `version: 1\nrules: []\na: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]`,
    ],
    ['a megabyte too many', `version: 1\nrules: []\n#${'x'.repeat(1024 * 1024)}`],
  ])('with %s is refused', async (_, text) => {
    await expect(parse(text)).rejects.toMatchObject({ code: 'policy-invalid', exit: 2 });
  });

  test('that is anything at all gives a policy or a clear error', async () => {
    const lines = fc.array(fc.constantFrom(...GOOD.split('\n'), 'rules: []', '  - x', '*a', '&a [*a]', '\t'), {
      maxLength: 30,
    });
    const texts = fc.oneof(
      fc.string(),
      lines.map((some) => some.join('\n')),
      fc.json(),
    );
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const result = await parse(text).catch((fault: unknown) => fault);
        if (result instanceof Error) expect(isFault(result)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('with one byte changed means the same, means less, or is refused', async () => {
    // Deny by default: no change of one byte in the middle of names may make the policy trust a key that is not in it.
    const keys = (policy: Policy) =>
      policy.rules.flatMap((rule) => rule.signature.by.map((one) => (one.kind === 'key' ? one.key.id : one.identity)));
    const known = new Set(keys(await parse(GOOD)));
    for (let at = 0; at < GOOD.length; at += 3) {
      const text = `${GOOD.slice(0, at)}~${GOOD.slice(at + 1)}`;
      const result = await parse(text).catch((fault: unknown) => fault);
      if (result instanceof Error) expect(isFault(result)).toBe(true);
      else expect(keys(result as Policy).every((one) => known.has(one) || one.includes('~'))).toBe(true);
    }
  });
});

describe('a slip within a field of two forms', () => {
  const ruled = (rest: string) =>
    parse(`version: 1\nkeys: {team: {file: team.pub}}\nrules: [{name: r, signatures: {by: [team]}, ${rest}}]\n`);

  test('is named, with the nearest known one', async () => {
    await expect(ruled('drift: {tool: block}')).rejects.toMatchObject({
      code: 'policy-invalid',
      message: expect.stringContaining('rules.0.drift.tool'),
      fix: 'Did you mean tools?',
    });
    await expect(ruled('drift: {tools: stop}')).rejects.toMatchObject({
      message: expect.stringContaining('rules.0.drift.tools'),
    });
    await expect(ruled('drift: stop')).rejects.toMatchObject({ message: expect.stringContaining('rules.0.drift') });
  });

  test('and what is right is read', async () => {
    expect((await ruled('drift: warn')).rules[0]?.drift).toEqual({
      tools: 'warn',
      prompts: 'warn',
      resources: 'warn',
      instructions: 'warn',
    });
    expect((await ruled('drift: {tools: warn}')).rules[0]?.drift).toEqual({ tools: 'warn' });
  });
});

describe('a policy file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'trust-policy-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('names files beside itself', async () => {
    await writeFile(join(folder, 'k.pub'), PEM);
    await writeFile(join(folder, 'policy.yaml'), defaultPolicy('k.pub'));
    const policy = await loadPolicy(join(folder, 'policy.yaml'));
    expect(policy.rules[0]?.require.map(({ predicateType }) => predicateType)).toEqual([
      'urn:mcp-build:server:v1',
      'https://slsa.dev/provenance/v1',
    ]);
  });

  test('that is not there is named', async () => {
    await expect(loadPolicy(join(folder, 'none.yaml'))).rejects.toMatchObject({ code: 'policy-unreadable' });
  });
});

test('the JSON Schema for editors is current', async () => {
  // Written again by: node -e 'import("./trust/index.ts").then((t) => console.log(JSON.stringify(t.policyJsonSchema(), null, 2)))'
  const file = await readFile(new URL('../../../trust/policy.schema.json', import.meta.url), 'utf8');
  expect(JSON.parse(file)).toEqual(JSON.parse(JSON.stringify(policyJsonSchema())));
});
