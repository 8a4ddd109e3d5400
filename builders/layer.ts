import { createHash } from 'node:crypto';
import type { Digest } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import type { Entry } from './entry.ts';
import { gzip } from './gzip.ts';
import { Buffers, layTar } from './layer-tar.ts';

export { COMPRESSOR } from './gzip.ts';
export { MTIME } from './tar-encode.ts';

/** What a layer turned out to be. */
export interface Layer {
  /** SHA-256 of the tar: the layer's identity. */
  readonly diffId: Digest;
  /** SHA-256 of the gzip, which also depends on the compressor. */
  readonly digest: Digest;
  /** Of the gzip, in bytes. */
  readonly size: number;
  /** Of the tar, in bytes. */
  readonly tarSize: number;
}

export interface WrittenLayer {
  /** The gzip, once. Chunks are the reader's to keep. */
  readonly blob: AsyncGenerator<Uint8Array>;
  /** Settles when `blob` ends: fails with its error, or with `layer-abandoned` when it wasn't read to its end. Pending until it is read. */
  readonly layer: Promise<Layer>;
}

/**
 * Writes entries, in their order, as a layer: tar, gzip and both digests in one pass. The same entries give the same bytes, whatever the
 * chunks of their contents, the machine and its load. docs/layers.md says how and why.
 * `blob` throws McpBuildError `layer-duplicate`, `layer-conflict`, `entry-invalid`, `entry-size`, and whatever the entries throw.
 */
export function writeLayer(entries: AsyncIterable<Entry> | Iterable<Entry>): WrittenLayer {
  const { promise: layer, resolve, reject } = Promise.withResolvers<Layer>();
  // The same error comes out of the blob; who reads only that has handled it.
  layer.catch(() => undefined);
  return { blob: write(entries, resolve, reject), layer };
}

async function* write(
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  resolve: (layer: Layer) => void,
  reject: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  const tarHash = createHash('sha256');
  const blobHash = createHash('sha256');
  let tarSize = 0;
  let size = 0;
  const buffers = new Buffers();
  const look = (bytes: Uint8Array) => {
    tarHash.update(bytes);
    tarSize += bytes.length;
  };
  try {
    for await (const part of gzip(layTar(entries, buffers), look, (bytes) => buffers.give(bytes))) {
      blobHash.update(part);
      size += part.length;
      yield part;
    }
    resolve({ diffId: `sha256:${tarHash.digest('hex')}`, digest: `sha256:${blobHash.digest('hex')}`, size, tarSize });
  } catch (error) {
    reject(error);
    throw error;
  } finally {
    // Without effect when it was settled above.
    reject(abandoned());
  }
}

function abandoned(): McpBuildError {
  return new McpBuildError({
    code: 'layer-abandoned',
    message: 'A layer was not written to its end',
    fix: 'Run the command again.',
  });
}
