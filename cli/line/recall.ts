import type { z } from 'zod';
import { readBounded } from '../../files/index.ts';

/** What an earlier run kept at that path; undefined where it is missing, larger than `most` bytes or not what it should be, and is to be had anew. */
export async function recalled<T>(path: string, schema: z.ZodType<T>, most: number): Promise<T | undefined> {
  const text = await readBounded(path, most).catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(text.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}
