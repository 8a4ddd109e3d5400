import { createHash } from 'node:crypto';
import type { Severity } from '../../trust/index.ts';
import { FINDINGS, type Finding } from '../finding.ts';
import type { Report } from './report.ts';

const LEVELS: Readonly<Record<Severity, string>> = {
  critical: 'error',
  high: 'error',
  medium: 'warning',
  low: 'note',
  none: 'none',
};
/** What forges sort by: https://docs.github.com/code-security, security-severity. */
const SCORES: Readonly<Record<Severity, string>> = {
  critical: '9.5',
  high: '8.0',
  medium: '5.5',
  low: '2.0',
  none: '0.0',
};

/** SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), one run for all servers; a result lies in the lock that it is about. */
export function sarif(reports: readonly Report[]): string {
  const used = new Set(reports.flatMap(({ findings }) => findings.map(({ code }) => code)));
  const rules = (Object.keys(FINDINGS) as (keyof typeof FINDINGS)[])
    .filter((code) => used.has(code))
    .map((code) => {
      const { severity, title, remedy } = FINDINGS[code];
      return {
        id: code,
        shortDescription: { text: title },
        help: { text: remedy },
        defaultConfiguration: { level: LEVELS[severity] },
        properties: { 'security-severity': SCORES[severity], tags: ['security', 'supply-chain'] },
      };
    });
  const results = reports.flatMap((report) => report.findings.map((one) => resultOf(report, one)));
  return `${JSON.stringify(
    {
      $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
      version: '2.1.0',
      runs: [
        {
          tool: { driver: { name: 'mcp-build', version: reports[0]?.version ?? '0', rules } },
          results,
        },
      ],
    },
    null,
    2,
  )}\n`;
}

function resultOf({ name, lock }: Report, one: Finding): object {
  const { code, severity, subject, message, evidence, remedy, path, id, excepted } = one;
  const lines = [
    `${subject}: ${message}.`,
    ...(path && path.length > 1 ? [`Brought in by ${path.join(' → ')}.`] : []),
    ...evidence,
    remedy,
  ];
  return {
    ruleId: code,
    level: LEVELS[severity],
    kind: severity === 'none' ? 'informational' : 'fail',
    message: { text: lines.join('\n') },
    locations: [
      {
        physicalLocation: {
          artifactLocation: {
            uri: lock === undefined ? encodeURI(name) : `lockfiles/${encodeURIComponent(name)}/image.lock.json`,
          },
        },
        logicalLocations: [{ fullyQualifiedName: subject, kind: 'package' }],
      },
    ],
    // The same finding of the next run is the same one, wherever it moved to.
    partialFingerprints: {
      'mcpBuild/v1': createHash('sha256')
        .update([name, code, subject, id ?? ''].join('\0'))
        .digest('hex'),
    },
    properties: { 'security-severity': SCORES[severity], ...(id === undefined ? {} : { advisory: id }) },
    ...(excepted
      ? { suppressions: [{ kind: 'external', justification: `${excepted.reason} (until ${excepted.expires})` }] }
      : {}),
  };
}
