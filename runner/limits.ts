import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';

/** How much a server may use. Sizes in bytes. */
export interface Limits {
  readonly memory: number;
  readonly cpus: number;
  /** Processes and threads together. */
  readonly pids: number;
  /** Open files of a process. */
  readonly files: number;
  /** Size of `/tmp`; counted as memory, too. */
  readonly tmp: number;
  /** Size of the home folder; counted as memory, too. */
  readonly home: number;
}

const MIB = 1024 * 1024;

/** A Node server with its libraries takes some 60 MB and 11 threads, a Python one 50 MB: these leave room for work, and none for mining. */
export const LIMITS: Limits = {
  memory: 512 * MIB,
  cpus: 2,
  pids: 256,
  files: 4096,
  tmp: 64 * MIB,
  home: 64 * MIB,
};

const schema = z.strictObject({
  memory: z
    .int()
    .min(16 * MIB)
    .max(1024 * 1024 * MIB),
  cpus: z.number().min(0.05).max(1024),
  pids: z.int().min(8).max(32768),
  files: z.int().min(64).max(1048576),
  tmp: z
    .int()
    .min(64 * 1024)
    .max(64 * 1024 * MIB),
  home: z
    .int()
    .min(64 * 1024)
    .max(64 * 1024 * MIB),
});

/** The defaults with what is given in their place. @throws McpBuildError `limit-invalid` */
export function parseLimits(value: unknown): Limits {
  const result = schema.partial().safeParse(value);
  if (result.success) {
    const given = Object.fromEntries(Object.entries(result.data).filter(([, limit]) => limit !== undefined));
    return { ...LIMITS, ...given };
  }
  const issue = result.error.issues[0];
  throw invalid(issue?.path.join('.') || 'limits', issue?.message ?? 'does not fit');
}

/** Reads `512m`, `2g`, or bytes. @throws McpBuildError `limit-invalid` */
export function parseSize(text: string): number {
  const match = /^([0-9]{1,15})([kmg]?)b?$/i.exec(text);
  const unit = { '': 1, k: 1024, m: MIB, g: 1024 * MIB }[match?.[2]?.toLowerCase() ?? ''];
  const size = Number(match?.[1]) * (unit ?? Number.NaN);
  if (Number.isSafeInteger(size)) return size;
  throw invalid(text, 'is not a size');
}

function invalid(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'limit-invalid',
    message: `Limit ${input}: ${reason}`,
    input,
    fix: 'Write sizes as 512m or 2g, and the others as plain numbers.',
    exit: 2,
  });
}
