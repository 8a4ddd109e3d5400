import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolders, temporaryBeside } from '../../files/index.ts';
import type { Packument } from './packument.ts';

export interface Stored {
  /** 2 since signatures and attestations are kept, 3 since maintainers are: an older one would read as unsigned, or as nobody's. */
  readonly format: 3;
  readonly url: string;
  readonly etag: string | undefined;
  /** Milliseconds since 1970 until which the registry said it may be used unasked. */
  readonly fresh: number;
  /** Milliseconds since 1970 when it was last asked for. */
  readonly asked: number;
  readonly packument: Packument;
}

export type Validity = Pick<Stored, 'fresh' | 'asked'>;

/** What was stored of a package, with the size of its text. */
export async function readStored(
  path: string,
  url: string,
  name: string,
): Promise<{ value: Stored; size: number } | undefined> {
  try {
    const text = await readFile(path, 'utf8');
    const value = JSON.parse(text) as Stored;
    if (value.format !== 3 || value.url !== url || value.packument.name !== name) return undefined;
    return { value, size: text.length };
  } catch {
    // Absent or torn: a cache is never an error.
    return undefined;
  }
}

/** Not worth an fsync: what a power cut leaves is not JSON and counts as absent. Gives the size written. */
export async function writeStored(path: string, stored: Stored): Promise<number> {
  const text = JSON.stringify(stored);
  const temporary = temporaryBeside(path);
  try {
    await makeFolders(dirname(path));
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, path);
  } catch {
    // A full or read-only disk only makes the next resolution slower.
    await rm(temporary, { force: true }).catch(() => undefined);
  }
  return text.length;
}
