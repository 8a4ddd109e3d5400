import type { IncomingMessage } from 'node:http';

export type Body = Buffer | 'too-large' | 'gone';

/** A request's whole body, of at most `limit` bytes. Whoever sends too much is no longer listened to. */
export function readBody(request: IncomingMessage, limit: number): Promise<Body> {
  return new Promise((resolve) => {
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
    request.once('end', () => resolve(more ? Buffer.concat(more) : (first ?? EMPTY)));
    request.once('error', () => resolve('gone'));
    request.once('close', () => resolve('gone'));
  });
}

const EMPTY = Buffer.alloc(0);
