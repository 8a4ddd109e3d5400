import { z } from 'zod';
import { segmentsOf } from './audit-files.ts';
import { linesOf } from './audit-verify.ts';

/** What of a log tells what a server was asked for. */
const record = z.object({
  at: z.iso.datetime(),
  kind: z.string().max(100),
  server: z.string().max(1000).optional(),
  digest: z.string().max(200).optional(),
  method: z.string().max(200).optional(),
  target: z.string().max(1000).optional(),
  host: z.string().max(1000).optional(),
  port: z.number().optional(),
});

export type AuditRecord = z.infer<typeof record>;

/** The records of a log since a time, as they stand there: whether anything in it was changed is `verifyAuditLog`'s to say. */
export async function* readAuditLog(folder: string, since: Date): AsyncGenerator<AuditRecord> {
  for (const { path } of await segmentsOf(folder)) {
    for await (const { line, whole } of linesOf(path)) {
      if (!whole) continue;
      const read = record.safeParse(parsed(line)).data;
      if (read && Date.parse(read.at) >= since.getTime()) yield read;
    }
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
