import { normalizeProject } from '../../builders/index.ts';
import { isWorse, type Severity } from '../../trust/index.ts';
import { type Advisory, type AdvisoryEcosystem, type Event, type OsvRecord, osvSchema } from './record.ts';

export interface Reduced {
  readonly ecosystem: AdvisoryEcosystem;
  readonly name: string;
  readonly advisory: Advisory;
}

/** In characters; a report has one line for it. */
const SUMMARY = 300;

/**
 * What of a record concerns packages that an image can hold. A withdrawn record concerns none. @returns undefined for what is no OSV record
 * @param rate CVSS vector to base score; undefined where it is none
 */
export function reduce(value: unknown, rate: (vector: string) => number | undefined): readonly Reduced[] | undefined {
  const parsed = osvSchema.safeParse(value);
  if (!parsed.success) return undefined;
  const record = parsed.data;
  if (record.withdrawn) return [];
  const malware = isMalware(record);
  const found = new Map<string, Reduced>();
  for (const affected of record.affected ?? []) {
    const ecosystem = ecosystemOf(affected.package?.ecosystem);
    if (!ecosystem || !affected.package) continue;
    const name = ecosystem === 'PyPI' ? normalizeProject(affected.package.name) : affected.package.name;
    const vectors = affected.severity?.length ? affected.severity : (record.severity ?? []);
    const score = best(vectors.map(({ score }) => rate(score)));
    const severity = severityOf(score, record, affected, ecosystem);
    const ranges = (affected.ranges ?? [])
      .filter(({ type }) => type === 'SEMVER' || type === 'ECOSYSTEM')
      .map(({ events }) => events.flatMap(eventsOf));
    const versions = [...(affected.versions ?? [])];
    if (ranges.length === 0 && versions.length === 0) continue;
    const key = `${ecosystem}\0${name}`;
    const known = found.get(key)?.advisory;
    found.set(key, {
      ecosystem,
      name,
      advisory: {
        id: record.id,
        aliases: [...new Set([...(record.aliases ?? []), ...sameFlaw(record, ecosystem)])],
        summary: (record.summary || (record.details ?? '').split('\n').find((line) => line.trim() !== '') || '').slice(
          0,
          SUMMARY,
        ),
        severity: malware
          ? 'critical'
          : known && isWorse(known.severity, severity.severity)
            ? known.severity
            : severity.severity,
        ...(score === undefined ? {} : { score }),
        rated: severity.rated,
        malware,
        modified: record.modified,
        versions: [...(known?.versions ?? []), ...versions],
        ranges: [...(known?.ranges ?? []), ...ranges],
      },
    });
  }
  return [...found.values()];
}

/**
 * Debian's records name the flaw that they are about as what they come from. With several, one excuse for one of them must not count for all,
 * so that such a record keeps its own name.
 */
function sameFlaw({ upstream }: OsvRecord, ecosystem: AdvisoryEcosystem): readonly string[] {
  return ecosystem.startsWith('Debian') && upstream?.length === 1 ? upstream : [];
}

function isMalware({ id, aliases }: OsvRecord): boolean {
  return [id, ...(aliases ?? [])].some((name) => name.startsWith('MAL-'));
}

function ecosystemOf(text: string | undefined): AdvisoryEcosystem | undefined {
  if (text === 'npm' || text === 'PyPI') return text;
  const release = /^Debian:(\d{1,3})$/.exec(text ?? '')?.[1];
  return release === undefined ? undefined : `Debian:${Number(release)}`;
}

function eventsOf(said: {
  introduced?: string | undefined;
  fixed?: string | undefined;
  last_affected?: string | undefined;
  limit?: string | undefined;
}): Event[] {
  const events: Event[] = [];
  if (said.introduced !== undefined) events.push({ introduced: said.introduced });
  if (said.fixed !== undefined) events.push({ fixed: said.fixed });
  if (said.last_affected !== undefined) events.push({ last: said.last_affected });
  if (said.limit !== undefined && said.limit !== '*') events.push({ limit: said.limit });
  return events;
}

const WORDS: Readonly<Record<string, Severity>> = {
  low: 'low',
  moderate: 'medium',
  medium: 'medium',
  high: 'high',
  important: 'high',
  critical: 'critical',
  // Debian's security tracker.
  unimportant: 'none',
  negligible: 'none',
};

/** A vector first, then the word of whoever wrote the record. Debian rates few of its own; an unrated one there is no reason to refuse every image. */
function severityOf(
  score: number | undefined,
  record: OsvRecord,
  affected: NonNullable<OsvRecord['affected']>[number],
  ecosystem: AdvisoryEcosystem,
): { severity: Severity; rated: boolean } {
  const urgency = affected.ecosystem_specific?.urgency;
  const unimportant = typeof urgency === 'string' && /^unimportant/.test(urgency);
  if (unimportant) return { severity: 'none', rated: true };
  if (score !== undefined) return { severity: ofScore(score), rated: true };
  for (const said of [affected.database_specific?.severity, record.database_specific?.severity, urgency]) {
    const word = typeof said === 'string' ? WORDS[said.toLowerCase().replace(/\*+$/, '')] : undefined;
    if (word) return { severity: word, rated: true };
  }
  return { severity: ecosystem.startsWith('Debian') ? 'medium' : 'high', rated: false };
}

/** CVSS v3.1, section 5; v4.0 has the same bounds. */
export function ofScore(score: number): Severity {
  return score >= 9 ? 'critical' : score >= 7 ? 'high' : score >= 4 ? 'medium' : score > 0 ? 'low' : 'none';
}

function best(scores: readonly (number | undefined)[]): number | undefined {
  const known = scores.filter((score) => score !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
