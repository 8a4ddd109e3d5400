import { stat } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import type { Home } from '../home.ts';
import { findManifest } from '../manifest/index.ts';
import { usedBy, usedServers } from '../usage.ts';

/**
 * Folders of this machine that servers could write to: those that any was given so when it was started from this state, by whatever command, and those
 * that a workspace's manifest grants. What is within another of them isn't named again, nor what isn't there.
 */
export async function writtenVolumes(home: Home, folder: string | undefined): Promise<readonly string[]> {
  const given = await Promise.all((await usedServers(home)).map((name) => usedBy(home, name, new Date(0))));
  // One that can't be read is kept as it is, and grants nothing.
  const manifest = folder === undefined ? undefined : await findManifest(folder).catch(() => undefined);
  const volumes = [
    ...given.flatMap(({ starts }) => starts.flatMap(({ permissions }) => permissions.volumes)),
    ...(manifest?.servers ?? []).flatMap(({ permissions }) => permissions.volumes),
  ];
  const paths = [...new Set(volumes.filter(({ mode }) => mode === 'rw').map(({ path }) => resolve(path)))].sort();
  const there = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
  const present = paths.filter((_, at) => there[at] !== undefined);
  return present.filter((path) => !present.some((other) => other !== path && isWithin(path, other)));
}

/** Those of which nothing that is named is the whole. */
export function notWithin(volumes: readonly string[], named: readonly string[]): readonly string[] {
  return volumes.filter((volume) => !named.some((path) => isWithin(volume, path)));
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
