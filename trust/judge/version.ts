import semver from 'semver';

/**
 * Orders two versions of one package: negative where `a` is the older one; undefined where one of them is no version, which nobody may take
 * for newer.
 */
export function compareVersions(ecosystem: 'npm' | 'pypi', a: string, b: string): number | undefined {
  if (ecosystem === 'npm') return semver.valid(a) && semver.valid(b) ? semver.compare(a, b) : undefined;
  const [left, right] = [pep440(a), pep440(b)];
  return left && right ? compareKeys(left, right) : undefined;
}

const PEP440 =
  /^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$/;

type Part = number | string;
type Key = readonly (readonly Part[])[];

/** A key that sorts as PEP 440, "Summary of permitted suffixes and relative ordering", asks. */
function pep440(version: string): Key | undefined {
  if (version.length > 200) return undefined;
  const match = PEP440.exec(version.trim().toLowerCase());
  if (!match) return undefined;
  const [, epoch, release = '', pre, preNumber, implicitPost, post, postNumber, dev, devNumber, local] = match;
  const numbers = release.split('.').map(Number);
  while (numbers.length > 1 && numbers.at(-1) === 0) numbers.pop();
  const hasPost = implicitPost !== undefined || post !== undefined;
  // Before any pre-release where only `.dev` follows; after all of them where there is none.
  const preKey: Part[] = pre ? [phase(pre), Number(preNumber || 0)] : dev && !hasPost ? [-1] : [9];
  return [
    [Number(epoch ?? 0)],
    numbers,
    preKey,
    [hasPost ? Number(implicitPost ?? (postNumber || 0)) : -1],
    [dev ? Number(devNumber || 0) : Number.POSITIVE_INFINITY],
    local ? local.split(/[-_.]/).map((part) => (/^\d+$/.test(part) ? Number(part) : part)) : [],
  ];
}

function phase(letter: string): number {
  return letter.startsWith('a') ? 0 : letter.startsWith('b') ? 1 : 2;
}

function compareKeys(a: Key, b: Key): number {
  for (const [at, left] of a.entries()) {
    const right = b[at] ?? [];
    for (let i = 0; i < Math.max(left.length, right.length); i++) {
      const order = comparePart(left[i], right[i]);
      if (order !== 0) return order;
    }
  }
  return 0;
}

/** Absent sorts first; within local versions, numbers sort after words. */
function comparePart(a: Part | undefined, b: Part | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return typeof b === 'number' && b === 0 ? 0 : -1;
  if (b === undefined) return typeof a === 'number' && a === 0 ? 0 : 1;
  if (typeof a !== typeof b) return typeof a === 'number' ? 1 : -1;
  return a < b ? -1 : 1;
}
