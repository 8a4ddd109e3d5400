import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import {
  type Evidence,
  failures,
  generateKey,
  judge,
  keyPolicy,
  parseBundle,
  parsePolicy,
  parsePublicKey,
  publicGoodRoot,
} from '../../trust/index.ts';
import { readStatement } from '../../trust/statement.ts';

interface Recorded {
  readonly issuer: string;
  readonly ciIssuer: string;
  readonly publicKey: string;
  readonly trustedRoot: Record<string, { validFor?: object; publicKey?: { validFor?: object } }[]>;
  readonly ci: object;
  readonly email: object;
  readonly witnessed: object;
}

const recorded = JSON.parse(
  await readFile(new URL('../fixtures/trust/keyless.json', import.meta.url), 'utf8'),
) as Recorded;
const digest = sha256('image');
// Years after the certificates have expired: what counts is when they were used.
const NOW = new Date('2036-01-01T00:00:00Z');

function evidenceOf(bundle: object | Uint8Array): Evidence {
  const bytes = bundle instanceof Uint8Array ? bundle : Buffer.from(JSON.stringify(bundle));
  const parsed = parseBundle(bytes, 'b');
  const said = readStatement(parsed.envelope.payloadType, parsed.envelope.payload);
  return {
    subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1 },
    platforms: [],
    content: { layers: false, problems: [] },
    attestations: said
      ? [{ on: digest, referrer: digest, said: { kind: 'statement', bundle: parsed, statement: said } }]
      : [],
  };
}

const CI = {
  issuer: recorded.ciIssuer,
  identity: 'https://github.com/acme/servers/.github/workflows/release.yml@refs/heads/main',
  root: 'root.json',
};
const EMAIL = { issuer: recorded.issuer, identity: 'someone@example.test', root: 'root.json' };

function policyOf(identity: object, root: object = recorded.trustedRoot) {
  const text = JSON.stringify({
    version: 1,
    identities: { it: identity },
    rules: [{ name: 'all', signatures: { by: ['it'] } }],
  });
  return parsePolicy(text, 'policy.yaml', async () => JSON.stringify(root));
}

async function failed(identity: object, bundle: object, root?: object): Promise<string[]> {
  return failures(judge(await policyOf(identity, root), evidenceOf(bundle), NOW)).map(({ id }) => id);
}

describe('an identity', () => {
  test('of a workflow is exact, with its claims', async () => {
    const claims = {
      repository: 'https://github.com/acme/servers',
      repositoryId: '101',
      ownerId: '7',
      ref: 'refs/heads/main',
      runner: 'github-hosted',
      trigger: 'push',
    };
    expect(await failed({ ...CI, ...claims }, recorded.ci)).toEqual([]);
    const wrong = {
      repository: 'https://github.com/acme/servers2',
      repositoryId: '1010',
      ownerId: '70',
      ref: 'refs/heads/mai',
      runner: 'self-hosted',
      trigger: 'pull_request',
    };
    for (const [name, value] of Object.entries(wrong)) {
      expect(await failed({ ...CI, ...claims, [name]: value }, recorded.ci), name).toEqual(['untrusted-signer']);
    }
  });

  test.each([
    ['that is only contained', { identity: 'someone@example.tes' }],
    ['that contains it', { identity: 'xsomeone@example.test' }],
    ['that matches as a pattern', { identity: 'someone.example.test' }],
    ['in other letters', { identity: 'Someone@example.test' }],
    ['of another issuer', { issuer: recorded.ciIssuer }],
    ['of an issuer that contains it', { issuer: `${recorded.issuer}/` }],
    ['that is everything', { identity: '.*' }],
  ])('%s is another', async (_, changes) => {
    expect(await failed(EMAIL, recorded.email)).toEqual([]);
    expect(await failed({ ...EMAIL, ...changes }, recorded.email)).toEqual(['untrusted-signer']);
  });

  test('vouched for by another root means nothing', async () => {
    expect(await failed({ ...EMAIL, root: 'public-good' }, recorded.email)).toEqual(['untrusted-signer']);
    expect(await failed(EMAIL, recorded.email, publicGoodRoot().json)).toEqual(['untrusted-signer']);
  });

  test('is not a key, and a key is no identity', async () => {
    expect(failures(judge(keyPolicy([generateKey()]), evidenceOf(recorded.email), NOW)).map(({ id }) => id)).toEqual([
      'untrusted-signer',
    ]);
    expect(await failed(EMAIL, recorded.witnessed)).toEqual(['untrusted-signer']);
  });

  test('needs as many witnesses as are asked for', async () => {
    for (const need of [{ logEntries: 2 }, { certificateLogs: 2 }, { timestamps: 2 }]) {
      expect(await failed({ ...EMAIL, ...need }, recorded.email)).toEqual(['untrusted-signer']);
    }
  });
});

