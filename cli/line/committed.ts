import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Of folders that are looked into. */
const MOST = 1000;

/**
 * Where a workspace may have files that no index has, for whoever has just cloned it: what its manifest names, and the folders of its locks. A file
 * is only ever taken by its hash, so it is no matter who wrote the workspace.
 */
export async function committedPlaces(workspace: string | undefined): Promise<readonly string[]> {
  if (workspace === undefined) return [];
  const { findManifest } = await import('./manifest/index.ts');
  // Whoever needs the manifest itself is told what is wrong with it.
  const manifest = await findManifest(workspace).catch(() => undefined);
  const named = (manifest?.servers ?? []).flatMap(({ file }) => (file === undefined ? [] : [file]));
  const locks = join(workspace, 'lockfiles');
  const folders = await readdir(locks).catch(() => []);
  return [...named, ...folders.slice(0, MOST).map((name) => join(locks, name))];
}
