import { z } from 'zod';
import type { Severity } from '../../trust/index.ts';

/** Ecosystems as OSV spells them. Debian's are told apart by release. */
export type AdvisoryEcosystem = 'npm' | 'PyPI' | `Debian:${number}`;

const text = z.string().max(100_000);
const short = z.string().min(1).max(300);
const severity = z.array(z.object({ type: z.string().max(40), score: z.string().max(400) })).max(20);

/**
 * OSV record (https://ossf.github.io/osv-schema/), the fields that matching reads. Anything may be hostile: an export is only as good as the
 * mirror that it came from.
 */
export const osvSchema = z.object({
  id: short,
  modified: short,
  published: short.optional(),
  withdrawn: short.nullish(),
  aliases: z.array(short).max(1000).nullish(),
  upstream: z.array(short).max(1000).nullish(),
  summary: text.nullish(),
  details: z.string().nullish(),
  severity: severity.nullish(),
  database_specific: z.record(z.string(), z.unknown()).nullish(),
  affected: z
    .array(
      z.object({
        package: z.object({ ecosystem: short, name: short }).optional(),
        severity: severity.nullish(),
        ranges: z
          .array(
            z.object({
              type: short,
              events: z
                .array(
                  z.object({
                    introduced: short.optional(),
                    fixed: short.optional(),
                    last_affected: short.optional(),
                    limit: short.optional(),
                  }),
                )
                .max(10_000),
            }),
          )
          .max(10_000)
          .nullish(),
        versions: z.array(short).max(100_000).nullish(),
        ecosystem_specific: z.record(z.string(), z.unknown()).nullish(),
        database_specific: z.record(z.string(), z.unknown()).nullish(),
      }),
    )
    .max(10_000)
    .nullish(),
});

export type OsvRecord = z.infer<typeof osvSchema>;

const event = z.union([
  z.object({ introduced: z.string() }),
  z.object({ fixed: z.string() }),
  z.object({ last: z.string() }),
  z.object({ limit: z.string() }),
]);

/** What is kept of a record for one package: what matching and reporting need. */
export const advisorySchema = z.object({
  id: z.string(),
  aliases: z.array(z.string()),
  summary: z.string(),
  severity: z.enum(['none', 'low', 'medium', 'high', 'critical']),
  /** CVSS base score, where it has a vector. */
  score: z.number().optional(),
  /** Whether somebody rated it; otherwise the severity is what is assumed. */
  rated: z.boolean(),
  /** The package is the attack, not its victim. */
  malware: z.boolean(),
  modified: z.string(),
  versions: z.array(z.string()),
  ranges: z.array(z.array(event)),
});

export type Advisory = z.infer<typeof advisorySchema>;
export type Event = z.infer<typeof event>;

/** A version that an advisory is about: everything a report says of it. Several records of one flaw are one match. */
export interface Match {
  /** The best-known name: CVE, then GHSA, then whatever there is. */
  readonly id: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly severity: Severity;
  readonly score?: number;
  readonly rated: boolean;
  readonly malware: boolean;
  /** First version after the package's own that no longer has it. */
  readonly fixed?: string;
  /** A version or range that can't be compared: taken as affected. */
  readonly unsure?: string;
}
