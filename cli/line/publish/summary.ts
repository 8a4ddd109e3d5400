import type { ExitCode } from '../../../errors/index.ts';
import { gathered } from '../../../vetting/index.ts';
import { markdownTable, quoted } from '../markdown.ts';
import type { Outcome } from './many.ts';

/** The outcome of all of them: what failed alone decides, and several kinds of failures are just a failure. */
export function exitCodeOf(outcomes: readonly Outcome[]): ExitCode {
  const codes = new Set(outcomes.flatMap((one) => (one.status === 'failed' ? [one.error.exit] : [])));
  const [code, ...others] = codes;
  if (code === undefined) return 0;
  return others.length === 0 ? code : 1;
}

/** One row a server: name, version, what became of it, and where it is or why it isn't. */
export function rowsOf(outcomes: readonly Outcome[]): readonly (readonly string[])[] {
  return outcomes.map((one) => [one.name, one.version ?? '', wordOf(one), detailOf(one)]);
}

export function wordOf({ status }: Outcome): string {
  return status === 'would-publish' ? 'would be published' : status;
}

function detailOf(one: Outcome): string {
  // In full it stands above the table.
  if (one.status === 'failed') return cut(`${one.error.code}: ${one.error.message.split('\n')[0]}`);
  return `${one.image}:${one.tags[0]}@${one.digest.slice(0, 19)}`;
}

/** In characters: a row is to stay one line of a terminal that isn't narrow. */
const ROW = 160;

function cut(text: string): string {
  return text.length <= ROW ? text : `${text.slice(0, ROW - 1)}…`;
}

export function jsonOf(outcomes: readonly Outcome[]): unknown {
  return outcomes.map((one) => {
    const { name, version, image, took, status } = one;
    const common = { name, version: version ?? null, image: image ?? null, status, seconds: took / 1000 };
    if (one.status === 'failed') {
      const { code, message, fix, exit } = one.error;
      return { ...common, error: { code, message, fix: fix ?? null, exit } };
    }
    const { digest, tags, test, findings, sent, why } = one;
    return { ...common, digest, tags, why: why ?? null, test: test ?? null, findings, sent };
  });
}

/** For a CI's job summary. Whatever comes from a package stands between backticks. */
export function markdownOf(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map((one) => {
    const where =
      one.image === undefined
        ? ''
        : quoted(`${one.image}:${one.status === 'failed' ? '' : one.tags[0]}`.replace(/:$/, ''), 300);
    return [
      quoted(one.name),
      one.version === undefined ? '' : quoted(one.version),
      `${MARK[one.status]} ${wordOf(one)}`,
      where,
      testOf(one),
    ];
  });
  const failed = outcomes.flatMap((one) =>
    one.status === 'failed'
      ? [
          `- ${quoted(one.name)}: ${quoted(one.error.code)} ${quoted(one.error.message, 1000)}${one.error.fix ? `<br>${quoted(one.error.fix, 500)}` : ''}`,
        ]
      : [],
  );
  const findings = outcomes.flatMap((one) =>
    one.status === 'failed'
      ? []
      : gathered(one.findings).map(
          ({ finding: { code, severity, subject, message } }) =>
            `- ${quoted(one.name)}: ${severity} ${quoted(code)} ${quoted(subject)} ${quoted(message)}`,
        ),
  );
  const digests = outcomes.flatMap((one) =>
    one.status === 'failed' ? [] : [`- ${quoted(`${one.image}@${one.digest}`, 500)}`],
  );
  return [
    '## MCP servers',
    '',
    markdownTable(['server', 'version', 'status', 'image', 'test'], rows),
    ...section('Failed', failed),
    ...section('Noticed', findings),
    ...section('By digest', digests),
    '',
  ].join('\n');
}

const MARK = { published: '✅', unchanged: '➖', 'would-publish': '🔎', failed: '❌' } as const;

function testOf(one: Outcome): string {
  if (one.status === 'failed' || one.test === undefined) return '';
  return one.test === 'passed' ? 'passed' : `skipped: ${quoted(one.test.skipped)}`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `### ${title}`, '', ...lines];
}
