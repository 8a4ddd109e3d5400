import {
  createCipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
} from 'node:crypto';

/**
 * The header of an age file (age-encryption.org/v1, "Header") for X25519 recipients, by Node's own primitives. The library's takes longer to load,
 * with all its post-quantum curves, than a backup without changes takes for its work.
 */

const VERSION = 'age-encryption.org/v1';
/** Of a public key, in bytes. */
const POINT = 32;
const ALPHABET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
const CHECKSUM = 6;
/** Of DER, before the key itself (RFC 8410). */
const PUBLIC_KEY = Buffer.from('302a300506032b656e032100', 'hex');

export interface Header {
  /** To the end of the line with the MAC. */
  readonly bytes: Buffer;
  readonly fileKey: Buffer;
}

/** Undefined where a recipient is of another kind, or none at all: the library knows more of them, and says what is wrong. */
export function headerFor(recipients: readonly string[]): Header | undefined {
  const points = recipients.map(x25519Point);
  if (!points.every((point) => point !== undefined)) return undefined;
  const fileKey = randomBytes(16);
  const stanzas = points.map((point) => stanza(point, fileKey)).join('');
  const signed = `${VERSION}\n${stanzas}---`;
  const mac = createHmac('sha256', derived(fileKey, Buffer.alloc(0), 'header'))
    .update(signed)
    .digest();
  return { bytes: Buffer.from(`${signed} ${base64(mac)}\n`), fileKey };
}

function stanza(recipient: Buffer, fileKey: Buffer): string {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const share = publicKey.export({ format: 'der', type: 'spki' }).subarray(-POINT);
  const theirs = createPublicKey({ key: Buffer.concat([PUBLIC_KEY, recipient]), format: 'der', type: 'spki' });
  // Throws for a point of low order, which would give a secret that everybody knows.
  const secret = diffieHellman({ privateKey, publicKey: theirs });
  const wrap = derived(secret, Buffer.concat([share, recipient]), `${VERSION}/X25519`);
  // Each such key encrypts once only, so the nonce may be nothing.
  const cipher = createCipheriv('chacha20-poly1305', wrap, Buffer.alloc(12), { authTagLength: 16 });
  const wrapped = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
  return `-> X25519 ${base64(share)}\n${base64(wrapped)}\n`;
}

function derived(key: Buffer, salt: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, purpose, 32));
}

/** Standard, without padding. */
function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

/** Of `age1…`, Bech32 (BIP 173) with its checksum. */
function x25519Point(recipient: string): Buffer | undefined {
  const data = /^age1([a-z0-9]{58})$/.exec(recipient)?.[1];
  if (data === undefined) return undefined;
  const values = [...data].map((letter) => ALPHABET.indexOf(letter));
  if (values.includes(-1) || checksum([...expanded('age'), ...values]) !== 1) return undefined;
  let bits = 0n;
  for (const value of values.slice(0, -CHECKSUM)) bits = (bits << 5n) | BigInt(value);
  // 52 letters are 260 bits: the last four only fill up.
  if ((bits & 15n) !== 0n) return undefined;
  return Buffer.from((bits >> 4n).toString(16).padStart(2 * POINT, '0'), 'hex');
}

function expanded(prefix: string): readonly number[] {
  const codes = [...prefix].map((letter) => letter.charCodeAt(0));
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)];
}

function checksum(values: readonly number[]): number {
  return values.reduce((sum, value) => {
    const top = sum >> 25;
    const next = ((sum & 0x1ffffff) << 5) ^ value;
    return GENERATOR.reduce((mixed, part, at) => ((top >> at) & 1 ? mixed ^ part : mixed), next);
  }, 1);
}
