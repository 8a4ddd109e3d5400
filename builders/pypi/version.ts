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
  const found = version.length <= 200 ? VERSION.exec(version.trim().toLowerCase())?.groups : undefined;
  if (!found) return undefined;
  const number = (text: string | undefined) => String(BigInt(text ?? '0'));
  const release = (found.release ?? '0').split('.').map(number);
  while (release.length > 1 && release.at(-1) === '0') release.pop();
  return [
    found.epoch && number(found.epoch) !== '0' ? `${number(found.epoch)}!` : '',
    release.join('.'),
    found.preL ? `${PRE[found.preL]}${number(found.preN)}` : '',
    found.post || found.postN1 ? `.post${number(found.postN1 ?? found.postN2)}` : '',
    found.dev ? `.dev${number(found.devN)}` : '',
    found.local
      ? `+${found.local
          .split(/[-_.]/)
          .map((part) => (/^[0-9]+$/.test(part) ? number(part) : part))
          .join('.')}`
      : '',
  ].join('');
}

/** Whether both name the same release under PEP 440. What is no version equals nothing. */
export function sameVersion(a: string, b: string): boolean {
  const canonical = canonicalVersion(a);
  return canonical !== undefined && canonical === canonicalVersion(b);
}
