import { posix } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import type { DirectoryEntry } from '../entry.ts';

const MERGED = /^(?:bin|sbin|lib|lib32|lib64|libx32)(?=\/|$)/;

/** The only folders that aren't 0755. */
const MODES: Readonly<Record<string, number>> = { root: 0o700, tmp: 0o1777, 'var/tmp': 0o1777 };

/** Where a path of a package is on a system with `/bin`, `/lib` and their like merged into `/usr`. */
export function merged(path: string): string {
  return MERGED.test(path) ? `usr/${path}` : path;
}

/** Where a symlink must point once it was moved to `path`. @param from where its package has it */
export function mergedTarget(from: string, path: string, target: string): string {
  if (from === path) return target;
  if (target.startsWith('/')) return target;
  const absolute = posix.normalize(posix.join(posix.dirname(from), target));
  return posix.relative(posix.dirname(path), merged(absolute));
}

type Kind = 'file' | 'symlink' | 'hardlink';

/** The one root that the packages of a base share: no two of them own the same file, and nothing lies below a link. */
export class Tree {
  readonly #kinds = new Map<string, 'directory' | Kind>();

  /** Claims a path for a file or link, and gives the folders above it that aren't there yet. @throws McpBuildError `file-conflict` */
  place(path: string, kind: Kind, owner: string): DirectoryEntry[] {
    const parents = this.#parents(path, owner);
    if (this.#kinds.has(path)) throw conflict(path, owner, 'is there already');
    this.#kinds.set(path, kind);
    return parents;
  }

  /** Claims a path for a second name of a file that is there. @throws McpBuildError `file-conflict` */
  link(path: string, target: string, owner: string): DirectoryEntry[] {
    const kind = this.#kinds.get(target);
    if (kind !== 'file' && kind !== 'hardlink')
      throw conflict(path, owner, `is a hard link to ${target}, which is left out`);
    return this.place(path, 'hardlink', owner);
  }

  /** Gives a folder and those above it, as far as they aren't there yet. @throws McpBuildError `file-conflict` */
  folder(path: string, owner: string): DirectoryEntry[] {
    return this.#parents(`${path}/.`, owner);
  }

  has(path: string): boolean {
    return this.#kinds.has(path);
  }

  #parents(path: string, owner: string): DirectoryEntry[] {
    const missing: DirectoryEntry[] = [];
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      const parent = path.slice(0, slash);
      const kind = this.#kinds.get(parent);
      if (kind === 'directory') continue;
      // A file written through a link would end up where the package didn't say.
      if (kind !== undefined) throw conflict(path, owner, `lies below ${parent}, which is a ${kind}`);
      this.#kinds.set(parent, 'directory');
      missing.push({ type: 'directory', path: parent, mode: MODES[parent] ?? 0o755 });
    }
    return missing;
  }
}

function conflict(path: string, owner: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'file-conflict',
    message: `Package ${owner} has /${path.replace(/\/\.$/, '')}, which ${reason}`,
    input: owner,
    fix: 'Leave out one of the packages.',
  });
}
