import { z } from 'zod';

/** From harmless to worst; `unknown` counts as the worst, for nobody has said that it isn't. */
export const SEVERITIES = ['none', 'low', 'medium', 'high', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** in-toto vulns v0.1: https://github.com/in-toto/attestation/blob/main/spec/predicates/vuln.md */
const schema = z.object({
  scanner: z.object({
    uri: z.string(),
    version: z.string().optional(),
    db: z
      .object({ uri: z.string().optional(), version: z.string().optional(), lastUpdate: z.string().optional() })
      .optional(),
    result: z
      .array(
        z.object({
          id: z.string().min(1),
          severity: z.array(z.object({ method: z.string(), score: z.union([z.string(), z.number()]) })).default([]),
          // Of any form, by whoever scanned; what isn't ours is left out.
          annotations: z.unknown().optional(),
        }),
      )
      .max(100_000),
  }),
  metadata: z.object({
    scanStartedOn: z.iso.datetime({ offset: true }),
    scanFinishedOn: z.iso.datetime({ offset: true }),
  }),
});

export interface Vulnerability {
  readonly id: string;
  readonly severity: Severity;
  /** The package URL it was found in. */
  readonly purl?: string;
}

export interface Scan {
  readonly scanner: { readonly uri: string; readonly version: string };
  /** What was compared with, and of when. */
  readonly database?: { readonly uri?: string; readonly version?: string; readonly lastUpdate?: string };
  readonly started: Date;
  readonly finished: Date;
  readonly found: readonly Vulnerability[];
}

export function vulnsPredicate(scan: Scan): object {
  return {
    scanner: {
      ...scan.scanner,
      ...(scan.database ? { db: scan.database } : {}),
      result: scan.found.map(({ id, severity, purl }) => ({
        id,
        severity: [{ method: 'qualitative', score: severity }],
        ...(purl ? { annotations: [{ purl }] } : {}),
      })),
    },
    metadata: { scanStartedOn: scan.started.toISOString(), scanFinishedOn: scan.finished.toISOString() },
  };
}

export interface ScanSummary {
  readonly finished: Date;
  readonly found: readonly Vulnerability[];
}

/** What a vulns predicate says, whoever wrote it; undefined when it isn't one. */
export function readVulns(predicate: unknown): ScanSummary | undefined {
  const parsed = schema.safeParse(predicate).data;
  if (!parsed) return undefined;
  return {
    finished: new Date(parsed.metadata.scanFinishedOn),
    found: parsed.scanner.result.map(({ id, severity, annotations }) => {
      const purl = purlOf(annotations);
      return { id, severity: worst(severity.map(({ score }) => score)), ...(purl === undefined ? {} : { purl }) };
    }),
  };
}

const annotated = z.array(z.looseObject({ purl: z.string().max(500).optional() })).max(100);

/** The first package URL; it is shown to people, so that one with anything but printable ASCII is none. */
function purlOf(annotations: unknown): string | undefined {
  const said = annotated.safeParse(annotations).data?.find(({ purl }) => purl !== undefined)?.purl;
  return said !== undefined && /^pkg:[!-~]+$/.test(said) ? said : undefined;
}

export function isWorse(one: Severity, than: Severity): boolean {
  return SEVERITIES.indexOf(one) > SEVERITIES.indexOf(than);
}

function worst(scores: readonly (string | number)[]): Severity {
  const known = scores.map(severityOf).filter((one) => one !== undefined);
  if (known.length === 0) return 'critical';
  return known.reduce((a, b) => (isWorse(b, a) ? b : a));
}

/** A word, or a CVSS base score with the bounds of its specification (v3.1, section 5). */
function severityOf(score: string | number): Severity | undefined {
  const word = String(score).toLowerCase();
  if (word === 'moderate') return 'medium';
  const named = SEVERITIES.find((one) => one === word);
  if (named) return named;
  const number = /^\d{1,2}(\.\d+)?$/.test(word) ? Number(word) : Number.NaN;
  if (!(number <= 10)) return undefined;
  return number >= 9 ? 'critical' : number >= 7 ? 'high' : number >= 4 ? 'medium' : number > 0 ? 'low' : 'none';
}
