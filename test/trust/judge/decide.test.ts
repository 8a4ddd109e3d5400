import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LayoutStore, openLayout } from '../../../registry/index.ts';
import {
  type Asked,
  assess,
  attest,
  explain,
  failures,
  gather,
  generateKey,
  judge,
  keySigner,
  PREDICATES,
  parsePolicy,
  provenancePredicate,
  publicPem,
  type Scan,
  type ServerPredicate,
  signImage,
  vulnsPredicate,
} from '../../../trust/index.ts';
import { type TestImage, writeImage } from '../image.ts';
import { BUILD, SERVER } from '../predicates.ts';

const NOW = new Date('2026-09-15T12:00:00Z');
const team = generateKey();
const ci = generateKey('ed25519');
const stranger = generateKey();

let folder: string;
let store: LayoutStore;
let image: TestImage;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trust-judge-'));
  store = await openLayout(folder);
  image = await writeImage(store);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function policyOf(rule: object, exceptions: readonly object[] = [], keys: object = {}) {
  const text = JSON.stringify({
    version: 1,
    keys: { team: { pem: publicPem(team), ...keys }, ci: { pem: publicPem(ci) } },
    rules: [{ name: 'rule', signatures: { by: ['team'] }, ...rule }],
    exceptions,
  });
  return parsePolicy(text, 'policy.yaml', async () => '');
}

interface With {
  readonly asked?: Asked;
  readonly accepted?: { version: string; created: string };
  readonly exceptions?: readonly object[];
  readonly keys?: object;
  readonly now?: Date;
}

async function failed(rule: object, { exceptions, keys, now = NOW, ...options }: With = {}): Promise<string[]> {
  const evidence = await gather(store, image.index, { platforms: 'none', ...options });
  return failures(judge(await policyOf(rule, exceptions, keys), evidence, now)).map(({ id }) => id);
}

const say = (type: string, predicate: unknown, key = team) =>
  attest(store, image.index, type, predicate, keySigner(key), NOW);
const sign = (key = team) => signImage(store, image.index, keySigner(key), NOW);
const server = (changes: Partial<ServerPredicate> = {}, key = team) =>
  say(PREDICATES.server, { ...SERVER, ...changes }, key);
const scan = (found: Scan['found'], finished = NOW) =>
  say(
    PREDICATES.vulns,
    vulnsPredicate({ scanner: { uri: 'urn:x', version: '1' }, started: finished, finished, found }),
  );

describe('deny by default', () => {
  test('refuses what no rule is for', async () => {
    await sign();
    expect(await failed({ images: ['registry.example.test/other/*'] })).toEqual(['no-rule']);
    expect(
      await failed({ images: ['registry.example.test/*'] }, { asked: { image: 'registry.example.test/a' } }),
    ).toEqual([]);
    expect(
      await failed({ images: ['registry.example.test/*'] }, { asked: { image: 'registry.example.test.evil.test/a' } }),
    ).toEqual(['no-rule']);
  });

  test('lets the first rule that matches decide', async () => {
    await sign(ci);
    const rules = [
      { name: 'strict', images: ['a'], signatures: { by: ['team'] } },
      { name: 'lax', signatures: { by: ['ci'] } },
    ];
    const keys = { team: { pem: publicPem(team) }, ci: { pem: publicPem(ci) } };
    const policy = await parsePolicy(JSON.stringify({ version: 1, keys, rules }), 'p', async () => '');
    const verdict = async (name: string) =>
      assess(policy, await gather(store, image.index, { platforms: 'none', asked: { image: name } }), NOW);
    expect(await verdict('a')).toMatchObject({ rule: 'strict', verdict: { verdict: 'fail' } });
    expect(await verdict('b')).toMatchObject({ rule: 'lax', verdict: { verdict: 'pass' } });
  });
});

