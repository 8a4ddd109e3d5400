import { posix } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import type { DirectoryEntry, FileEntry, SymlinkEntry } from '../entry.ts';

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

/**
 * The one root that all packages share: no two of them own the same file, and nothing lies below a link. A tree on top of another is a
 * layer of its own: it names its folders again, and owns nothing that the one below owns.
 */
export class Tree {
  readonly #kinds = new Map<string, 'directory' | Kind>();
  readonly #targets = new Map<string, string>();
  readonly #below: Tree | undefined;

  constructor(below?: Tree) {
    this.#below = below;
  }

  /** Claims a path for a file or link, and gives the folders above it that aren't there yet. @throws McpBuildError `file-conflict` */
  place(entry: FileEntry | SymlinkEntry, owner: string): DirectoryEntry[] {
    if (entry.type === 'symlink') this.#targets.set(entry.path, entry.target);
    return this.#claim(entry.path, entry.type, owner);
  }

  /** Claims a path for a second name of a file that is there. @throws McpBuildError `file-conflict` */
  link(path: string, target: string, owner: string): DirectoryEntry[] {
    const kind = this.#kinds.get(target);
    if (kind !== 'file' && kind !== 'hardlink')
      throw conflict(path, owner, `is a hard link to ${target}, which is left out`);
    return this.#claim(path, 'hardlink', owner);
  }

  /** Gives a folder and those above it, as far as they aren't there yet. @throws McpBuildError `file-conflict` */
  folder(path: string, owner: string): DirectoryEntry[] {
    return this.#parents(`${path}/.`, owner);
  }

  has(path: string): boolean {
    return this.#kindOf(path) !== undefined;
  }

  /** Whether the tree below has this very link already: one that was made by hand there, and that a package brings itself. */
  isBelow(path: string, target: string): boolean {
    return this.#below !== undefined && this.#below.#targets.get(path) === target;
  }

  #kindOf(path: string): 'directory' | Kind | undefined {
    const below = this.#below;
    return this.#kinds.get(path) ?? (below ? below.#kindOf(path) : undefined);
  }

  #claim(path: string, kind: Kind, owner: string): DirectoryEntry[] {
    const parents = this.#parents(path, owner);
    if (this.has(path)) throw conflict(path, owner, 'is there already');
    this.#kinds.set(path, kind);
    return parents;
  }

  #parents(path: string, owner: string): DirectoryEntry[] {
    const missing: DirectoryEntry[] = [];
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      const parent = path.slice(0, slash);
      if (this.#kinds.get(parent) === 'directory') continue;
      const kind = this.#kindOf(parent);
      // A file written through a link would end up where the package didn't say.
      if (kind !== undefined && kind !== 'directory')
        throw conflict(path, owner, `lies below ${parent}, which is a ${kind}`);
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
