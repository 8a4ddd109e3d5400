import { type Gathered, gathered } from './gathered.ts';
import { ageOf, type Report, titleOf, unreadLine, unreadOf } from './report.ts';

/** Rows of one table; a job summary has a size that it must not pass. */
const ROWS = 200;

/** A summary for a pull request or a job. */
export function markdown(reports: readonly Report[]): string {
  return `${reports.map(one).join('\n\n')}\n`;
}

function one(report: Report): string {
  const { name, source, lock, findings, refused, packages, policy } = report;
  const told = findings.filter(({ severity, excepted }) => severity !== 'none' && !excepted);
  const facts = findings.filter(({ severity }) => severity === 'none');
  const excepted = findings.filter((found) => found.excepted);
  const rows = gathered(told, refused);
  const news = findings.filter(({ isNew }) => isNew);
  const unread = unreadOf(report);
  return [
    `### ${refused.length > 0 ? '❌' : unread.length > 0 ? '⚠️' : '✅'} ${text(name)}`,
    '',
    `\`${code(source)}\`${lock === undefined ? '' : `, ${packages.length} packages`}: ${refused.length > 0 ? `**${refused.length} refused**, ` : ''}${unread.length > 0 ? `**${unreadLine(unread)}**, ` : ''}${told.length} findings, ${facts.length} facts; ${lock === undefined ? '' : `${ageOf(report)}; `}${policy === undefined ? 'default policy' : `policy \`${code(policy)}\``}.`,
    ...(told.length > 0
      ? ['', '| | severity | what | where | |', '|---|---|---|---|---|', ...rows.slice(0, ROWS).map(row)]
      : []),
    ...(rows.length > ROWS ? [`… and ${rows.length - ROWS} more.`] : []),
    ...(unread.length > 0
      ? [
          '',
          '<details><summary>Not read: archives that could not be fetched</summary>',
          '',
          ...unread.slice(0, ROWS).map((ref) => `- \`${code(ref)}\``),
          ...(unread.length > ROWS ? [`- … and ${unread.length - ROWS} more`] : []),
          '',
          '</details>',
        ]
      : []),
    ...(news.length > 0
      ? [
          '',
          '**New since the previous lock**',
          '',
          ...news.slice(0, ROWS).map((found) => `- \`${code(found.subject)}\` ${text(found.message)}`),
        ]
      : []),
    ...(excepted.length > 0
      ? [
          '',
          '<details><summary>Accepted by exception</summary>',
          '',
          ...excepted
            .slice(0, ROWS)
            .map(
              (found) =>
                `- \`${code(found.subject)}\` ${found.code}: ${text(found.excepted?.reason ?? '')} (until ${found.excepted?.expires})`,
            ),
          '',
          '</details>',
        ]
      : []),
  ].join('\n');
}

function row({ finding: found, refused }: Gathered): string {
  const { severity, subject, message, remedy, path } = found;
  const way = path && path.length > 1 ? `<br>via ${path.slice(0, -1).map(text).join(' → ')}` : '';
  return `| ${refused ? '❌' : ''} | ${severity} | ${text(titleOf(found))} | \`${code(subject)}\`${way} | ${text(message)}<br>*${text(remedy)}* |`;
}

/** What would begin markup, a link, a mention or another cell. */
function text(value: string): string {
  return value.replace(/[\\`*_[\]<>|~#@!]/g, (character) => `&#${character.charCodeAt(0)};`).replace(/\s+/g, ' ');
}

function code(value: string): string {
  return value.replace(/[`|\s]+/g, ' ');
}
