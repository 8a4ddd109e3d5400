import semver from 'semver';
import { McpBuildError } from '../../errors/index.ts';

// Older packages have capitals; nothing else that validate-npm-package-name ever allowed is left out but what a path or URL reads otherwise.
const SEGMENT = '[A-Za-z0-9~-][A-Za-z0-9._~-]*|_[A-Za-z0-9._~-]+';
const NAME = new RegExp(`^(?:@(?:${SEGMENT})/)?(?:${SEGMENT})$`);
const RESERVED = new Set(['node_modules', 'favicon.ico']);

export function isPackageName(name: unknown): name is string {
  return (
    typeof name === 'string' && name.length <= 214 && NAME.test(name) && !name.includes('..') && !RESERVED.has(name)
  );
}

export function isVersion(version: unknown): version is string {
  return (
    typeof version === 'string' &&
    version.length <= 256 &&
    /^[0-9A-Za-z.+-]+$/.test(version) &&
    semver.valid(version) !== null
  );
}

/** Whether a path is a chain of `node_modules/<name>`: the only places npm puts a package, and the only ones anything is written to. */
export function isLocation(location: string): boolean {
  const parts = location.split('/');
  for (let at = 0; at < parts.length; ) {
    if (parts[at] !== 'node_modules') return false;
    const scoped = parts[at + 1]?.startsWith('@') ?? false;
    const name = parts.slice(at + 1, at + (scoped ? 3 : 2)).join('/');
    if (!isPackageName(name)) return false;
    at += scoped ? 3 : 2;
  }
  return true;
}

/** `zod-4.1.0.tgz`: what every npm registry calls the file, whatever else its URL holds. */
export function tarballName(name: string, version: string): string {
  return `${name.slice(name.indexOf('/') + 1)}-${version}.tgz`;
}

/** By bytes: the same on every machine and in every language. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A registry's free text for a terminal: one line, no control characters, not endless. */
export function oneLine(text: string): string {
  return text
    .replace(/[\s\p{C}]+/gu, ' ')
    .slice(0, 300)
    .trim();
}

export function hostileName(name: string, from: string): McpBuildError {
  return new McpBuildError({
    code: 'name-unsafe',
    message: `"${oneLine(name)}" (from ${oneLine(from)}) can't be the name, version or place of a package`,
    input: oneLine(name),
    fix: 'The registry or the lock is broken or hostile: do not use it.',
    exit: 4,
  });
}
