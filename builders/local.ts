import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Integrity, integrityFromHex, parseIntegrity } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import type { Artifact } from './lock.ts';

/** The index of a file that no index has: a colon stands in no name of a real one. */
export const LOCAL_INDEX = 'file:';

/** In bytes; what is larger is no package of a server. */
const LIMIT = 512 * 1024 * 1024;

/** A package's file on this machine. Its path is for this process only: the lock has its name and hash. */
export interface LocalFile {
  readonly path: string;
  readonly file: string;
  readonly integrity: Integrity;
  /** In bytes. */
  readonly size: number;
}

/** @param algorithm as the ecosystem's locks have it @throws McpBuildError `file-unreadable` */
export async function readLocalFile(path: string, algorithm: 'sha256' | 'sha512'): Promise<LocalFile> {
  const { hex, size } = await hashOf(path, algorithm).catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(path, cause.code ?? cause.message, cause);
  });
  return { path, file: basename(path), integrity: integrityFromHex(algorithm, hex), size };
}

/**
 * The bytes of a locked local file, from wherever a file with its hash is: a path that was given, or its name in a folder that was.
 * @throws McpBuildError `artifact-unavailable`
 */
export async function* fetchLocal(artifact: Artifact, places: readonly string[]): AsyncGenerator<Uint8Array> {
  const { algorithm, hex } = parseIntegrity(artifact.integrity);
  let other: string | undefined;
  for (const place of places) {
    // The name is a lock's, which someone may have edited: never more than the last segment of it.
    for (const path of [place, join(place, basename(artifact.file))]) {
      const found = await hashOf(path, algorithm).catch(() => undefined);
      if (found?.hex === hex) {
        yield* createReadStream(path, { highWaterMark: 1024 * 1024 });
        return;
      }
      if (found) other = path;
    }
  }
  throw new McpBuildError({
    code: 'artifact-unavailable',
    message: `${artifact.file} was locked from a file, ${other ? `and ${other} has other bytes` : 'which is not here'}`,
    input: artifact.file,
    fix: `Put ${artifact.file} into the folder of its lock, or give its path with --file.`,
    exit: 1,
  });
}

async function hashOf(path: string, algorithm: string): Promise<{ hex: string; size: number }> {
  const found = await stat(path);
  if (!found.isFile()) throw Object.assign(new Error('not a file'), { code: 'not a file' });
  if (found.size > LIMIT) throw Object.assign(new Error('too large'), { code: `more than ${LIMIT} bytes` });
  const hash = createHash(algorithm);
  let size = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { hex: hash.digest('hex'), size };
}

function unreadable(input: string, why: string, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'file-unreadable',
    message: `${input} can't be read: ${why}`,
    input,
    fix: 'Check the path.',
    exit: 2,
    cause,
  });
}
