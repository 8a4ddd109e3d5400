import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** A log is a folder: segments in the order of their numbers, and how far they go. */
export const HEAD = 'head';

export function segmentName(number: number): string {
  return `audit-${String(number).padStart(8, '0')}.jsonl`;
}

export interface Segment {
  readonly number: number;
  readonly path: string;
}

/** Oldest first; none where there is no folder. */
export async function segmentsOf(folder: string): Promise<readonly Segment[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .flatMap((name) => {
      const number = /^audit-(\d{8})\.jsonl$/.exec(name)?.[1];
      return number === undefined ? [] : [{ number: Number(number), path: join(folder, name) }];
    })
    .sort((a, b) => a.number - b.number);
}

/** Always as long as it was, so that it is written over in place: `n`, a space, the hash. */
export function headText(n: number, hash: string): string {
  return `${String(n).padStart(15, '0')} ${hash}\n`;
}

export function parseHead(text: string): { readonly n: number; readonly hash: string } | undefined {
  const match = /^(\d{15}) ([0-9a-f]{64})\n$/.exec(text);
  return match ? { n: Number(match[1]), hash: match[2] ?? '' } : undefined;
}
