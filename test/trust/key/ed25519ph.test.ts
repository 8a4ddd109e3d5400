import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { verifyEd25519ph } from '../../../trust/key/ed25519ph.ts';

const hex = (text: string) => Buffer.from(text, 'hex');

// RFC 8032, 7.3.
const KEY = hex('ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf');
const SIGNATURE = hex(
  '98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406',
);
const MESSAGE = Buffer.from('abc');
const ORDER = (1n << 252n) + 27742317777372353535851937790883648493n;

const flipped = (bytes: Buffer, at: number) => Buffer.from(bytes.map((byte, i) => (i === at ? byte ^ 4 : byte)));

describe('Ed25519ph', () => {
  test('verifies the vector of RFC 8032', () => {
    expect(verifyEd25519ph(MESSAGE, SIGNATURE, KEY)).toBe(true);
  });

  test('refuses every changed byte', () => {
    for (let at = 0; at < 64; at++) expect(verifyEd25519ph(MESSAGE, flipped(SIGNATURE, at), KEY)).toBe(false);
    for (let at = 0; at < 32; at++) expect(verifyEd25519ph(MESSAGE, SIGNATURE, flipped(KEY, at))).toBe(false);
    for (let at = 0; at < 3; at++) expect(verifyEd25519ph(flipped(MESSAGE, at), SIGNATURE, KEY)).toBe(false);
  });

  test('refuses the twin of a signature, which adds the order of the group', () => {
    const s = BigInt(`0x${Buffer.from(SIGNATURE.subarray(32)).reverse().toString('hex')}`) + ORDER;
    const twin = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse();
    expect(verifyEd25519ph(MESSAGE, Buffer.concat([SIGNATURE.subarray(0, 32), twin]), KEY)).toBe(false);
  });

  test('refuses a signature of the pure kind', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const key = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
    expect(verifyEd25519ph(MESSAGE, sign(null, MESSAGE, privateKey), key)).toBe(false);
  });

  test.each([
    ['a short signature', SIGNATURE.subarray(1), KEY],
    ['a short key', SIGNATURE, KEY.subarray(1)],
    ['a key beyond the prime', SIGNATURE, hex('ff'.repeat(32))],
  ])('refuses %s', (_, signature, key) => {
    expect(verifyEd25519ph(MESSAGE, signature, key)).toBe(false);
  });
});