describe('signers', () => {
  test('are counted once each', async () => {
    const both = { signatures: { by: ['team', 'ci'], threshold: 2 } };
    await sign();
    await sign(stranger);
    expect(await failed(both)).toEqual(['untrusted-signer']);
    await sign(ci);
    expect(await failed(both)).toEqual([]);
  });

  test('count within their time', async () => {
    await sign();
    expect(await failed({}, { keys: { until: '2026-09-15' } })).toEqual(['untrusted-signer']);
    expect(await failed({}, { keys: { until: '2026-09-16' } })).toEqual([]);
    expect(await failed({}, { keys: { from: '2026-09-16' } })).toEqual(['untrusted-signer']);
  });
});

describe('required predicates', () => {
  const require = [{ predicate: 'provenance', by: ['ci'], maxAge: '30d' }];

  test('must be there, by whom they must be by', async () => {
    await sign();
    expect(await failed({ require })).toEqual(['attestation-missing']);
    await say(PREDICATES.provenance, provenancePredicate(BUILD));
    expect(await failed({ require })).toEqual(['untrusted-signer']);
    await say(PREDICATES.provenance, provenancePredicate(BUILD), ci);
    expect(await failed({ require })).toEqual([]);
  });

  test('must be fresh, by what their signer says', async () => {
    await sign();
    await say(PREDICATES.provenance, provenancePredicate(BUILD), ci);
    expect(await failed({ require }, { now: new Date('2026-10-15T00:00:00Z') })).toEqual(['attestation-expired']);
    // A clock that is behind by more than some minutes.
    expect(await failed({ require }, { now: new Date('2026-08-31T09:30:00Z') })).toEqual(['attestation-expired']);
    expect(await failed({ require }, { now: new Date('2026-08-31T09:58:00Z') })).toEqual([]);
  });

  test('without a time have no age', async () => {
    await sign();
    await say('https://example.test/review/v1', {});
    expect(await failed({ require: [{ predicate: 'https://example.test/review/v1', maxAge: '1d' }] })).toEqual([
      'attestation-expired',
    ]);
  });
});

describe('what was asked for', () => {
  const asked = { source: { ecosystem: 'npm' as const, name: '@example/server-memory' } };

  test('must be what is signed', async () => {
    await sign();
    expect(await failed({}, { asked })).toEqual(['attestation-missing']);
    await server({}, stranger);
    expect(await failed({}, { asked })).toEqual(['untrusted-signer']);
    await server();
    expect(await failed({}, { asked })).toEqual([]);
    expect(await failed({}, { asked: { source: { ecosystem: 'npm', name: '@example/other' } } })).toEqual([
      'source-mismatch',
    ]);
    expect(await failed({}, { asked: { source: { ecosystem: 'pypi', name: '@example/server-memory' } } })).toEqual([
      'source-mismatch',
    ]);
    expect(await failed({}, { asked: { ...asked, version: '1.2.4' } })).toEqual(['source-mismatch']);
    expect(await failed({}, { asked: { ...asked, version: '1.2.3' } })).toEqual([]);
  });

  test('must not be older than what was accepted', async () => {
    await sign();
    await server();
    const created = SERVER.created;
    expect(await failed({}, { accepted: { version: '1.2.3', created } })).toEqual([]);
    expect(await failed({}, { accepted: { version: '1.2.2', created: '2027-01-01T00:00:00Z' } })).toEqual([]);
    expect(await failed({}, { accepted: { version: '1.3.0', created } })).toEqual(['rollback']);
    expect(await failed({}, { accepted: { version: '1.2.3', created: '2026-09-01T00:00:00Z' } })).toEqual(['rollback']);
    expect(await failed({}, { accepted: { version: 'garbage', created } })).toEqual(['rollback']);
  });

  test('decides the rule by what the image claims, which must then be signed', async () => {
    await sign();
    const rule = { sources: ['npm:@example/*'] };
    expect(await failed(rule)).toEqual(['no-rule']);
    await server({}, stranger);
    expect(await failed(rule)).toEqual(['untrusted-signer']);
    await server();
    expect(await failed(rule)).toEqual([]);
  });

  test('has one answer', async () => {
    await sign();
    await server();
    await server({ permissions: { network: 'all', volumes: [], environment: [] } });
    expect(await failed({ require: [{ predicate: 'server' }] })).toEqual(['predicate-conflict']);
  });

  test('is the newest one that says when it was issued', async () => {
    await sign();
    await server();
    const wide = { network: 'all' as const, volumes: [], environment: [] };
    await server({ permissions: wide, issued: '2026-06-01T00:00:00Z' });
    const narrow = { permissions: { network: 'none' as const, volumes: [], environment: [] } };
    const rule = { require: [{ predicate: 'server' }], allow: narrow };
    expect(await failed(rule)).toEqual(['permission-refused']);
    await server({ permissions: narrow.permissions, issued: '2026-06-02T00:00:00Z' });
    expect(await failed(rule)).toEqual([]);
    // Somebody else's is no newer word.
    await server({ permissions: wide, issued: '2026-06-03T00:00:00Z' }, stranger);
    expect(await failed(rule)).toEqual([]);
    await server({ permissions: wide, issued: '2026-06-02T00:00:00Z' });
    expect(await failed(rule)).toEqual(['predicate-conflict']);
  });

  test('has an answer of the right form', async () => {
    await sign();
    await say(PREDICATES.server, { source: 'npm:x' });
    expect(await failed({ require: [{ predicate: 'server' }] })).toEqual(['predicate-conflict']);
  });
});

