import type { Accepted, Asked } from '../evidence.ts';
import { type Exception, matches, type Rule } from '../policy/index.ts';
import { matchesAny } from '../policy/pattern.ts';
import type { ServerPredicate } from '../predicate/server.ts';
import { isWorse, type ScanSummary, type Vulnerability } from '../predicate/vulns.ts';
import type { Check, CheckId } from '../verdict.ts';
import { beyond } from './permissions.ts';
import { compareVersions } from './version.ts';

/** `npm:<name>` or `pypi:<name>`. */
export function sourceName(source: { readonly ecosystem: string; readonly name: string }): string {
  return `${source.ecosystem}:${source.name}`;
}

function check(id: CheckId, passed: boolean, detail: string, predicate: 'server' | 'vulns' = 'server'): Check {
  return { id, status: passed ? 'pass' : 'fail', detail, predicate };
}

/** Whether the server that was signed is the one that was asked for. */
export function checkSource(server: ServerPredicate, asked: Asked): Check {
  const signed = `${sourceName(server.source)} ${server.source.version}`;
  const name = asked.source === undefined || sourceName(asked.source) === sourceName(server.source);
  const version = asked.version === undefined || asked.version === server.source.version;
  const wanted = [asked.source && sourceName(asked.source), asked.version].filter(Boolean).join(' ');
  return check('source-mismatch', name && version, `It is signed as ${signed}, and ${wanted} was asked for`);
}

/** Whether it is at least as new as what this machine has accepted under that name before. */
export function checkRollback({ source, created }: ServerPredicate, accepted: Accepted): Check {
  const order = compareVersions(source.ecosystem, source.version, accepted.version);
  const rebuilt = order === 0 && Date.parse(created) < Date.parse(accepted.created);
  const older = order === undefined || order < 0 || rebuilt;
  const [mine, theirs] = rebuilt
    ? [`${source.version} of ${created}`, `${accepted.version} of ${accepted.created}`]
    : [source.version, accepted.version];
  return check('rollback', !older, `It is ${mine}; this machine has accepted ${theirs} before`);
}

/** Whether the rule's sources, release age and permissions let it pass. */
export function checkAllowed(server: ServerPredicate, { allow, sources, drift }: Rule, now: Date): readonly Check[] {
  const checks: Check[] = [];
  if (blocksDrift(drift)) {
    // Without a signed offer there is nothing that a running one could differ from.
    const signed = server.tools !== undefined;
    const detail = signed ? 'It says what the server offers' : 'It says nothing of what the server offers';
    checks.push(check('offer-unsigned', signed, detail));
  }
  const name = sourceName(server.source);
  if (allow.sources ?? sources) {
    const passed = matchesAny(sources, name) && matchesAny(allow.sources, name);
    checks.push(check('source-refused', passed, `It comes from ${name}`));
  }
  if (allow.releaseAge !== undefined) {
    const age = server.newest === undefined ? Number.NEGATIVE_INFINITY : now.getTime() - Date.parse(server.newest);
    const when =
      server.newest === undefined
        ? 'It does not say when its files were released'
        : `Its newest file is of ${server.newest}`;
    checks.push(check('too-new', age >= allow.releaseAge, when));
  }
  if (allow.permissions) {
    const wider = beyond(server.permissions, allow.permissions);
    const detail = wider.length > 0 ? `It declares ${wider.join(', ')}` : 'It declares nothing wider than is allowed';
    checks.push(check('permission-refused', wider.length === 0, detail));
  }
  return checks;
}

/** Whether a rule itself asks for a server to be stopped when its offer isn't the signed one. */
export function blocksDrift(drift: Rule['drift']): boolean {
  return Object.values(drift ?? {}).includes('block');
}

/** Packages of one flaw that are named. */
const SHOWN = 3;

/** Packages that are built from one source share its flaws: each of them once, as bad as the worst of what it is found in. */
function flaws(found: ScanSummary['found']): readonly (Vulnerability & { readonly packages: readonly string[] })[] {
  const byId = Map.groupBy(found, ({ id }) => id);
  return [...byId].map(([id, all]) => ({
    id,
    severity: all.map(({ severity }) => severity).reduce((a, b) => (isWorse(b, a) ? b : a)),
    packages: [...new Set(all.flatMap(({ purl }) => purl ?? []))],
  }));
}

/** @param excused whether an exception covers this advisory */
export function checkAdvisories(
  scan: ScanSummary,
  ceiling: NonNullable<Rule['allow']['advisories']>,
  excused: (advisory: string) => boolean,
): Check {
  const found = flaws(scan.found.filter(({ id, severity }) => isWorse(severity, ceiling) && !excused(id)));
  const named = found.slice(0, 10).map(({ id, severity, packages }) => {
    const shown = packages.length > SHOWN ? [...packages.slice(0, SHOWN), `${packages.length - SHOWN} more`] : packages;
    return `${id} (${severity}${shown.length > 0 ? ` in ${shown.join(', ')}` : ''})`;
  });
  const more = found.length > named.length ? ` and ${found.length - named.length} more` : '';
  const detail = found.length > 0 ? `${named.join(', ')}${more}` : `Nothing worse than ${ceiling} is known`;
  return check('known-vulnerable', found.length === 0, detail, 'vulns');
}

/** Whether an exception is for this image; nothing about a server counts but what is verified. */
export function concerns(
  exception: Exception,
  subject: string,
  asked: Asked | undefined,
  server: ServerPredicate | undefined,
): boolean {
  const { image, source, version, digest } = exception;
  if (digest !== undefined && digest !== subject) return false;
  if (image !== undefined && !(asked?.image !== undefined && matches(image, asked.image))) return false;
  if (source !== undefined && !(server && matches(source, sourceName(server.source)))) return false;
  return version === undefined || version === server?.source.version;
}
