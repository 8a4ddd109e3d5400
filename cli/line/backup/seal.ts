import { randomBytes } from 'node:crypto';
import { ReadableStream } from 'node:stream/web';
import type { Decrypter, Encrypter } from 'age-encryption';
import { McpBuildError } from '../../../errors/index.ts';
import { readBounded } from '../../../files/index.ts';
import { type Header, headerFor } from './header.ts';
import { decryptPayload, encryptPayload, NONCE } from './payload.ts';

/** A key file of age: comments and one identity a line. */
const KEY_FILE_LIMIT = 64 * 1024;

/** Waits until a passphrase, an identity or a recipient of a rarer kind needs it. */
const library = () => import('age-encryption');

/** @throws McpBuildError `recipient-invalid` */
async function encrypterFor(recipients: readonly string[]): Promise<Encrypter> {
  const { Encrypter } = await library();
  const encrypter = new Encrypter();
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch (cause) {
      throw recipientInvalid(recipient, cause);
    }
  }
  return encrypter;
}

/** @throws McpBuildError `identity-invalid` */
export async function decrypterFor(identities: readonly string[]): Promise<Decrypter> {
  const { Decrypter } = await library();
  const decrypter = new Decrypter();
  for (const identity of identities) {
    try {
      decrypter.addIdentity(identity);
    } catch (cause) {
      // Never the text itself: it may be a secret with a typo in it.
      throw identityInvalid('The identity', cause);
    }
  }
  return decrypter;
}

type Chunks = AsyncIterable<Uint8Array>;

/** One file of age: its header, then what is given, encrypted. */
export type Seal = (chunks: Chunks) => AsyncGenerator<Uint8Array>;

/** In bytes: hundreds of recipients, post-quantum ones too. */
const HEADER_LIMIT = 1024 * 1024;
const HEADER_END = Buffer.from('\n--- ');

/** @throws McpBuildError `recipient-invalid` */
export async function sealFor(recipients: readonly string[]): Promise<Seal> {
  for (const recipient of recipients) {
    try {
      if (!headerFor([recipient])) await encrypterFor([recipient]);
    } catch (cause) {
      throw recipientInvalid(recipient, cause);
    }
  }
  return async function* seal(chunks) {
    const { bytes, fileKey } = headerFor(recipients) ?? (await libraryHeader(recipients));
    const nonce = randomBytes(NONCE);
    yield Buffer.concat([bytes, nonce]);
    yield* encryptPayload(fileKey, nonce, chunks);
  };
}

async function libraryHeader(recipients: readonly string[]): Promise<Header> {
  const encrypter = await encrypterFor(recipients);
  let fileKey: Buffer | undefined;
  // A recipient that learns the file's key and leaves no stanza: the library writes the header, this program all that follows.
  encrypter.addRecipient({
    wrapFileKey: async (key) => {
      fileKey = Buffer.from(key);
      return [];
    },
  });
  // Node's type of a web stream and the browser's describe the same object and don't know of each other.
  const empty = (await encrypter.encrypt(ReadableStream.from([]) as never)) as unknown as Chunks;
  const whole = await joined(empty);
  if (!fileKey) throw new Error('no recipient was asked to wrap the key');
  return { bytes: whole.subarray(0, headerLength(whole)), fileKey };
}

/** Throws what is wrong with the file, while it is read as well: the last part of one that was cut off is missed at its end. */
export async function* opened(decrypter: Decrypter, chunks: Chunks): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    let head = Buffer.alloc(0);
    const more = async () => {
      const { done, value } = await iterator.next();
      if (done) throw new Error('the file ends within its header');
      head = Buffer.concat([head, value]);
    };
    while (headerLength(head) === 0) {
      if (head.length > HEADER_LIMIT) throw new Error('its header does not end');
      await more();
    }
    const length = headerLength(head);
    const fileKey = await decrypter.decryptHeader(head.subarray(0, length));
    while (head.length < length + NONCE) await more();
    const nonce = head.subarray(length, length + NONCE);
    const rest = head.subarray(length + NONCE);
    yield* decryptPayload(fileKey, nonce, following(rest, iterator));
  } finally {
    await iterator.return?.();
  }
}

async function* following(first: Uint8Array, iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
}

/** To the end of the line with the MAC, in bytes; 0 where it isn't all there. */
function headerLength(bytes: Buffer): number {
  const mac = bytes.indexOf(HEADER_END);
  return mac < 0 ? 0 : bytes.indexOf('\n', mac + 1) + 1;
}

export async function sealedBytes(seal: Seal, bytes: Uint8Array): Promise<Buffer> {
  return joined(seal(once(bytes)));
}

/** Throws as `opened` does. */
export async function openedBytes(decrypter: Decrypter, bytes: Uint8Array): Promise<Buffer> {
  return joined(opened(decrypter, once(bytes)));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function joined(chunks: Chunks): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of chunks) parts.push(part);
  return Buffer.concat(parts);
}

/** The identities of a key file as age-keygen writes it. @throws McpBuildError `identity-invalid` */
export async function readIdentities(file: string): Promise<readonly string[]> {
  const text = await readBounded(file, KEY_FILE_LIMIT).catch((cause) => {
    throw identityInvalid(file, cause);
  });
  const lines = text
    .toString('utf8')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.length === 0) throw identityInvalid(file);
  return lines;
}

/**
 * A fresh identity and its own file: encrypted with a passphrase as `age -p` does, so that age itself opens a backup without this program.
 * Archives are encrypted for the identity, so that later backups need no passphrase, and a change of it no new archives.
 */
export async function newIdentity(
  passphrase: string,
): Promise<{ readonly recipient: string; readonly sealed: Uint8Array }> {
  const { Encrypter, generateX25519Identity, identityToRecipient } = await library();
  const identity = await generateX25519Identity();
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  return { recipient: await identityToRecipient(identity), sealed: await encrypter.encrypt(`${identity}\n`) };
}

/** @throws McpBuildError `passphrase-wrong` */
export async function openIdentity(sealed: Uint8Array, passphrase: string, file: string): Promise<string> {
  const { Decrypter } = await library();
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  try {
    return (await decrypter.decrypt(sealed, 'text')).trim();
  } catch {
    throw new McpBuildError({
      code: 'passphrase-wrong',
      message: `The passphrase does not open ${file}`,
      input: file,
      fix: 'Try again; a changed byte in the file looks the same.',
    });
  }
}

function recipientInvalid(recipient: string, cause: unknown): McpBuildError {
  return cause instanceof McpBuildError
    ? cause
    : new McpBuildError({
        code: 'recipient-invalid',
        message: `"${recipient}" is not a recipient of age`,
        input: recipient,
        fix: 'Give the line that `age-keygen -y` prints, beginning with age1.',
        exit: 2,
        cause,
      });
}

function identityInvalid(file: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'identity-invalid',
    message: `${file} holds no identity of age`,
    input: file,
    fix: 'Give the file that age-keygen wrote, with a line that begins with AGE-SECRET-KEY-.',
    exit: 2,
    cause,
  });
}
