import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';

/**
 * What follows the header of an age file (age-encryption.org/v1, "Payload"): chunks of 64 KiB, each sealed with ChaCha20-Poly1305, numbered and the last one
 * marked, so that none can be changed, moved, left out or cut off. The library's own is JavaScript, and takes longer than compressing does.
 */

const CHUNK = 64 * 1024;
const TAG = 16;
const SEALED = CHUNK + TAG;
export const NONCE = 16;
const CIPHER = 'chacha20-poly1305';
/** In bytes of plaintext, of one write: some chunks together. */
const GATHERED = 16 * CHUNK;

function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/** A counter of eleven bytes, big-endian, and a byte that says whether this is the last. */
function counter(): (last: boolean) => Buffer {
  const bytes = Buffer.alloc(12);
  let next = 0;
  return (last) => {
    // 2^48 chunks are more bytes than any disk has.
    bytes.writeUIntBE(next++, 5, 6);
    bytes[11] = last ? 1 : 0;
    return bytes;
  };
}

/** Yields memory that is nobody else's. */
export async function* encryptPayload(
  fileKey: Uint8Array,
  nonce: Uint8Array,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const key = payloadKey(fileKey, nonce);
  const count = counter();
  const seal = (plain: Uint8Array, last: boolean): readonly Buffer[] => {
    const cipher = createCipheriv(CIPHER, key, count(last), { authTagLength: TAG });
    return [cipher.update(plain), cipher.final(), cipher.getAuthTag()];
  };
  const gathered = Buffer.allocUnsafeSlow(GATHERED);
  let used = 0;
  for await (const chunk of chunks) {
    for (let done = 0; done < chunk.length; ) {
      if (used === GATHERED) {
        // Only now is it known that none of them is the last.
        yield Buffer.concat(pieces(gathered).flatMap((piece) => seal(piece, false)));
        used = 0;
      }
      const part = chunk.subarray(done, done + GATHERED - used);
      gathered.set(part, used);
      used += part.length;
      done += part.length;
    }
  }
  const rest = pieces(gathered.subarray(0, used));
  yield Buffer.concat(rest.flatMap((piece, at) => seal(piece, at === rest.length - 1)));
}

/** @throws Error where a chunk isn't what was sealed, or isn't there */
export async function* decryptPayload(
  fileKey: Uint8Array,
  nonce: Uint8Array,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const key = payloadKey(fileKey, nonce);
  const count = counter();
  let first = true;
  const open = (sealed: Uint8Array, last: boolean): Buffer => {
    if (sealed.length < TAG) throw new Error('the file ends within a chunk');
    if (last && !first && sealed.length === TAG) throw new Error('the last chunk is empty');
    const body = sealed.subarray(0, sealed.length - TAG);
    const decipher = createDecipheriv(CIPHER, key, count(last), { authTagLength: TAG });
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
    const plain = decipher.update(body);
    try {
      decipher.final();
    } catch {
      throw new Error('a chunk is not what was encrypted');
    }
    first = false;
    return plain;
  };
  const pending = Buffer.allocUnsafeSlow(SEALED);
  let used = 0;
  for await (const chunk of chunks) {
    for (let done = 0; done < chunk.length; ) {
      if (used === SEALED) {
        yield open(pending, false);
        used = 0;
      }
      const part = chunk.subarray(done, done + SEALED - used);
      pending.set(part, used);
      used += part.length;
      done += part.length;
    }
  }
  yield open(pending.subarray(0, used), true);
}

/** At least one, which may be empty. */
function pieces(bytes: Buffer): readonly Buffer[] {
  return Array.from({ length: Math.max(1, Math.ceil(bytes.length / CHUNK)) }, (_, at) =>
    bytes.subarray(at * CHUNK, (at + 1) * CHUNK),
  );
}
