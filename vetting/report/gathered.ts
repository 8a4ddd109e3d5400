import { type Finding, printed } from '../finding.ts';

/** Names of packages that one line has room for, and further reasons below it. */
const NAMES = 3;
const REASONS = 3;

/** A finding as it is shown, or several that one silent source is the reason of. */
export interface Gathered {
  /** What is shown; of several, in words of this function's own. */
  readonly finding: Finding;
  readonly refused: boolean;
  /** What it is about; more than one where several are told as one. */
  readonly subjects: readonly string[];
}

/**
 * Pure: findings as a person should read them. A registry that is down is one thing to know and not a hundred, so that what it didn't say of each
 * package is one line, where the first of them stood. Only what is shown is put together: a policy's exceptions are by package.
 */
export function gathered(findings: readonly Finding[], refused: readonly Finding[] = []): readonly Gathered[] {
  const bad = new Set(refused);
  const groups = Map.groupBy(findings, (one) => {
    const { code, severity, silence, excepted, isNew = false } = one;
    if (!silence) return one;
    const accepted = excepted ? [excepted.reason, excepted.expires] : [];
    return [code, severity, bad.has(one), isNew, silence.source, silence.what, ...accepted].join('\0');
  });
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    return [
      { finding: together(group, first), refused: bad.has(first), subjects: group.map(({ subject }) => subject) },
    ];
  });
}

function together(group: readonly Finding[], first: Finding): Finding {
  const { silence, path: _, ...same } = first;
  if (!silence || group.length === 1) return first;
  const names = group.slice(0, NAMES).map(({ subject }) => subject);
  const more = group.length - names.length;
  const whole = more > 0 ? `${names.join(', ')} and ${more} more` : names.join(' and ');
  const reasons = [...Map.groupBy(group, kindOfReason).values()].flatMap(([one]) => one?.silence?.why ?? []);
  const [why = '', ...others] = reasons.map((reason) => printed(reason));
  const rest =
    others.length === 0 ? '' : `, and for ${others.length} other ${others.length === 1 ? 'reason' : 'reasons'}`;
  return {
    ...same,
    subject: silence.source,
    message: `${silence.what} ${group.length} packages, ${whole}: ${why}${rest}`,
    evidence: others.slice(0, REASONS),
  };
}

/** A reason without what differs from package to package: its name and version, and the rest of an address behind its host. */
function kindOfReason({ subject, silence }: Finding): string {
  const [, name = subject, version = ''] = /^[a-z]+:(.+)@([^@]*)$/.exec(subject) ?? [];
  const own = [name, version, `${name}@${version}`];
  return (silence?.why ?? '')
    .split(' ')
    .map((word) => word.replace(/^(https?:\/\/[^/]+)\/.*$/, '$1'))
    .filter((word) => !own.includes(word))
    .join(' ');
}
