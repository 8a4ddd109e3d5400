import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { link, open, rm } from 'node:fs/promises';
import { McpBuildError } from '../errors/index.ts';
import { temporaryBeside, writeAtomic } from '../files/index.ts';
import { isCosignKey, openCosignKey } from './key/cosign.ts';
import { encryptedPem } from './key/pkcs8.ts';

/** `rsa` is only ever read: many a KMS holds nothing else. */
export type KeyKind = 'ecdsa-p256' | 'ed25519' | 'rsa';

export interface PublicKey {
  readonly kind: KeyKind;
  readonly key: KeyObject;
  /** base64(SHA-256(SubjectPublicKeyInfo)): the `hint` of a Sigstore bundle, as cosign writes it. */
  readonly id: string;
}

export interface PrivateKey extends PublicKey {
  readonly private: KeyObject;
}

const LIMIT = 16 * 1024;

/** A new key, in memory only. */
export function generateKey(kind: 'ecdsa-p256' | 'ed25519' = 'ecdsa-p256'): PrivateKey {
  const pair = kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...publicKey(pair.publicKey, 'new key'), private: pair.privateKey };
}

/**
 * Writes an encrypted private key (mode 0600) and beside it the public one.
 * @throws McpBuildError `key-exists`, for a key that is lost can't be made again; `passphrase-empty`
 */
export async function writeKey(key: PrivateKey, path: string, publicPath: string, passphrase: string): Promise<void> {
  if (passphrase === '') throw fault('passphrase-empty', path, 'needs a passphrase', 'Give a passphrase.', 2);
  const temporary = temporaryBeside(path);
  await writeAtomic(temporary, encryptedPem(key.private, passphrase), 0o600);
  try {
    // A link, not a rename: it never replaces what is there.
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw fault('key-exists', path, 'is there already', 'Name another file, or move the old key away.', 2);
  } finally {
    await rm(temporary, { force: true });
  }
  await writeAtomic(publicPath, publicPem(key));
}

/**
 * Reads a private key file: PKCS#8, encrypted or not, or cosign's own format.
 * @throws McpBuildError `key-exposed` where others may read the file, `key-unreadable`, and what `parsePrivateKey` throws
 */
export async function readPrivateKey(path: string, passphrase: string | undefined): Promise<PrivateKey> {
  const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    throw fault('key-unreadable', path, `can't be read: ${cause.code}`, 'Name the file of the private key.', 1);
  });
  try {
    const { mode, size } = await file.stat();
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      const fix = `Take other people's rights away: chmod 600 ${path}`;
      throw fault('key-exposed', path, `has mode ${(mode & 0o777).toString(8)}: others can read it`, fix, 1);
    }
    if (size > LIMIT) throw fault('key-invalid', path, `has ${size} bytes: no key is that long`, FIX_PRIVATE, 1);
    return parsePrivateKey(await file.readFile('utf8'), passphrase, path);
  } finally {
    await file.close();
  }
}

const FIX_PRIVATE = 'Name a PKCS#8 PEM file (EC P-256 or Ed25519), or a key of cosign.';

/**
 * @param name what the key is called in errors
 * @throws McpBuildError `passphrase-needed`, `passphrase-wrong` (the same for every passphrase that isn't the right one), `key-invalid`,
 * `key-unsupported`
 */
export function parsePrivateKey(text: string, passphrase: string | undefined, name: string): PrivateKey {
  const encrypted = isCosignKey(text) || text.includes('BEGIN ENCRYPTED PRIVATE KEY');
  if (encrypted && passphrase === undefined) {
    throw fault('passphrase-needed', name, 'is encrypted', 'Set MCP_BUILD_PASSPHRASE, or run it on a terminal.', 2);
  }
  const secret = unlock(text, passphrase, name, encrypted);
  const found = publicKey(createPublicKey(secret), name);
  if (found.kind === 'rsa') throw fault('key-unsupported', name, 'is an RSA key', FIX_PRIVATE, 1);
  return { ...found, private: secret };
}

function unlock(text: string, passphrase: string | undefined, name: string, encrypted: boolean): KeyObject {
  const wrong = () =>
    fault('passphrase-wrong', name, 'does not open with this passphrase', 'Try another passphrase.', 1);
  const invalid = () => fault('key-invalid', name, 'is not a private key', FIX_PRIVATE, 1);
  if (isCosignKey(text)) {
    const plain = openCosignKey(text, passphrase ?? '');
    if (plain === 'malformed') throw invalid();
    if (plain === 'wrong') throw wrong();
    try {
      return createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
    } catch {
      throw invalid();
    }
  }
  if (!text.includes('PRIVATE KEY')) throw invalid();
  try {
    // OpenSSL's own words could tell a wrong passphrase from a garbled key one time in 256; none of them are passed on.
    return createPrivateKey({ key: text, format: 'pem', ...(encrypted ? { passphrase: passphrase ?? '' } : {}) });
  } catch {
    throw encrypted ? wrong() : invalid();
  }
}

/**
 * Reads a PEM public key: EC P-256, Ed25519, or RSA of 2,048 bits and more.
 * @throws McpBuildError `key-invalid`, `key-unsupported`
 */
export function parsePublicKey(pem: string, name: string): PublicKey {
  const fix = 'Give the PEM of a public key, as `mcp-build init` or `cosign public-key` writes it.';
  // createPublicKey would quietly take a private key or a certificate.
  if (pem.length > LIMIT || !/^\s*-----BEGIN PUBLIC KEY-----/.test(pem)) {
    throw fault('key-invalid', name, 'is not a PEM public key', fix, 2);
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw fault('key-invalid', name, 'is not a PEM public key', fix, 2);
  }
  return publicKey(key, name);
}

export function publicPem(key: PublicKey): string {
  return key.key.export({ type: 'spki', format: 'pem' }).toString();
}

function publicKey(key: KeyObject, name: string): PublicKey {
  const id = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64');
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return { kind: 'ecdsa-p256', key, id };
  if (type === 'ed25519') return { kind: 'ed25519', key, id };
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2048) return { kind: 'rsa', key, id };
  const what = `${type ?? 'unknown'}${details?.namedCurve ? ` ${details.namedCurve}` : ''}`;
  throw fault('key-unsupported', name, `is of a kind that isn't taken (${what})`, FIX_PRIVATE, 2);
}

function fault(code: string, input: string, reason: string, fix: string, exit: 1 | 2): McpBuildError {
  return new McpBuildError({ code, message: `Key ${input} ${reason}`, input, fix, exit });
}