describe('what a rule allows', () => {
  beforeEach(async () => {
    await sign();
  });

  test('is sources', async () => {
    await server();
    expect(await failed({ allow: { sources: ['npm:@example/*'] } })).toEqual([]);
    expect(await failed({ allow: { sources: ['npm:@other/*'] } })).toEqual(['source-refused']);
  });

  test('is release age', async () => {
    await server({ newest: '2026-09-14T12:00:01Z' });
    expect(await failed({ allow: { releaseAge: '1d' } })).toEqual(['too-new']);
    expect(await failed({ allow: { releaseAge: '23h' } })).toEqual([]);
  });

  test('is a release age that nothing tells', async () => {
    const { newest: _, ...silent } = SERVER;
    await say(PREDICATES.server, silent);
    expect(await failed({ allow: { releaseAge: '1d' } })).toEqual(['too-new']);
  });

  test('is permissions', async () => {
    await server();
    const permissions = {
      network: ['*.example.test'],
      volumes: [{ path: '/data', mode: 'rw' }],
      environment: ['TOKEN'],
    };
    expect(await failed({ allow: { permissions } })).toEqual([]);
    expect(await failed({ allow: { permissions: { ...permissions, network: 'none' } } })).toEqual([
      'permission-refused',
    ]);
    expect(await failed({ allow: { permissions: { ...permissions, volumes: [{ path: '/data' }] } } })).toEqual([
      'permission-refused',
    ]);
    expect(
      await failed({ allow: { permissions: { ...permissions, volumes: [{ path: '/dat', mode: 'rw' }] } } }),
    ).toEqual(['permission-refused']);
    expect(await failed({ allow: { permissions: { ...permissions, environment: [] } } })).toEqual([
      'permission-refused',
    ]);
  });

  test('is not got round by a path with dots', async () => {
    await server({
      permissions: { network: 'none', volumes: [{ path: '/data/../etc', mode: 'ro' }], environment: [] },
    });
    expect(await failed({ allow: { permissions: { volumes: [{ path: '/data' }] } } })).toEqual(['permission-refused']);
  });

  test('is advisories', async () => {
    expect(await failed({ allow: { advisories: 'medium' } })).toEqual(['attestation-missing']);
    await scan([{ id: 'GHSA-1', severity: 'critical' }], new Date('2026-09-10T00:00:00Z'));
    expect(await failed({ allow: { advisories: 'high' } })).toEqual(['known-vulnerable']);
    expect(await failed({ allow: { advisories: 'critical' } })).toEqual([]);
    // The newest scan counts: advisories are also taken back.
    await scan([{ id: 'GHSA-2', severity: 'high' }]);
    expect(await failed({ allow: { advisories: 'high' } })).toEqual([]);
    const exception = {
      check: 'known-vulnerable',
      digest: image.index.digest,
      reason: 'does not concern us',
      expires: '2026-10-01',
    };
    expect(
      await failed({ allow: { advisories: 'low' } }, { exceptions: [{ ...exception, advisory: 'GHSA-1' }] }),
    ).toEqual(['known-vulnerable']);
    expect(
      await failed({ allow: { advisories: 'low' } }, { exceptions: [{ ...exception, advisory: 'GHSA-2' }] }),
    ).toEqual([]);
  });
});

