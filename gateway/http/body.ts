import type { IncomingMessage } from 'node:http';

/** Bodies in several pieces are joined here where they fit, in bytes: new memory costs more than what is copied into it. */
const JOINED = 1024 * 1024;
let joined: Buffer | undefined;
const EMPTY = Buffer.alloc(0);

/**
 * What `use` makes of a request's whole body, of at most `limit` bytes. Whoever sends too much is no longer listened to.
 * @param use may not keep the bytes: their memory is used again. What it throws is thrown
 */
export function readBody<T>(
  request: IncomingMessage,
  limit: number,
  use: (body: Buffer) => T,
): Promise<T | 'too-large' | 'gone'> {
  return new Promise((resolve, reject) => {
    const declared = request.headers['content-length'];
    if (declared !== undefined && Number(declared) > limit) return resolve('too-large');
    let first: Buffer | undefined;
    let more: Buffer[] | undefined;
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > limit) {
        request.pause();
        return resolve('too-large');
      }
      // Nearly every body comes in one piece, which then needs no copy.
      if (!first) first = chunk;
      else if (more) more.push(chunk);
      else more = [first, chunk];
    });
    request.once('end', () => {
      try {
        resolve(use(more ? join(more, length) : (first ?? EMPTY)));
      } catch (error) {
        reject(error);
      }
    });
    request.once('error', () => resolve('gone'));
    request.once('close', () => resolve('gone'));
  });
}

function join(pieces: readonly Buffer[], length: number): Buffer {
  if (length > JOINED) return Buffer.concat(pieces, length);
  joined ??= Buffer.allocUnsafeSlow(JOINED);
  let at = 0;
  for (const piece of pieces) at += piece.copy(joined, at);
  return joined.subarray(0, length);
}