describe('a keyless bundle', () => {
  type Json = { verificationMaterial: Record<string, unknown>; dsseEnvelope: Record<string, unknown> };
  const changed = (change: (json: Json) => void): object => {
    const json = structuredClone(recorded.email) as Json;
    change(json);
    return json;
  };
  const other = recorded.ci as Json;
  const entries = (recorded.email as Json).verificationMaterial.tlogEntries as object[];
  const without = (name: string) => changed((json) => delete json.verificationMaterial[name]);
  test.each([
    ['without its log entry', without('tlogEntries')],
    ['without its timestamp', without('timestampVerificationData')],
    [
      'with another’s log entry',
      changed((json) =>
        Object.assign(json.verificationMaterial, { tlogEntries: other.verificationMaterial.tlogEntries }),
      ),
    ],
    [
      'with another’s timestamp',
      changed((json) =>
        Object.assign(json.verificationMaterial, {
          timestampVerificationData: other.verificationMaterial.timestampVerificationData,
        }),
      ),
    ],
    [
      'with another’s certificate',
      changed((json) =>
        Object.assign(json.verificationMaterial, { certificate: other.verificationMaterial.certificate }),
      ),
    ],
    ['with another’s envelope', changed((json) => Object.assign(json, { dsseEnvelope: other.dsseEnvelope }))],
    [
      'with the same log entry twice',
      changed((json) => Object.assign(json.verificationMaterial, { tlogEntries: [entries[0], entries[0]] })),
    ],
    [
      'with a root for a certificate',
      changed((json) =>
        Object.assign(json.verificationMaterial, {
          certificate: (
            recorded.trustedRoot.certificateAuthorities as unknown as { certChain: { certificates: object[] } }[]
          )[0]!.certChain.certificates[0],
        }),
      ),
    ],
    [
      'with garbage for a certificate',
      changed((json) => Object.assign(json.verificationMaterial, { certificate: { rawBytes: 'AAAAAAAA' } })),
    ],
    [
      'with garbage for a timestamp',
      changed((json) =>
        Object.assign(json.verificationMaterial, {
          timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: 'AAAA' }] },
        }),
      ),
    ],
    [
      'with garbage for a log entry',
      changed((json) => Object.assign(json.verificationMaterial, { tlogEntries: [{ logId: 7 }] })),
    ],
  ])('%s is by nobody', async (_, bundle) => {
    expect(await failed(EMAIL, bundle)).toEqual(['untrusted-signer']);
  });

  test('of a time when its log or authorities were not valid is by nobody', async () => {
    const ended = { start: '2020-01-01T00:00:00Z', end: '2021-01-01T00:00:00Z' };
    for (const part of ['certificateAuthorities', 'timestampAuthorities', 'ctlogs']) {
      const root = structuredClone(recorded.trustedRoot);
      for (const one of root[part]!) {
        if (one.publicKey) one.publicKey.validFor = ended;
        else one.validFor = ended;
      }
      expect(await failed(EMAIL, recorded.email, root), part).toEqual(['untrusted-signer']);
    }
  });

  test('with any one character changed is refused, or means the same', async () => {
    const policy = await policyOf(EMAIL);
    const text = Buffer.from(JSON.stringify(recorded.email));
    const payload = parseBundle(text, 'b').envelope.payload;
    let refused = 0;
    for (let at = 0; at < text.length; at += 7) {
      const bytes = Buffer.from(text);
      bytes[at]! ^= 1;
      let evidence: Evidence;
      try {
        evidence = evidenceOf(bytes);
      } catch (error) {
        expect(error).toMatchObject({ code: 'bundle-invalid' });
        refused++;
        continue;
      }
      if (judge(policy, evidence, NOW).verdict === 'fail') refused++;
      else expect(parseBundle(bytes, 'b').envelope.payload.equals(payload)).toBe(true);
    }
    expect(refused).toBeGreaterThan(text.length / 7 / 2);
  });
});

describe('a key whose signatures are witnessed', () => {
  const key = parsePublicKey(recorded.publicKey, 'k');
  const policy = (said: object) =>
    parsePolicy(
      JSON.stringify({
        version: 1,
        keys: { it: { pem: recorded.publicKey, ...said } },
        rules: [{ name: 'all', signatures: { by: ['it'] } }],
      }),
      'policy.yaml',
      async () => JSON.stringify(recorded.trustedRoot),
    );
  const ids = async (said: object) =>
    failures(judge(await policy(said), evidenceOf(recorded.witnessed), NOW)).map(({ id }) => id);

  test('outlives its validity', async () => {
    expect(key.kind).toBe('ecdsa-p256');
    expect(await ids({ until: '2035-01-01' })).toEqual(['untrusted-signer']);
    expect(await ids({ until: '2035-01-01', root: 'root.json', timestamps: 1, logEntries: 1 })).toEqual([]);
    expect(await ids({ until: '2026-01-01', root: 'root.json', timestamps: 1 })).toEqual(['untrusted-signer']);
    expect(await ids({ from: '2030-01-01', root: 'root.json', timestamps: 1 })).toEqual(['untrusted-signer']);
    expect(await ids({ root: 'root.json', timestamps: 2 })).toEqual(['untrusted-signer']);
    expect(await ids({ root: 'public-good', timestamps: 1 })).toEqual(['untrusted-signer']);
  });
});
