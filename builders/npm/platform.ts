import { architectureOf, type Platform } from '../platform.ts';

/** npm's rule for `os`, `cpu` and `libc` (package.json): a list of what it runs on, or of what it doesn't, with `!`. */
export function platformFits(manifest: Readonly<Record<string, unknown>>, platform: Platform): boolean {
  return (
    listFits(manifest.os, 'linux') &&
    listFits(manifest.cpu, architectureOf(platform) === 'amd64' ? 'x64' : 'arm64') &&
    listFits(manifest.libc, 'glibc')
  );
}

function listFits(list: unknown, value: string): boolean {
  const entries = (Array.isArray(list) ? list : [list]).filter((entry) => typeof entry === 'string');
  if (entries.length === 0 || (entries.length === 1 && entries[0] === 'any')) return true;
  if (entries.includes(`!${value}`)) return false;
  const wanted = entries.filter((entry) => !entry.startsWith('!'));
  return wanted.length === 0 || wanted.includes(value);
}
