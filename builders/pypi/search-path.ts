import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

/**
 * Every executable of one of these names on the search path, folder by folder. Relative folders are skipped: they would mean
 * whatever folder we happen to be started in. Shims of version managers come last: each call of one costs seconds.
 */
export async function findPrograms(names: readonly string[], path: string | undefined): Promise<readonly string[]> {
  const folders = [...new Set((path ?? '').split(':').filter((folder) => isAbsolute(folder)))];
  const slow = folders.filter((folder) => /\/shims\/?$/.test(folder));
  const found: string[] = [];
  for (const folder of [...folders.filter((one) => !slow.includes(one)), ...slow]) {
    for (const name of names) {
      const candidate = join(folder, name);
      if (
        await access(candidate, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        found.push(candidate);
    }
  }
  return found;
}
