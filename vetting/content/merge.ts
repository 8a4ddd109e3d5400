import type { Contents, Place } from './contents.ts';

/** The files of one release (a wheel for each platform) as one: everything that any of them holds. */
export function merge(read: readonly Contents[]): Contents {
  const [first, ...rest] = read;
  if (!first) throw new Error('nothing to merge');
  return rest.reduce((all, one) => both(all, one), first);
}

function both(all: Contents, one: Contents): Contents {
  return {
    ...one,
    ...all,
    files: Math.max(all.files, one.files),
    bytes: Math.max(all.bytes, one.bytes),
    requires: names(all.requires, one.requires),
    hooks: [
      ...new Map([...all.hooks, ...one.hooks].map((hook) => [`${hook.path}\0${hook.lines.join('\n')}`, hook])).values(),
    ],
    native: names(all.native, one.native),
    minified: names(all.minified, one.minified),
    obfuscated: places(all.obfuscated, one.obfuscated),
    unicode: places(all.unicode, one.unicode),
    credentials: places(all.credentials, one.credentials),
    downloads: places(all.downloads, one.downloads),
    secretFiles: places(all.secretFiles, one.secretFiles),
    hosts: names(all.hosts, one.hosts),
    environment: names(all.environment, one.environment),
    processes: places(all.processes, one.processes),
    dynamic: places(all.dynamic, one.dynamic),
  };
}

function names(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])].sort();
}

function places(a: readonly Place[], b: readonly Place[]): Place[] {
  const key = ({ path, line, what }: Place) => `${path}\0${line}\0${what}`;
  return [...new Map([...a, ...b].map((place) => [key(place), place])).values()];
}
