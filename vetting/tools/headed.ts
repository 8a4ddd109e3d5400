import type { z } from 'zod';

/**
 * The header of a file of numbers as `fit.py` and `encoder.py` write it: its length in four bytes, then JSON.
 *
 * @returns it, and where the numbers begin
 * @throws z.ZodError, SyntaxError if it is none
 */
export function headed<T>(file: Uint8Array, schema: z.ZodType<T>): { readonly header: T; readonly begin: number } {
  const length = new DataView(file.buffer, file.byteOffset, 4).getUint32(0, true);
  const begin = 4 + length;
  return { header: schema.parse(JSON.parse(Buffer.from(file.subarray(4, begin)).toString('utf8'))), begin };
}
