import { compareVersions, isPrerelease, parseVersion, sameVersion, type Version } from './version.ts';

/** One clause of a version specifier (PEP 440): `>=1.2`. */
export interface Clause {
  readonly operator: string;
  readonly version: string;
}

/** The clauses of a specifier set, as of `Requires-Python` or of a source without its extras; undefined for what is none. */
export function parseSpecifiers(text: string): readonly Clause[] | undefined {
  const clauses: Clause[] = [];
  for (const part of text.split(',').map((one) => one.trim())) {
    if (part === '') continue;
    const [, operator = '', version = ''] = /^(===|==|~=|!=|<=|>=|<|>) *([^\s=<>~!][^\s]{0,199})$/.exec(part) ?? [];
    if (operator === '') return undefined;
    clauses.push({ operator, version });
  }
  return clauses;
}

/** Whether exactly one release can fit. */
export function isExact(clauses: readonly Clause[]): boolean {
  return clauses.some(({ operator, version }) => operator === '===' || (operator === '==' && !version.endsWith('.*')));
}

/** Whether the version is in all of them. Pre-releases are like any other version here: whether they count is another question. */
export function admits(clauses: readonly Clause[], text: string): boolean {
  const version = parseVersion(text);
  return version !== undefined && clauses.every((clause) => fits(version, text, clause));
}

function fits(version: Version, text: string, { operator, version: wanted }: Clause): boolean {
  if (operator === '===') return text.toLowerCase() === wanted.toLowerCase();
  const prefix = wanted.endsWith('.*');
  const other = parseVersion(prefix ? wanted.slice(0, -2) : wanted);
  // Nobody can say what this leaves out; the resolver will.
  if (!other) return true;
  const order = compareVersions(version, other);
  switch (operator) {
    case '==':
      return prefix ? begins(version, other, other.written.length) : equals(text, wanted, order);
    case '!=':
      return !(prefix ? begins(version, other, other.written.length) : equals(text, wanted, order));
    case '~=':
      return order >= 0 && begins(version, other, Math.max(1, other.written.length - 1));
    case '<=':
      return order <= 0;
    case '>=':
      return order >= 0;
    // `<2` leaves out 2's own pre-releases, `>1` what was released after 1 as 1.
    case '<':
      return order < 0 && (isPrerelease(other) || !isPrerelease(version) || !sameRelease(version, other));
    default:
      return order > 0 && (other.post !== undefined || version.post === undefined || !sameRelease(version, other));
  }
}

function equals(text: string, wanted: string, order: number): boolean {
  return wanted.includes('+') ? sameVersion(text, wanted) : order === 0;
}

function begins(version: Version, other: Version, parts: number): boolean {
  if (version.epoch !== other.epoch) return false;
  for (let at = 0; at < parts; at += 1) {
    if ((version.written[at] ?? 0n) !== (other.written[at] ?? 0n)) return false;
  }
  return true;
}

function sameRelease(a: Version, b: Version): boolean {
  return a.epoch === b.epoch && begins(a, b, Math.max(a.written.length, b.written.length));
}
