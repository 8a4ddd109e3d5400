import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseIntegrity, verified } from '../digest/index.ts';
import { isFault } from '../errors/index.ts';
import { makeFolders, temporaryBeside } from '../files/index.ts';
import type { Artifact, Open } from './lock.ts';

/**
 * Above this, in bytes, an artifact is hashed on disk and then streamed; below, it is read and hashed in one piece, which is what makes a
 * tree of two hundred small tarballs fast. On this thread, too: the pool's are busy compressing, and each call would queue behind that.
 */
const WHOLE = 8 * 1024 * 1024;

/** Ceiling in bytes for a file whose index doesn't say its size. */
export const ARTIFACT_LIMIT = 512 * 1024 * 1024;

export interface ArtifactCache {
  /** Bytes from the cache, else from `fetch`; either way checked, and throwing `integrity` before the last chunk if they differ. */
  readonly open: Open;
  /** Brings the files into the cache, at most `parallel` at a time. `open` of a file that is on its way waits for it. */
  fill(artifacts: Iterable<Artifact>, parallel?: number): Promise<void>;
}

/**
 * Content-addressed files: what was verified once is read again by its hash, from whatever index it came. A file that rotted is
 * removed and fetched again. Several processes may share the folder: a name appears only when the whole, verified file is there.
 */
export function artifactCache(
  folder: string,
  fetch: (artifact: Artifact) => AsyncIterable<Uint8Array>,
  limit: number = ARTIFACT_LIMIT,
): ArtifactCache {
  const underWay = new Map<string, Promise<void>>();

  function pathOf(artifact: Artifact): string {
    const { algorithm, hex } = parseIntegrity(artifact.integrity);
    return join(folder, algorithm, hex.slice(0, 2), hex.slice(2));
  }

  async function download(artifact: Artifact, path: string): Promise<void> {
    const temporary = temporaryBeside(path);
    await makeFolders(dirname(path));
    const file = await open(temporary, 'wx', 0o644);
    try {
      try {
        for await (const chunk of verified(fetch(artifact), expectedOf(artifact, limit))) await file.writeFile(chunk);
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  function ensure(artifact: Artifact): Promise<void> {
    const path = pathOf(artifact);
    const running = underWay.get(path);
    if (running) return running;
    const work = existsSync(path) ? Promise.resolve() : download(artifact, path);
    // Kept when it succeeds, so that a second look-up costs nothing; forgotten when it fails, so that it can be tried again.
    underWay.set(path, work);
    work.catch(() => underWay.delete(path));
    return work;
  }

  async function evict(path: string): Promise<void> {
    underWay.delete(path);
    await rm(path, { force: true });
  }

  async function* read(artifact: Artifact): AsyncGenerator<Uint8Array> {
    const path = pathOf(artifact);
    const expected = expectedOf(artifact, limit);
    const { size } = statSync(path);
    if (size <= WHOLE) {
      yield* verified([readFileSync(path)], expected);
      return;
    }
    for await (const _ of verified(createReadStream(path), expected));
    yield* verified(createReadStream(path, { highWaterMark: 1024 * 1024 }), expected);
  }

  async function* openArtifact(artifact: Artifact): AsyncGenerator<Uint8Array> {
    const path = pathOf(artifact);
    await ensure(artifact);
    const chunks = read(artifact);
    let first: IteratorResult<Uint8Array>;
    try {
      first = await chunks.next();
    } catch (error) {
      // Nothing was given out yet, so a rotten or vanished file can be replaced without anyone noticing.
      if (!isFault(error, 'integrity') && (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await evict(path);
      await ensure(artifact);
      yield* read(artifact);
      return;
    }
    if (!first.done) yield first.value;
    yield* chunks;
  }

  return {
    open: openArtifact,
    async fill(artifacts, parallel = 12) {
      const queue = [...artifacts];
      let failed = false;
      const worker = async () => {
        for (let next = queue.shift(); next && !failed; next = queue.shift()) {
          try {
            await ensure(next);
          } catch (error) {
            failed = true;
            throw error;
          }
        }
      };
      const settled = await Promise.allSettled(Array.from({ length: Math.min(parallel, queue.length) }, worker));
      const broken = settled.find((result) => result.status === 'rejected');
      if (broken) throw broken.reason;
    },
  };
}

function expectedOf(artifact: Artifact, limit: number) {
  return {
    name: `${artifact.name} ${artifact.version} (${artifact.file})`,
    integrity: artifact.integrity,
    ...(artifact.size === undefined ? { limit } : { size: artifact.size }),
  };
}
