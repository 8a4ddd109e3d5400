import { SEVERITIES } from '../trust/index.ts';
import { type Finding, gathered, unreadLine, unreadOf } from '../vetting/index.ts';
import type { Audited } from './line/audit.ts';
import { table } from './terminal.ts';

/** One server's findings for a terminal, with the way out of what is refused. @param all facts and what was accepted, too */
export function auditTable(
  {
    name,
    findings,
    refused,
    packages,
    unfetched,
  }: Pick<Audited, 'name' | 'findings' | 'refused' | 'packages' | 'unfetched'>,
  all: boolean,
): string {
  const shown = findings.filter(({ severity, excepted }) => all || (severity !== 'none' && !excepted));
  const rows = gathered(shown, refused).map(({ finding, refused: bad }) => [
    bad ? '✗' : finding.excepted ? '○' : '·',
    finding.severity,
    finding.code,
    finding.subject,
    finding.message,
  ]);
  const counts = [...SEVERITIES].reverse().flatMap((severity) => {
    const count = findings.filter((one) => one.severity === severity && !one.excepted).length;
    return count > 0 ? [`${count} ${severity === 'none' ? 'facts' : severity}`] : [];
  });
  const unread = unreadOf({ packages, unfetched });
  const verdict =
    refused.length > 0 ? `REFUSED: ${refused.length} of ${findings.length} findings` : 'nothing is refused';
  const but = unread.length > 0 ? `, and ${unreadLine(unread)}` : '';
  const ways = gathered(refused, refused)
    .slice(0, 20)
    .flatMap(({ finding: { subject, path, remedy, evidence } }) => [
      `  ${subject}${path && path.length > 1 ? `  (${path.join(' → ')})` : ''}`,
      ...evidence.slice(0, 5).map((line) => `    ${line}`),
      `    fix: ${remedy}`,
    ]);
  return [
    ...(rows.length > 0 ? [table(rows)] : []),
    ...ways,
    `${name}: ${packages.length} packages, ${counts.join(', ') || 'no findings'}; ${verdict}${but}`,
  ].join('\n');
}

/** What is said of no single server. */
export function auditLine({ severity, code, subject, message }: Finding): string {
  return `· ${severity}  ${code}  ${subject}  ${message}`;
}
