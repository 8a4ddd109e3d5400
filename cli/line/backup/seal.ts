import { ReadableStream } from 'node:stream/web';
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { McpBuildError } from '../../../errors/index.ts';
import { readBounded } from '../../../files/index.ts';

/** A key file of age: comments and one identity a line. */
const KEY_FILE_LIMIT = 64 * 1024;

/** @throws McpBuildError `recipient-invalid` */
export function encrypterFor(recipients: readonly string[]): Encrypter {
  const encrypter = new Encrypter();
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch (cause) {
      throw new McpBuildError({
        code: 'recipient-invalid',
        message: `"${recipient}" is not a recipient of age`,
        input: recipient,
        fix: 'Give the line that `age-keygen -y` prints, beginning with age1.',
        exit: 2,
        cause,
      });
    }
  }
  return encrypter;
}

/** @throws McpBuildError `identity-invalid` */
export function decrypterFor(identities: readonly string[]): Decrypter {
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

export async function sealed(encrypter: Encrypter, chunks: Chunks): Promise<Chunks> {
  // Node's type of a web stream and the browser's describe the same object and don't know of each other.
  return encrypter.encrypt(ReadableStream.from(chunks) as never) as Promise<unknown> as Promise<Chunks>;
}

/** Throws whatever the decrypter throws, while it is read as well: the last part of a file that was cut off is missed at its end. */
export async function opened(decrypter: Decrypter, chunks: Chunks): Promise<Chunks> {
  return decrypter.decrypt(ReadableStream.from(chunks) as never) as Promise<unknown> as Promise<Chunks>;
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
  const identity = await generateX25519Identity();
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  return { recipient: await identityToRecipient(identity), sealed: await encrypter.encrypt(`${identity}\n`) };
}

/** @throws McpBuildError `passphrase-wrong` */
export async function openIdentity(sealed: Uint8Array, passphrase: string, file: string): Promise<string> {
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

/** @throws McpBuildError `identity-invalid` */
export async function recipientsOf(identities: readonly string[]): Promise<readonly string[]> {
  return Promise.all(
    identities.map((identity) =>
      identityToRecipient(identity).catch((cause) => {
        throw identityInvalid('The identity', cause);
      }),
    ),
  );
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
