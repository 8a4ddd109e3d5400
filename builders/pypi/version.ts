// PEP 440's own pattern (appendix B), anchored.
const VERSION =
  /^v?(?:(?<epoch>[0-9]+)!)?(?<release>[0-9]+(?:\.[0-9]+)*)(?:[-_.]?(?<preL>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?<preN>[0-9]+)?)?(?:-(?<postN1>[0-9]+)|(?<post>[-_.]?(?:post|rev|r)[-_.]?(?<postN2>[0-9]+)?))?(?<dev>[-_.]?dev[-_.]?(?<devN>[0-9]+)?)?(?:\+(?<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$/;

const PRE: Readonly<Record<string, string>> = {
  a: 'a',
  alpha: 'a',
  b: 'b',
  beta: 'b',
  c: 'rc',
  rc: 'rc',
  pre: 'rc',
  preview: 'rc',
};

/** One spelling for all that PEP 440 holds equal (`1.0-RC.1` and `1rc1`), for comparison only; undefined for what is no version. */
export function canonicalVersion(version: string): string | undefined {
  const parsed = parseVersion(version);
  if (!parsed) return undefined;
  const { epoch, release, pre, post, dev, local } = parsed;
  return [
    epoch === 0n ? '' : `${epoch}!`,
    release.join('.'),
    pre ? pre.join('') : '',
    post === undefined ? '' : `.post${post}`,
    dev === undefined ? '' : `.dev${dev}`,
    local === '' ? '' : `+${local}`,
  ].join('');
}

/** What decides the order of versions (PEP 440, "Summary of permitted suffixes and relative ordering"). */
export interface Version {
  readonly epoch: bigint;
  /** Without zeros at its end. */
  readonly release: readonly bigint[];
  /** As it was written, for prefixes: `1.0` in `~=1.0`. */
  readonly written: readonly bigint[];
  readonly pre: readonly [phase: string, number: bigint] | undefined;
  readonly post: bigint | undefined;
  readonly dev: bigint | undefined;
  /** In one spelling. It has no say in the order: builds of one release are not newer than each other. */
  readonly local: string;
}

/** Undefined for what is no version. */
export function parseVersion(version: string): Version | undefined {
  const found = version.length <= 200 ? VERSION.exec(version.trim().toLowerCase())?.groups : undefined;
  if (!found) return undefined;
  const number = (text: string | undefined) => BigInt(text ?? '0');
  const written = (found.release ?? '0').split('.').map(number);
  const release = [...written];
  while (release.length > 1 && release.at(-1) === 0n) release.pop();
  return {
    epoch: number(found.epoch),
    release,
    written,
    pre: found.preL ? [PRE[found.preL] ?? '', number(found.preN)] : undefined,
    post: found.post || found.postN1 ? number(found.postN1 ?? found.postN2) : undefined,
    dev: found.dev ? number(found.devN) : undefined,
    local: (found.local ?? '')
      .split(/[-_.]/)
      .map((part) => (/^[0-9]+$/.test(part) ? number(part) : part))
      .join('.'),
  };
}

export function isPrerelease({ pre, dev }: Version): boolean {
  return pre !== undefined || dev !== undefined;
}

/** Negative where `a` is the older one. */
export function compareVersions(a: Version, b: Version): number {
  const [left, right] = [keyOf(a), keyOf(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const [one = 0n, other = 0n] = [left[at], right[at]];
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}

const PHASES: Readonly<Record<string, bigint>> = { a: 1n, b: 2n, rc: 3n };

function keyOf({ epoch, release, pre, post, dev }: Version): readonly bigint[] {
  // More than the longest text has room for, so that what follows them is at the same place in each key.
  const parts = Array.from({ length: 100 }, (_, at) => release[at] ?? 0n);
  // `.dev` alone comes before every pre-release, a release without either after them all.
  const phase = pre ? (PHASES[pre[0]] ?? 0n) : dev !== undefined && post === undefined ? 0n : 4n;
  return [
    epoch,
    ...parts,
    phase,
    pre?.[1] ?? 0n,
    post === undefined ? 0n : post + 1n,
    ...(dev === undefined ? [1n, 0n] : [0n, dev]),
  ];
}

/** Whether both name the same release under PEP 440. What is no version equals nothing. */
export function sameVersion(a: string, b: string): boolean {
  const canonical = canonicalVersion(a);
  return canonical !== undefined && canonical === canonicalVersion(b);
}
