import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { integrityFromHex } from '../../../digest/index.ts';
import { DEFAULT_VETTING, parseTrustedRoot, publicGoodRoot, type VettingRules } from '../../../trust/index.ts';
import {
  npmAttested,
  type Origin,
  type Package,
  type Provenance,
  registrySignature,
  sameRepository,
  wheelAttested,
} from '../../../vetting/index.ts';
import { checkProvenance } from '../../../vetting/origin/provenance.ts';
import { lock } from '../../builders/sample-lock.ts';
import { npmPackage } from '../packages.ts';

// Made by a real Fulcio, a log and a CT log of our own; their keys are gone.
const recorded = JSON.parse(
  await readFile(new URL('../../fixtures/vetting/provenance.json', import.meta.url), 'utf8'),
) as Record<
  'trustedRoot' | 'npm' | 'npmFork' | 'npmOther' | 'npmPredicate' | 'wheel' | 'wheelFork',
  {
    verificationMaterial: { certificate: { rawBytes: string }; tlogEntries: object[] };
    dsseEnvelope: { payload: string; signatures: { sig: string }[] };
  }
>;
const root = parseTrustedRoot(JSON.stringify(recorded.trustedRoot), 'recorded');
const hash = (algorithm: 'sha256' | 'sha512', text: string) =>
  integrityFromHex(algorithm, createHash(algorithm).update(text).digest('hex'));
const SLSA = 'https://slsa.dev/provenance/v1';
const about = { name: '@acme/server', version: '1.0.0', integrity: hash('sha512', 'server') };
const wheel = { file: 'acme_server-1.0.0-py3-none-any.whl', integrity: hash('sha256', 'wheel') };
const repository = 'https://github.com/acme/servers';

const npm = (...bundles: readonly object[]) => ({
  attestations: bundles.map((bundle) => ({ predicateType: SLSA, bundle })),
});
const pep740 = (...bundles: readonly (typeof recorded)['wheel'][]) => ({
  version: 1,
  attestation_bundles: [
    {
      publisher: { kind: 'GitHub', repository: 'acme/servers', workflow: 'release.yml' },
      attestations: bundles.map(({ verificationMaterial: material, dsseEnvelope }) => ({
        version: 1,
        verification_material: {
          certificate: material.certificate.rawBytes,
          transparency_entries: material.tlogEntries,
        },
        envelope: { statement: dsseEnvelope.payload, signature: dsseEnvelope.signatures[0]?.sig },
      })),
    },
  ],
});

describe('npm attestations', () => {
  it('say who built exactly this name, version and hash', () => {
    expect(npmAttested(npm(recorded.npm), about, root)).toMatchObject({ state: 'attested', origin: { repository } });
  });

  it.each([
    ['another version', { ...about, version: '1.0.1' }],
    ['another name', { ...about, name: '@acme/serve' }],
    ['other bytes', { ...about, integrity: hash('sha512', 'other') }],
    ['a weaker hash', { ...about, integrity: hash('sha256', 'server') }],
  ])('do not vouch for %s', (_, other) => {
    expect(npmAttested(npm(recorded.npm), other, root)).toMatchObject({ state: 'other-subject' });
  });

  it('do not vouch when they are of another package, another predicate, or signed for others', () => {
    expect(npmAttested(npm(recorded.npmOther), about, root)).toMatchObject({ state: 'other-subject' });
    expect(npmAttested(npm(recorded.npmPredicate), about, root)).toMatchObject({ state: 'other-subject' });
    expect(npmAttested(npm(recorded.npm, recorded.npmOther), about, root)).toMatchObject({ state: 'other-subject' });
    expect(npmAttested(npm(recorded.npm, recorded.npmFork), about, root)).toMatchObject({ state: 'invalid' });
  });

  it('are invalid when anything in them was changed, under another root, or without a certificate', () => {
    const tampered = structuredClone(recorded.npm);
    tampered.dsseEnvelope.payload = Buffer.from(
      Buffer.from(tampered.dsseEnvelope.payload, 'base64').toString().replace('1.0.0', '1.0.1'),
    ).toString('base64');
    const keyed = { ...recorded.npm, verificationMaterial: { publicKey: { hint: 'x' } } };
    const unlogged = structuredClone(recorded.npm);
    unlogged.verificationMaterial.tlogEntries = [];
    for (const bundle of [tampered, keyed, unlogged, {}]) {
      expect(npmAttested(npm(bundle), about, root).state).toBe('invalid');
    }
    expect(npmAttested(npm(recorded.npm), about, publicGoodRoot()).state).toBe('invalid');
  });

  it.each([[undefined], [null], [[]], [{}], [{ attestations: 5 }], [{ attestations: [{ predicateType: SLSA }] }]])(
    'are invalid when they are %j',
    (document) => {
      expect(npmAttested(document, about, root).state).toBe('invalid');
    },
  );

  it('are absent where only the registry’s own publish attestation is there', () => {
    expect(
      npmAttested({ attestations: [{ predicateType: 'https://example.test/publish', bundle: {} }] }, about, root),
    ).toEqual({ state: 'absent' });
  });
});

