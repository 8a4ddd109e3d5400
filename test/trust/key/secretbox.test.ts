import { describe, expect, test } from 'vitest';
import { openSecretbox, poly1305 } from '../../../trust/key/secretbox.ts';

const hex = (text: string) => Buffer.from(text, 'hex');

// From the NaCl distribution's own tests (secretbox.c).
const KEY = hex('1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389');
const NONCE = hex('69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37');
const PLAIN = hex(
  'be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705',
);
const BOX = hex(
  'f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5',
);

describe('secretbox', () => {
  test('opens the box of the NaCl tests', () => {
    expect(Buffer.from(openSecretbox(BOX, NONCE, KEY) ?? [])).toEqual(PLAIN);
  });

  test('refuses every changed byte, of box, nonce and key', () => {
    const flipped = (bytes: Buffer, at: number) => Buffer.from(bytes.map((byte, i) => (i === at ? byte ^ 0x80 : byte)));
    for (let at = 0; at < BOX.length; at++) expect(openSecretbox(flipped(BOX, at), NONCE, KEY)).toBeUndefined();
    for (let at = 0; at < 24; at++) expect(openSecretbox(BOX, flipped(NONCE, at), KEY)).toBeUndefined();
    for (let at = 0; at < 32; at++) expect(openSecretbox(BOX, NONCE, flipped(KEY, at))).toBeUndefined();
  });

  test.each([
    ['a box without a whole tag', BOX.subarray(0, 15), NONCE, KEY],
    ['a short nonce', BOX, NONCE.subarray(1), KEY],
    ['a short key', BOX, NONCE, KEY.subarray(1)],
  ])('refuses %s', (_, box, nonce, key) => {
    expect(openSecretbox(box, nonce, key)).toBeUndefined();
  });
});

describe('poly1305', () => {
  test('is that of RFC 8439, 2.5.2', () => {
    const key = hex('85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b');
    const tag = poly1305(Buffer.from('Cryptographic Forum Research Group'), key);
    expect(Buffer.from(tag).toString('hex')).toBe('a8061dc1305136c6c22b8baf0c0127a9');
  });

  // RFC 8439, appendix A.3, vectors 7 to 9: sums at and beyond the prime.
  test.each([
    ['02', 'ff'.repeat(16), '03000000000000000000000000000000'],
    ['01', `${'ff'.repeat(16)}f0${'ff'.repeat(15)}11${'00'.repeat(15)}`, '05000000000000000000000000000000'],
    ['01', `${'ff'.repeat(16)}fb${'fe'.repeat(15)}${'01'.repeat(16)}`, '00000000000000000000000000000000'],
  ])('reduces r=%s of %s', (r, message, tag) => {
    const key = hex(r.padEnd(64, '0'));
    expect(Buffer.from(poly1305(hex(message), key)).toString('hex')).toBe(tag);
  });
});