test('a flaw of packages that share a source is told once, with both', async () => {
  const flaw = { id: 'CVE-2026-1', severity: 'high' as const };
  await sign();
  await scan([
    { ...flaw, purl: 'pkg:deb/debian/libc6@2.41-12' },
    { ...flaw, purl: 'pkg:deb/debian/libc-bin@2.41-12' },
    { id: 'GHSA-1', severity: 'critical' },
  ]);
  const evidence = await gather(store, image.index, { platforms: 'none' });
  const failed = failures(judge(await policyOf({ allow: { advisories: 'low' } }), evidence, NOW));
  expect(failed.map(({ detail }) => detail)).toEqual([
    'CVE-2026-1 (high in pkg:deb/debian/libc6@2.41-12, pkg:deb/debian/libc-bin@2.41-12), GHSA-1 (critical)',
  ]);
});

describe('an exception', () => {
  const asked = { image: 'registry.example.test/a' };
  const rule = { allow: { releaseAge: '52w' } };
  const exception = {
    check: 'too-new',
    source: 'npm:@example/*',
    version: '1.2.3',
    reason: 'fixes an outage',
    expires: '2026-10-01',
  };

  test('turns a failure round, with its reason, until it expires', async () => {
    await sign();
    await server();
    expect(await failed(rule, { asked })).toEqual(['too-new']);
    expect(await failed(rule, { asked, exceptions: [exception] })).toEqual([]);
    expect(await failed(rule, { asked, exceptions: [exception], now: new Date('2026-10-01T00:00:00Z') })).toEqual([
      'too-new',
    ]);
    const evidence = await gather(store, image.index, { platforms: 'none', asked });
    const { checks } = judge(await policyOf(rule, [exception]), evidence, NOW);
    expect(checks.find(({ id }) => id === 'too-new')).toMatchObject({
      status: 'pass',
      exception: { reason: 'fixes an outage', expires: '2026-10-01T00:00:00.000Z' },
    });
  });

  test.each([
    ['another version', { version: '1.2.4' }],
    ['another source', { source: 'npm:@other/*' }],
    ['another image', { image: 'registry.example.test/b' }],
    ['another check', { check: 'rollback' }],
    ['another digest', { digest: `sha256:${'0'.repeat(64)}` }],
  ])('for %s is none', async (_, changes) => {
    await sign();
    await server();
    expect(await failed(rule, { asked, exceptions: [{ ...exception, ...changes }] })).toEqual(['too-new']);
  });

  test('by source is none where the source is not signed', async () => {
    await sign();
    await server({}, stranger);
    const missing = {
      check: 'attestation-missing',
      predicate: 'provenance',
      source: 'npm:@example/*',
      reason: 'fixes an outage',
      expires: '2026-10-01',
    };
    expect(await failed({ require: [{ predicate: 'provenance' }] }, { exceptions: [missing] })).toEqual([
      'attestation-missing',
    ]);
  });

  test('from a missing predicate is from that one', async () => {
    await sign();
    const missing = {
      check: 'attestation-missing',
      image: 'registry.example.test/*',
      reason: 'not built by us',
      expires: '2026-10-01',
    };
    const require = [{ predicate: 'provenance' }];
    const ids = (predicate: string) => failed({ require }, { asked, exceptions: [{ ...missing, predicate }] });
    expect(await ids('provenance')).toEqual([]);
    expect(await ids('vulns')).toEqual(['attestation-missing']);
    await expect(ids('server')).rejects.toMatchObject({ code: 'policy-invalid' });
    await expect(failed({ require }, { asked, exceptions: [missing] })).rejects.toMatchObject({
      code: 'policy-invalid',
    });
  });

  test('accepts an unsigned image by its digest only', async () => {
    const unsigned = {
      check: 'unsigned',
      digest: image.index.digest,
      reason: 'looked at by hand',
      expires: '2026-10-01',
    };
    expect(await failed({}, { exceptions: [unsigned] })).toEqual([]);
    await sign(stranger);
    expect(await failed({}, { exceptions: [unsigned] })).toEqual([]);
    expect(await failed({}, { exceptions: [{ ...unsigned, digest: image.platforms[0]!.digest }] })).toEqual([
      'untrusted-signer',
    ]);
  });
});

