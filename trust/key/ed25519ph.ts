import { createHash } from 'node:crypto';

/**
 * Verifies Ed25519ph (RFC 8032, 5.1), the prehashed kind that cosign signs bundles with where its key is an Ed25519 one; node:crypto has the
 * pure kind only. Public inputs alone go through here, so its time tells nobody anything.
 * @param key 32 bytes, as in the SubjectPublicKeyInfo
 */
export function verifyEd25519ph(message: Uint8Array, signature: Uint8Array, key: Uint8Array): boolean {
  if (signature.length !== 64 || key.length !== 32) return false;
  const s = littleEndian(signature.subarray(32));
  // Otherwise every signature would have twins (RFC 8032, 5.1.7).
  if (s >= ORDER) return false;
  const a = decode(key);
  if (!a) return false;
  const k = hashToScalar(signature.subarray(0, 32), key, createHash('sha512').update(message).digest());
  const [x, y, z, t] = a;
  const found = combine(s, BASE, k, [mod(-x), y, z, mod(-t)]);
  return Buffer.from(encode(found)).equals(signature.subarray(0, 32));
}

/** Extended homogeneous coordinates: x = X/Z, y = Y/Z, xy = T/Z. */
type Point = readonly [bigint, bigint, bigint, bigint];

const P = (1n << 255n) - 19n;
const ORDER = (1n << 252n) + 27742317777372353535851937790883648493n;
const D = mod(-121665n * power(121666n, P - 2n));
const D2 = mod(2n * D);
const SQRT_M1 = power(2n, (P - 1n) / 4n);
const IDENTITY: Point = [0n, 1n, 1n, 0n];
const BASE = decode(Buffer.from(`58${'66'.repeat(31)}`, 'hex'))!;
/** dom2(1, ""): prehashed, without a context. */
const DOMAIN = Buffer.concat([Buffer.from('SigEd25519 no Ed25519 collisions'), Buffer.of(1, 0)]);

function hashToScalar(...parts: readonly Uint8Array[]): bigint {
  const hash = createHash('sha512').update(DOMAIN);
  for (const part of parts) hash.update(part);
  return littleEndian(hash.digest()) % ORDER;
}

function mod(value: bigint): bigint {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base;
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

/** RFC 8032, 5.1.3; undefined for bytes that are no point. */
function decode(bytes: Uint8Array): Point | undefined {
  const value = littleEndian(bytes);
  const y = value & ((1n << 255n) - 1n);
  if (y >= P) return undefined;
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  let x = mod(u * power(v, 3n) * power(mod(u * power(v, 7n)), (P - 5n) / 8n));
  const check = mod(v * x * x);
  if (check === mod(-u)) x = mod(x * SQRT_M1);
  else if (check !== u) return undefined;
  const odd = value >> 255n;
  if (x === 0n && odd === 1n) return undefined;
  if ((x & 1n) !== odd) x = mod(-x);
  return [x, y, 1n, mod(x * y)];
}

function encode([x, y, z]: Point): Uint8Array {
  const inverse = power(z, P - 2n);
  const value = mod(y * inverse) | ((mod(x * inverse) & 1n) << 255n);
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse();
}

/** RFC 8032, 5.1.4. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = ((y1 - x1) * (y2 - x2)) % P;
  const b = ((y1 + x1) * (y2 + x2)) % P;
  const c = (t1 * D2 * t2) % P;
  const d = (2n * z1 * z2) % P;
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

/** [a]p + [b]q, in one pass over the bits of both. */
function combine(a: bigint, p: Point, b: bigint, q: Point): Point {
  const both = add(p, q);
  let result = IDENTITY;
  for (let bit = 252n; bit >= 0n; bit--) {
    result = add(result, result);
    const which = ((a >> bit) & 1n) | (((b >> bit) & 1n) << 1n);
    if (which === 1n) result = add(result, p);
    else if (which === 2n) result = add(result, q);
    else if (which === 3n) result = add(result, both);
  }
  return result;
}
