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
  const declared = request.headers['content-length'];
  if (declared !== undefined && Number(declared) > limit) return Promise.resolve('too-large');
  let waiting: PromiseWithResolvers<T | 'too-large' | 'gone'> | undefined = Promise.withResolvers();
  const { promise } = waiting;
  let first: Buffer | undefined;
  let more: Buffer[] | undefined;
  let length = 0;
  // The request stays, with what listens to it, until it is answered: neither its bytes nor what was made of them need to.
  const done = (settle: (promise: PromiseWithResolvers<T | 'too-large' | 'gone'>) => void) => {
    const settled = waiting;
    waiting = undefined;
    first = undefined;
    more = undefined;
    if (settled) settle(settled);
  };
  request.on('data', (chunk: Buffer) => {
    if (!waiting) return;
    length += chunk.length;
    if (length > limit) {
      request.pause();
      return done(({ resolve }) => resolve('too-large'));
    }
    // Nearly every body comes in one piece, which then needs no copy.
    if (!first) first = chunk;
    else if (more) more.push(chunk);
    else more = [first, chunk];
  });
  request.once('end', () => {
    const body = more ? join(more, length) : (first ?? EMPTY);
    done(({ resolve, reject }) => {
      try {
        resolve(use(body));
      } catch (error) {
        reject(error);
      }
    });
  });
  const gone = () => done(({ resolve }) => resolve('gone'));
  request.once('error', gone);
  request.once('close', gone);
  return promise;
}

function join(pieces: readonly Buffer[], length: number): Buffer {
  if (length > JOINED) return Buffer.concat(pieces, length);
  joined ??= Buffer.allocUnsafeSlow(JOINED);
  let at = 0;
  for (const piece of pieces) at += piece.copy(joined, at);
  return joined.subarray(0, length);
}