describe('PEP 740 provenance', () => {
  it('says who published exactly this file', () => {
    expect(wheelAttested(pep740(recorded.wheel), wheel, root)).toMatchObject({
      state: 'attested',
      origin: { repository },
    });
  });

  it('does not vouch for another file or other bytes', () => {
    expect(
      wheelAttested(pep740(recorded.wheel), { ...wheel, file: 'acme_server-1.0.0-py2-none-any.whl' }, root).state,
    ).toBe('other-subject');
    expect(wheelAttested(pep740(recorded.wheel), { ...wheel, integrity: hash('sha256', 'x') }, root).state).toBe(
      'other-subject',
    );
    expect(wheelAttested(pep740(recorded.npm), wheel, root).state).toBe('other-subject');
  });

  it('believes the certificate, not the publisher that the index names', () => {
    expect(wheelAttested(pep740(recorded.wheelFork), wheel, root)).toMatchObject({
      state: 'attested',
      origin: { repository: 'https://github.com/mallory/servers' },
    });
    expect(wheelAttested(pep740(recorded.wheel, recorded.wheelFork), wheel, root).state).toBe('invalid');
  });

  it.each([[null], [{ version: 2, attestation_bundles: [] }], [{ version: 1 }], ['<html>']])(
    'is invalid when it is %j',
    (document) => {
      expect(wheelAttested(document, wheel, root).state).toBe('invalid');
    },
  );
});

describe('registry signatures', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = {
    keyid: 'SHA256:one',
    keytype: 'ecdsa-sha2-nistp256',
    scheme: 'ecdsa-sha2-nistp256',
    key: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    expires: null as string | null,
  };
  const sig = (text: string) => sign('sha256', Buffer.from(text), privateKey).toString('base64');
  const signed = (text = `${about.name}@${about.version}:${about.integrity}`) => ({
    ...about,
    uploaded: '2026-01-01T00:00:00Z' as string | undefined,
    signatures: [{ keyid: key.keyid, sig: sig(text) }],
  });

  it('are over name, version and hash', () => {
    expect(registrySignature(signed(), { keys: [key] })).toEqual({ state: 'valid' });
    for (const text of ['@acme/server@1.0.1:x', `@acme/other@1.0.0:${about.integrity}`])
      expect(registrySignature(signed(text), { keys: [key] }).state).toBe('invalid');
  });

  it('count only while their key does, and only where somebody says when', () => {
    const expired = { keys: [{ ...key, expires: '2025-12-31T00:00:00Z' }] };
    expect(registrySignature(signed(), expired).state).toBe('invalid');
    expect(registrySignature({ ...signed(), uploaded: undefined }, expired).state).toBe('invalid');
    expect(registrySignature(signed(), { keys: [{ ...key, expires: '2027-01-01T00:00:00Z' }] }).state).toBe('valid');
  });

  it('are absent, by a stranger, or unsupported: three different things', () => {
    expect(registrySignature({ ...signed(), signatures: [] }, { keys: [key] })).toEqual({ state: 'absent' });
    expect(registrySignature(signed(), { keys: [{ ...key, keyid: 'other' }] }).state).toBe('invalid');
    expect(registrySignature(signed(), { keys: [{ ...key, key: 'AAAA' }] }).state).toBe('invalid');
    expect(registrySignature(signed(), { keys: [{ ...key, scheme: 'rsa' }] }).state).toBe('invalid');
    expect(registrySignature(signed(), undefined)).toEqual({ state: 'unsupported' });
    expect(registrySignature(signed(), { keys: 'x' }).state).toBe('invalid');
  });
});

