import { McpBuildError } from '../errors/index.ts';

export interface Piece {
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Uint8Array;
}

const HEADER = 8;

/**
 * Docker's framing of a container's two output streams: one byte stream number, three of nothing, four of length, big-endian. Pieces are given
 * out as they come and not assembled, so that a frame of any length costs no memory; who is slow to take the next slows the container down.
 * @throws McpBuildError `docker-failed` for anything that isn't framed so
 */
export async function* pieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  const header = Buffer.alloc(HEADER);
  let filled = 0;
  let left = 0;
  let stream: Piece['stream'] = 'stdout';
  for await (const chunk of chunks) {
    let at = 0;
    while (at < chunk.length) {
      if (left === 0) {
        const take = Math.min(HEADER - filled, chunk.length - at);
        header.set(chunk.subarray(at, at + take), filled);
        filled += take;
        at += take;
        if (filled < HEADER) continue;
        stream = streamOf(header);
        left = header.readUInt32BE(4);
        filled = 0;
        continue;
      }
      const take = Math.min(left, chunk.length - at);
      yield { stream, bytes: chunk.subarray(at, at + take) };
      left -= take;
      at += take;
    }
  }
  // A frame that is cut off is a container that was killed; what came of it has been passed on.
}

function streamOf(header: Buffer): Piece['stream'] {
  if (header[1] === 0 && header[2] === 0 && header[3] === 0) {
    if (header[0] === 1 || header[0] === 0) return 'stdout';
    if (header[0] === 2) return 'stderr';
  }
  throw new McpBuildError({
    code: 'docker-failed',
    message: `Docker's stream holds a frame that begins with ${header.toString('hex')}`,
    fix: 'Use Docker 20.10 or newer.',
  });
}
