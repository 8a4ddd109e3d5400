import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, randomBytes, scryptSync } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  generateKey,
  keySigner,
  parsePrivateKey,
  parsePublicKey,
  publicPem,
  readPrivateKey,
  writeKey,
} from '../../trust/index.ts';
import { poly1305, xsalsa20 } from '../../trust/key/secretbox.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trust-keys-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A key file as cosign writes it, with a cheap scrypt. */
function cosignKey(der: Buffer, passphrase: string, params: object = { N: 1024, r: 8, p: 1 }): string {
  const salt = randomBytes(32);
  const nonce = randomBytes(24);
  const key = scryptSync(passphrase, salt, 32, { N: 1024, r: 8, p: 1 });
  const stream = xsalsa20(key, nonce, 32 + der.length);
  const sealed = der.map((byte, at) => byte ^ stream[32 + at]!);
  const box = Buffer.concat([poly1305(sealed, stream.subarray(0, 32)), sealed]);
  const json = JSON.stringify({
    kdf: { name: 'scrypt', params, salt: salt.toString('base64') },
    cipher: { name: 'nacl/secretbox', nonce: nonce.toString('base64') },
    ciphertext: box.toString('base64'),
  });
  const body = Buffer.from(json).toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${body}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`;
}

describe.each(['ecdsa-p256', 'ed25519'] as const)('a %s key', (kind) => {
  test('is read back from an encrypted file that only its owner can read', async () => {
    const key = generateKey(kind);
    const path = join(folder, 'a.key');
    await writeKey(key, path, join(folder, 'a.pub'), 'correct horse');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, 'utf8')).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    const back = await readPrivateKey(path, 'correct horse');
    expect(back.kind).toBe(kind);
    expect(back.id).toBe(key.id);
    expect(back.private.equals(key.private)).toBe(true);
    expect(parsePublicKey(await readFile(join(folder, 'a.pub'), 'utf8'), 'a.pub').id).toBe(key.id);
    expect((await readdir(folder)).sort()).toEqual(['a.key', 'a.pub']);
  });

  test('in a file is one that OpenSSL opens', async () => {
    const key = generateKey(kind);
    const path = join(folder, 'a.key');
    await writeKey(key, path, join(folder, 'a.pub'), 'correct horse');
    const pem = execFileSync('openssl', ['pkey', '-in', path, '-passin', 'pass:correct horse', '-pubout']).toString();
    expect(pem).toBe(publicPem(key));
  });

  test('is read from the format of cosign', () => {
    const key = generateKey(kind);
    const text = cosignKey(key.private.export({ type: 'pkcs8', format: 'der' }), 'p w');
    expect(parsePrivateKey(text, 'p w', 'cosign.key').id).toBe(key.id);
    expect(() => parsePrivateKey(text, 'other', 'cosign.key')).toThrow(
      expect.objectContaining({ code: 'passphrase-wrong' }),
    );
  });
});

describe('reading a private key', () => {
  test.each([0o644, 0o640, 0o604, 0o660])('refuses mode %o', async (mode) => {
    const path = join(folder, 'a.key');
    await writeKey(generateKey(), path, join(folder, 'a.pub'), 'x');
    await chmod(path, mode);
    await expect(readPrivateKey(path, 'x')).rejects.toMatchObject({ code: 'key-exposed', input: path });
  });

  test('says the same of every wrong passphrase, and nothing of why', () => {
    // OpenSSL's own quick key derivation: one in 256 wrong passphrases gives a padding that looks right, and must look wrong too.
    const cheap = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' } as const;
    const text = generateKey().private.export(cheap).toString();
    expect(parsePrivateKey(text, 'right', 'k').kind).toBe('ecdsa-p256');
    const seen = new Set<string>();
    for (let at = 0; at < 1000; at++) {
      try {
        parsePrivateKey(text, `wrong ${at}`, 'k');
        seen.add('opened');
      } catch (error) {
        const { code, message, cause } = error as { code: string; message: string; cause?: unknown };
        seen.add(`${code}|${message}|${cause}`);
      }
    }
    expect([...seen]).toEqual([expect.stringMatching(/^passphrase-wrong\|.*\|undefined$/)]);
  });

  test('asks for a passphrase where one is needed, and only there', () => {
    const key = generateKey();
    const plain = key.private.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(parsePrivateKey(plain, undefined, 'plain').id).toBe(key.id);
    const sealed = cosignKey(key.private.export({ type: 'pkcs8', format: 'der' }), 'x');
    expect(() => parsePrivateKey(sealed, undefined, 'k')).toThrow(
      expect.objectContaining({ code: 'passphrase-needed', exit: 2 }),
    );
  });

  test('never overwrites a key, and leaves nothing half written', async () => {
    const path = join(folder, 'a.key');
    await writeFile(path, 'precious');
    await expect(writeKey(generateKey(), path, join(folder, 'a.pub'), 'x')).rejects.toMatchObject({
      code: 'key-exists',
    });
    expect(await readFile(path, 'utf8')).toBe('precious');
    expect(await readdir(folder)).toEqual(['a.key']);
    await expect(writeKey(generateKey(), join(folder, 'b'), join(folder, 'c'), '')).rejects.toMatchObject({
      code: 'passphrase-empty',
    });
  });

  test.each([
    ['nothing', ''],
    ['words', 'hello'],
    ['a public key', publicPem(generateKey())],
    ['a broken PEM', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
    [
      'a cosign key of garbage',
      '-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----',
    ],
    ['a cosign key that asks for a year of scrypt', cosignKey(Buffer.from('x'), 'x', { N: 2 ** 30, r: 8, p: 1 })],
    ['a cosign key with an impossible scrypt', cosignKey(Buffer.from('x'), 'x', { N: 1000, r: 8, p: 1 })],
    ['a cosign box that holds no key', cosignKey(Buffer.from('not a key'), 'x')],
  ])('refuses %s', (_, text) => {
    expect(() => parsePrivateKey(text, 'x', 'k')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  test('refuses kinds it could not sign with as cosign expects', () => {
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    expect(() => parsePrivateKey(p384.toString(), undefined, 'k')).toThrow(
      expect.objectContaining({ code: 'key-unsupported' }),
    );
  });
});

describe('reading a public key', () => {
  test('takes RSA of 2,048 bits, and no less', () => {
    const pem = (modulusLength: number) =>
      generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
    expect(parsePublicKey(pem(2048), 'k').kind).toBe('rsa');
    expect(() => parsePublicKey(pem(1024), 'k')).toThrow(expect.objectContaining({ code: 'key-unsupported' }));
  });

  test('takes no private key for one', () => {
    const pem = generateKey().private.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(() => parsePublicKey(pem, 'k')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
    expect(() => parsePublicKey('', 'k')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  test('names a key by the hash of its SubjectPublicKeyInfo', () => {
    // `cosign generate-key-pair` made it; the id is the hint cosign put in a bundle it signed with it.
    const pem =
      '-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGMvGRRhmY5OIBcEckLCIJUMhPYt0\n4RITj6MtBl2YOEA6eyWhiBRzCzq5Gxo7D8NGRNhqBjeacrDHKFdU4MM05g==\n-----END PUBLIC KEY-----\n';
    expect(parsePublicKey(pem, 'k').id).toBe('GFtqs0e1S8J38QhIQCHAYztdP2bFqGxNXgm7Fcc+dqw=');
  });
});

test('what a signer signs is verified by what it says its key is', async () => {
  const key = generateKey('ed25519');
  const { signature, material } = await keySigner(key).sign(Buffer.from('bytes'));
  expect(material).toEqual({ kind: 'key', hint: key.id });
  expect(signature).toHaveLength(64);
  expect(createPrivateKey(key.private.export({ type: 'pkcs8', format: 'pem' })).asymmetricKeyType).toBe('ed25519');
});
