import { createCipheriv, type KeyObject, randomBytes, scryptSync } from 'node:crypto';

/**
 * scrypt's cost. 16 MiB of memory: OpenSSL, and so Node and the `openssl` tool, refuses to decrypt with 32 MiB or more;
 * p makes up for it (N=2^14, r=8, p=5 is on OWASP's list of equals).
 */
const COST = { N: 16384, r: 8, p: 5 } as const;

/** DER object identifiers: PBES2 (RFC 8018), scrypt (RFC 7914), AES-256-CBC (NIST). */
const PBES2 = Buffer.from('06092a864886f70d01050d', 'hex');
const SCRYPT = Buffer.from('06092b06010401da47040b', 'hex');
const AES256_CBC = Buffer.from('060960864801650304012a', 'hex');

/**
 * A private key as `-----BEGIN ENCRYPTED PRIVATE KEY-----` (PKCS#8, PBES2 with scrypt and AES-256-CBC). `KeyObject.export` would derive
 * the key with 2,048 rounds of PBKDF2, which a stolen file doesn't survive. `openssl pkey` reads what this writes.
 */
export function encryptedPem(key: KeyObject, passphrase: string): string {
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', scryptSync(passphrase, salt, 32, COST), iv);
  const plain = key.export({ type: 'pkcs8', format: 'der' });
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  const scrypt = sequence(octets(salt), integer(COST.N), integer(COST.r), integer(COST.p), integer(32));
  const parameters = sequence(sequence(SCRYPT, scrypt), sequence(AES256_CBC, octets(iv)));
  return pem('ENCRYPTED PRIVATE KEY', sequence(sequence(PBES2, parameters), octets(sealed)));
}

function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function octets(bytes: Uint8Array): Buffer {
  return tagged(0x04, bytes);
}

function integer(value: number): Buffer {
  const hex = value.toString(16);
  // A leading zero byte where the top bit is set: DER integers are signed.
  return tagged(0x02, Buffer.from(hex.length % 2 ? `0${hex}` : /^[89a-f]/.test(hex) ? `00${hex}` : hex, 'hex'));
}

function tagged(tag: number, content: Uint8Array): Buffer {
  const length = content.length;
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...header]), content]);
}
