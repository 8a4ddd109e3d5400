import { scryptSync } from 'node:crypto';
import { z } from 'zod';
import { openSecretbox } from './secretbox.ts';

/** `ENCRYPTED COSIGN PRIVATE KEY` is what cosign wrote before version 2. */
const ARMOUR =
  /-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END ENCRYPTED \1 PRIVATE KEY-----/;

const base64 = z.base64().transform((text) => Buffer.from(text, 'base64'));
const schema = z.object({
  kdf: z.object({
    name: z.literal('scrypt'),
    // The file chooses how much work reading it is: at most 256 MiB and some seconds of it.
    params: z.object({ N: z.int().min(2).max(262_144), r: z.int().min(1).max(8), p: z.int().min(1).max(4) }),
    salt: base64,
  }),
  cipher: z.object({ name: z.literal('nacl/secretbox'), nonce: base64 }),
  ciphertext: base64,
});

export function isCosignKey(text: string): boolean {
  return ARMOUR.test(text);
}

/** The PKCS#8 DER in a key file that cosign wrote; `malformed` says nothing of the passphrase, `wrong` nothing but that. */
export function openCosignKey(text: string, passphrase: string): Buffer | 'malformed' | 'wrong' {
  const armoured = ARMOUR.exec(text)?.[2] ?? '';
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(armoured, 'base64').toString('utf8'));
  } catch {
    return 'malformed';
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success || (parsed.data.kdf.params.N & (parsed.data.kdf.params.N - 1)) !== 0) return 'malformed';
  const { kdf, cipher, ciphertext } = parsed.data;
  const key = scryptSync(passphrase, kdf.salt, 32, { ...kdf.params, maxmem: 300 * 1024 * 1024 });
  const plain = openSecretbox(ciphertext, cipher.nonce, key);
  return plain === undefined ? 'wrong' : Buffer.from(plain);
}
