import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Editors write in several steps; in milliseconds. */
const QUIET = 300;

/**
 * Tells when one of the files may have changed, whether it was written or another was put in its place.
 * @returns what ends it
 */
export function watchFiles(paths: readonly string[], changed: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const watchers: FSWatcher[] = [];
  for (const folder of new Set(paths.map((path) => dirname(path)))) {
    const names = new Set(paths.filter((path) => dirname(path) === folder).map((path) => basename(path)));
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        // Mounted configurations are links to a folder that is replaced as a whole.
        if (name !== null && !names.has(name) && !name.startsWith('..')) return;
        clearTimeout(timer);
        timer = setTimeout(changed, QUIET);
      });
      watcher.on('error', () => watcher.close());
      watchers.push(watcher);
    } catch {
      // A folder that can't be watched: SIGHUP still counts.
    }
  }
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}