test('a verdict is explained', async () => {
  await sign();
  const text = explain(
    await policyOf({ require: [{ predicate: 'provenance' }] }),
    await gather(store, image.index),
    NOW,
  );
  expect(text).toContain('rule "rule" of policy.yaml');
  expect(text).toMatch(/fail\s+provenance: attestation-missing/);
  expect(text).toMatch(/pass\s+signature: untrusted-signer: Signed by team/);
});

test('judging twice gives the same, and changes nothing', async () => {
  await sign();
  await server();
  const policy = await policyOf({ allow: { releaseAge: '1d' } });
  const evidence = await gather(store, image.index);
  const before = JSON.stringify(evidence);
  expect(judge(policy, evidence, NOW)).toEqual(judge(policy, evidence, NOW));
  expect(JSON.stringify(evidence)).toBe(before);
});

describe('what a server may offer', () => {
  const { tools: _tools, instructions: _instructions, ...untested } = SERVER;

  test('is pinned also where the policy does not ask which server it is', async () => {
    await sign();
    await server();
    const evidence = await gather(store, image.index, { platforms: 'none' });
    expect(assess(await policyOf({}), evidence, NOW)).toMatchObject({
      server: undefined,
      offers: [{ tools: SERVER.tools }],
      drift: { tools: 'block', prompts: 'block', resources: 'warn', instructions: 'block' },
    });
  });

  test('counts only by those who must sign it, and of an image that passes', async () => {
    await sign();
    await server({}, stranger);
    const evidence = await gather(store, image.index, { platforms: 'none' });
    expect(assess(await policyOf({}), evidence, NOW).offers).toEqual([]);
    expect(assess(await policyOf({ signatures: { by: ['ci'] } }), evidence, NOW).offers).toEqual([]);
    expect(assess(await policyOf({ require: [{ predicate: 'server', by: ['ci'] }] }), evidence, NOW).offers).toEqual(
      [],
    );
  });

  test('must be signed where the policy says to block', async () => {
    await sign();
    expect(await failed({ drift: 'block' })).toEqual(['attestation-missing']);
    await say(PREDICATES.server, untested);
    expect(await failed({ drift: 'block' })).toEqual(['offer-unsigned']);
    expect(await failed({ drift: { resources: 'block' } })).toEqual(['offer-unsigned']);
    expect(await failed({ drift: 'warn' })).toEqual([]);
    expect(await failed({ drift: { tools: 'warn' } })).toEqual([]);
    expect(await failed({})).toEqual([]);
    const excused = {
      check: 'offer-unsigned',
      digest: image.index.digest,
      reason: 'never tested by them',
      expires: '2027-01-01',
    };
    expect(await failed({ drift: 'block' }, { exceptions: [excused] })).toEqual([]);
  });

  test('signed, satisfies it', async () => {
    await sign();
    await server();
    expect(await failed({ drift: 'block' })).toEqual([]);
    const evidence = await gather(store, image.index, { platforms: 'none' });
    const { drift } = assess(await policyOf({ drift: { resources: 'block', tools: 'warn' } }), evidence, NOW);
    expect(drift).toEqual({ tools: 'warn', prompts: 'block', resources: 'block', instructions: 'block' });
  });
});