describe('what is made of it', () => {
  const origin: Origin = { issuer: 'https://issuer.test', repository };
  const check = (
    said: Partial<Provenance>,
    one: Package = npmPackage('@acme/server', '1.0.0'),
    rules: Partial<VettingRules> = {},
  ) =>
    checkProvenance({
      lock,
      native: {},
      contents: new Map(),
      packages: [one],
      rules: { ...DEFAULT_VETTING, ...rules },
      provenance: new Map([
        [one.ref, { signature: { state: 'unsupported' }, attestation: { state: 'absent' }, ...said }],
      ]),
      now: new Date(),
    }).map(({ code, severity }) => `${code} ${severity}`);
  const attested = { attestation: { state: 'attested', origin } } as const;

  it('a release with provenance from where it always came is fine', () => {
    expect(check({ ...attested, earlier: { version: '0.9.0', origin } })).toEqual([]);
    expect(check(attested, npmPackage('@acme/server', '1.0.0', { origin }))).toEqual([]);
  });

  it('a release with less than the one before is a downgrade', () => {
    expect(check({ earlier: { version: '0.9.0', origin } })).toEqual(['trust-downgrade high']);
    // The earlier one's could not be verified any more: that it had one is enough.
    expect(check({ earlier: { version: '0.9.0', origin: undefined } })).toEqual(['trust-downgrade high']);
    expect(check({}, npmPackage('@acme/server', '1.0.0', { origin }))).toEqual(['trust-downgrade high']);
  });

  it('a release from elsewhere is another identity', () => {
    const fork = {
      attestation: { state: 'attested', origin: { ...origin, repository: 'https://github.com/mallory/servers' } },
    } as const;
    expect(check({ ...fork, earlier: { version: '0.9.0', origin } })).toEqual(['identity-mismatch high']);
    expect(check(fork, npmPackage('@acme/server', '1.0.0', { origin }))).toEqual(['identity-mismatch high']);
    expect(check(fork, undefined, { repositories: { 'npm:@acme/*': repository } })).toEqual(['identity-mismatch high']);
    expect(check(attested, undefined, { repositories: { 'npm:@acme/*': `git+${repository}.git` } })).toEqual([]);
    // What the policy expects outweighs what was: repositories move.
    expect(
      check({ ...fork, earlier: { version: '0.9.0', origin } }, undefined, {
        repositories: { 'npm:@acme/*': 'https://github.com/mallory/servers' },
      }),
    ).toEqual([]);
  });

  it('absence is recorded, and refused where it is required', () => {
    expect(check({})).toEqual(['attestation-missing none']);
    expect(check({}, undefined, { requireProvenance: ['npm:@acme/*'] })).toEqual(['attestation-missing high']);
    expect(check({ attestation: { state: 'unknown', reason: 'down' } })).toEqual(['not-checked low']);
    expect(
      check({ attestation: { state: 'unknown', reason: 'down' } }, npmPackage('@acme/server', '1.0.0', { origin })),
    ).toEqual(['not-checked high']);
  });

  it('what does not verify is worse than what is not there', () => {
    expect(check({ attestation: { state: 'invalid', reason: 'x' } })).toEqual(['attestation-invalid high']);
    expect(check({ attestation: { state: 'other-subject', reason: 'x' } })).toEqual(['subject-mismatch critical']);
    expect(check({ ...attested, signature: { state: 'absent' } })).toEqual(['registry-signature high']);
    expect(check({ ...attested, signature: { state: 'invalid', reason: 'x' } })).toEqual(['registry-signature high']);
  });

  it('knows a repository however it is written', () => {
    for (const text of [
      'git+https://github.com/acme/servers.git',
      'https://GitHub.com/acme/servers/',
      'git@github.com:acme/servers.git',
      'ssh://git@github.com/acme/servers',
    ])
      expect(sameRepository(text, repository), text).toBe(true);
    expect(sameRepository('https://github.com/acme/servers2', repository)).toBe(false);
  });
});
