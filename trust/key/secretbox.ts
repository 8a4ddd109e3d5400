import { timingSafeEqual } from 'node:crypto';

/**
 * Opens a NaCl secretbox (XSalsa20-Poly1305), which is how cosign encrypts its private keys and which node:crypto doesn't have.
 * Key and nonce are 32 and 24 bytes; undefined when the box isn't authentic under the key.
 * Sources: "Cryptography in NaCl" (Bernstein) for the construction, RFC 8439 section 2.5 for Poly1305.
 */
export function openSecretbox(box: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  if (key.length !== 32 || nonce.length !== 24 || box.length < 16) return undefined;
  const sealed = box.subarray(16);
  // The first 32 bytes of the key stream are the one-time Poly1305 key; the message starts after them.
  const stream = xsalsa20(key, nonce, 32 + sealed.length);
  if (!timingSafeEqual(poly1305(sealed, stream.subarray(0, 32)), box.subarray(0, 16))) return undefined;
  return sealed.map((byte, at) => byte ^ stream[32 + at]!);
}

/** `length` bytes of XSalsa20's key stream. */
export function xsalsa20(key: Uint8Array, nonce: Uint8Array, length: number): Uint8Array {
  return salsa20(hsalsa20(key, nonce.subarray(0, 16)), nonce.subarray(16), length);
}

/** The 16 byte authenticator of a message under a one-time key of 32 bytes (RFC 8439, 2.5). */
export function poly1305(message: Uint8Array, key: Uint8Array): Uint8Array {
  const prime = (1n << 130n) - 5n;
  const r = littleEndian(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  const s = littleEndian(key.subarray(16, 32));
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + littleEndian(block) + (1n << BigInt(8 * block.length))) * r) % prime;
  }
  let tag = sum + s;
  const out = new Uint8Array(16);
  for (let at = 0; at < 16; at++, tag >>= 8n) out[at] = Number(tag & 0xffn);
  return out;
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** "expand 32-byte k", as four little-endian words. */
const SIGMA = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const;

function words(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, at) => view.getUint32(at * 4, true));
}

function bytesOf(input: ArrayLike<number>): Uint8Array {
  const out = new Uint8Array(input.length * 4);
  const view = new DataView(out.buffer);
  for (let at = 0; at < input.length; at++) view.setUint32(at * 4, input[at]!, true);
  return out;
}

function block(key: Uint32Array, input: Uint32Array): Uint32Array {
  return Uint32Array.of(SIGMA[0], ...key.subarray(0, 4), SIGMA[1], ...input, SIGMA[2], ...key.subarray(4), SIGMA[3]);
}

const COLUMNS = [
  [0, 4, 8, 12],
  [5, 9, 13, 1],
  [10, 14, 2, 6],
  [15, 3, 7, 11],
] as const;
const ROWS = [
  [0, 1, 2, 3],
  [5, 6, 7, 4],
  [10, 11, 8, 9],
  [15, 12, 13, 14],
] as const;

function rounds(state: Uint32Array): Uint32Array {
  const x = state.slice();
  const turn = (to: number, a: number, b: number, by: number): void => {
    const sum = (x[a]! + x[b]!) >>> 0;
    x[to]! ^= (sum << by) | (sum >>> (32 - by));
  };
  for (let round = 0; round < 10; round++) {
    for (const quarters of [COLUMNS, ROWS]) {
      for (const [a, b, c, d] of quarters) {
        turn(b, a, d, 7);
        turn(c, b, a, 9);
        turn(d, c, b, 13);
        turn(a, d, c, 18);
      }
    }
  }
  return x;
}

function hsalsa20(key: Uint8Array, input: Uint8Array): Uint8Array {
  const x = rounds(block(words(key), words(input)));
  return bytesOf([0, 5, 10, 15, 6, 7, 8, 9].map((at) => x[at]!));
}

function salsa20(key: Uint8Array, nonce: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(Math.ceil(length / 64) * 64);
  const [low, high] = words(nonce);
  for (let counter = 0; counter * 64 < length; counter++) {
    const start = block(words(key), Uint32Array.of(low!, high!, counter, 0));
    out.set(bytesOf(rounds(start).map((word, at) => word + start[at]!)), counter * 64);
  }
  return out.subarray(0, length);
}
