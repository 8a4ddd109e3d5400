import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../digest/index.ts';
import { isFault } from '../../errors/index.ts';
import {
  type Evidence,
  generateKey,
  judge,
  keyPolicy,
  keySigner,
  PREDICATES,
  parseBundle,
  parseTrustedRoot,
  publicGoodRoot,
  seal,
  statement,
} from '../../trust/index.ts';
import { readStatement } from '../../trust/statement.ts';

const NOW = new Date('2026-11-22T12:00:00Z');
const key = generateKey();
const digest = sha256('image');
const bundle = await seal(statement([digest], PREDICATES.signature, {}), keySigner(key));

/** The evidence of an image to which exactly these bytes are attached. */
function evidenceOf(bytes: Uint8Array): Evidence {
  const parsed = parseBundle(bytes, 'b');
  const said = readStatement(parsed.envelope.payloadType, parsed.envelope.payload);
  return {
    subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1 },
    platforms: [],
    content: { layers: false, problems: [] },
    attestations: [
      {
        on: digest,
        referrer: sha256(bytes),
        said: said
          ? { kind: 'statement', bundle: parsed, statement: said }
          : { kind: 'unreadable', reason: 'no statement' },
      },
    ],
  };
}

const passes = (bytes: Uint8Array) => judge(keyPolicy([key]), evidenceOf(bytes), NOW).verdict === 'pass';

/** What a bundle says: equal for bundles that mean the same. */
const meaning = (bytes: Uint8Array) => {
  const { payloadType, payload } = parseBundle(bytes, 'b').envelope;
  return `${payloadType} ${payload.toString('hex')}`;
};

describe('a bundle', () => {
  test('is read', () => {
    expect(parseBundle(bundle, 'b')).toMatchObject({
      material: { kind: 'key', hint: key.id },
      entries: 0,
      timestamps: 0,
    });
    expect(passes(bundle)).toBe(true);
  });

  test('with any one byte changed is refused, or means the same', () => {
    let survived = 0;
    for (let at = 0; at < bundle.length; at++) {
      for (const change of [1, 0x20, 0x80]) {
        const changed = Buffer.from(bundle);
        changed[at]! ^= change;
        try {
          if (!passes(changed)) continue;
        } catch (error) {
          expect(isFault(error, 'bundle-invalid')).toBe(true);
          continue;
        }
        survived++;
        expect(meaning(changed)).toBe(meaning(bundle));
      }
    }
    // Those of the hint, which is for people.
    expect(survived).toBeLessThan(3 * 44 + 1);
  });

  test('cut anywhere is refused', () => {
    for (let at = 0; at < bundle.length; at++) {
      expect(() => parseBundle(bundle.subarray(0, at), 'b')).toThrow(
        expect.objectContaining({ code: 'bundle-invalid' }),
      );
    }
  });

  test('that is anything at all is read or refused with an error of ours', () => {
    const json = JSON.parse(bundle.toString());
    const mutated = fc
      .tuple(fc.constantFrom('mediaType', 'verificationMaterial', 'dsseEnvelope'), fc.jsonValue())
      .map(([field, value]) => Buffer.from(JSON.stringify({ ...json, [field]: value })));
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
          mutated,
        ),
        (bytes) => {
          try {
            parseBundle(bytes, 'b');
          } catch (error) {
            expect(isFault(error, 'bundle-invalid')).toBe(true);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  const changed = (change: (json: Record<string, Record<string, unknown>>) => void) => {
    const json = JSON.parse(bundle.toString());
    change(json);
    return Buffer.from(JSON.stringify(json));
  };
  test.each([
    [
      'of another version',
      changed((json) => Object.assign(json, { mediaType: 'application/vnd.dev.sigstore.bundle.v0.9+json' })),
    ],
    [
      'with a key and a certificate',
      changed((json) => Object.assign(json.verificationMaterial!, { certificate: { rawBytes: 'AAAA' } })),
    ],
    ['with neither', changed((json) => Object.assign(json, { verificationMaterial: {} }))],
    [
      'with two signatures',
      changed((json) => Object.assign(json.dsseEnvelope!, { signatures: [{ sig: 'AAAA' }, { sig: 'AAAA' }] })),
    ],
    ['with no signature', changed((json) => Object.assign(json.dsseEnvelope!, { signatures: [] }))],
    ['with base64 that is none', changed((json) => Object.assign(json.dsseEnvelope!, { payload: 'A' }))],
    ['with an unknown field', changed((json) => Object.assign(json, { extra: {} }))],
    [
      'around a message, not an envelope',
      changed((json) => {
        delete json.dsseEnvelope;
        Object.assign(json, {
          messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest: 'AAAA' }, signature: 'AAAA' },
        });
      }),
    ],
    [
      'with a thousand log entries',
      changed((json) => Object.assign(json.verificationMaterial!, { tlogEntries: Array(1000).fill({}) })),
    ],
    ['too long', Buffer.concat([bundle, Buffer.alloc(16 * 1024 * 1024, ' ')])],
  ])('%s is refused', (_, bytes) => {
    expect(() => parseBundle(bytes, 'b')).toThrow(expect.objectContaining({ code: 'bundle-invalid', exit: 3 }));
  });
});

describe('a statement', () => {
  const text = (value: unknown) => Buffer.from(JSON.stringify(value));
  const good = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { sha256: 'a' } }],
    predicateType: 'x',
    predicate: {},
  };
  test.each([
    ['of another type', 'application/json', text(good)],
    ['that is not JSON', 'application/vnd.in-toto+json', Buffer.from('{')],
    ['that is not UTF-8', 'application/vnd.in-toto+json', Buffer.from([0xff, 0xfe])],
    ['about nothing', 'application/vnd.in-toto+json', text({ ...good, subject: [] })],
    ['about too much', 'application/vnd.in-toto+json', text({ ...good, subject: Array(1001).fill(good.subject[0]) })],
    ['without a type of predicate', 'application/vnd.in-toto+json', text({ ...good, predicateType: '' })],
    ['of another version', 'application/vnd.in-toto+json', text({ ...good, _type: 'https://in-toto.io/Statement/v9' })],
  ])('%s says nothing', (_, type, payload) => {
    expect(readStatement(type, payload)).toBeUndefined();
  });
});

describe('a trusted root', () => {
  test('of the public instance is at hand, offline', () => {
    expect(publicGoodRoot().name).toBe('public-good');
  });

  const root = JSON.parse(JSON.stringify(publicGoodRoot().json));
  test.each([
    ['that is not JSON', '{'],
    ['that is a list', '[]'],
    ['of another kind', JSON.stringify({ ...root, mediaType: 'application/json' })],
    [
      'with a log of all times',
      JSON.stringify({
        ...root,
        tlogs: [{ ...root.tlogs[0], publicKey: { ...root.tlogs[0].publicKey, validFor: {} } }],
      }),
    ],
    [
      'with an authority of all times',
      JSON.stringify({ ...root, certificateAuthorities: [{ ...root.certificateAuthorities[0], validFor: undefined }] }),
    ],
    [
      'with a certificate that is none',
      JSON.stringify({
        ...root,
        certificateAuthorities: [
          { ...root.certificateAuthorities[0], certChain: { certificates: [{ rawBytes: 'AAAA' }] } },
        ],
      }),
    ],
  ])('%s is refused', (_, text) => {
    expect(() => parseTrustedRoot(text, 'r')).toThrow(expect.objectContaining({ code: 'root-invalid', exit: 2 }));
  });
});
