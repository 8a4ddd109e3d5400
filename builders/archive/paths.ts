import { beyond, type Subject, unsafe } from './limits.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const SEGMENT_BYTES = 255;

/** Bytes of a name as text. A name that isn't UTF-8 is refused: each tool would make something else of it. */
export function nameOf(bytes: Uint8Array, subject: Subject): string {
  // Nearly all names are ASCII, for which this is several times faster than the decoder.
  let ascii = true;
  for (const byte of bytes) {
    if (byte >= 0x80) {
      ascii = false;
      break;
    }
  }
  if (ascii) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  try {
    return utf8.decode(bytes);
  } catch {
    throw unsafe(subject, 'is not a UTF-8 name', Buffer.from(bytes).toString('latin1'));
  }
}

/**
 * A member's name as a relative path: no empty and no `.` segments, no trailing slash, `''` for the archive's root.
 * @throws McpBuildError `archive-unsafe` for what could leave the root or be read in two ways
 */
export function pathOf(name: string, subject: Subject, backslash: 'refused' | 'kept' = 'refused'): string {
  if (name.length > subject.limits.pathBytes || Buffer.byteLength(name) > subject.limits.pathBytes) {
    throw beyond(subject, 'pathBytes', Buffer.byteLength(name), name);
  }
  if (name === '') throw unsafe(subject, 'has a member without a name');
  if (name.includes('\0')) throw unsafe(subject, 'has a NUL in its name', name);
  if (name.startsWith('/')) throw unsafe(subject, 'is an absolute path', name);
  // A separator to Windows and to the tools that were written there.
  if (backslash === 'refused' && name.includes('\\')) throw unsafe(subject, 'has a backslash in its name', name);
  const segments = name.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.length > subject.limits.depth) throw beyond(subject, 'depth', segments.length, name);
  for (const segment of segments) {
    if (segment === '..') throw unsafe(subject, 'leads out of the archive', name);
    if (segment.length > 63 && Buffer.byteLength(segment) > SEGMENT_BYTES) {
      throw unsafe(subject, `has a name of more than ${SEGMENT_BYTES} bytes, which no file system takes`, name);
    }
  }
  return segments.join('/');
}

/** A symlink's target as it stands, after a check that it doesn't lead above the root. `absolute` ones are for system packages only. */
export function targetOf(
  path: string,
  target: string,
  subject: Subject,
  absolute: 'refused' | 'kept' = 'refused',
): string {
  if (target === '' || target.includes('\0')) throw unsafe(subject, 'is a symlink without a usable target', path);
  if (Buffer.byteLength(target) > subject.limits.pathBytes) {
    throw beyond(subject, 'pathBytes', Buffer.byteLength(target), path);
  }
  if (target.startsWith('/')) {
    if (absolute === 'refused') throw unsafe(subject, `is a symlink to an absolute path`, path);
  }
  if (leavesRoot(path, target)) throw unsafe(subject, 'is a symlink that leads out of the archive', path);
  return target;
}

/** Whether a symlink at `path` with this target goes above the root, read segment by segment. */
export function leavesRoot(path: string, target: string): boolean {
  let depth = target.startsWith('/') ? 0 : path.split('/').length - 1;
  for (const segment of target.split('/')) {
    if (segment === '' || segment === '.') continue;
    depth += segment === '..' ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

export type Kind = 'file' | 'directory' | 'symlink';
export type Placed = 'new' | 'again' | 'late' | 'duplicate' | 'over-directory' | 'under-file' | 'alias';

/** The names of one tree, so that no two members are the same, or need the same name to be a folder and not a folder. */
export class Tree {
  readonly #kinds = new Map<string, Kind | 'parent'>();
  readonly #aliases = new Set<string>();

  /** Names in it, parents that nothing names included. */
  get size(): number {
    return this.#kinds.size;
  }

  kindOf(path: string): Kind | undefined {
    const kind = this.#kinds.get(path);
    return kind === 'parent' ? 'directory' : kind;
  }

  /**
   * `new`: the first of this name. `again`: a directory that was named before. `late`: one that so far was only the parent of
   * something. Anything else is a contradiction.
   * @param onParent is told of each parent that nothing has named so far, outermost first
   */
  place(path: string, kind: Kind, onParent?: (path: string) => void): Placed {
    const before = this.#kinds.get(path);
    if (before !== undefined) {
      if (kind === 'directory' && before === 'directory') return 'again';
      if (kind === 'directory' && before === 'parent') {
        this.#kinds.set(path, 'directory');
        return 'late';
      }
      return before === 'parent' || before === 'directory' ? 'over-directory' : 'duplicate';
    }
    const parent = this.#parentsOf(path, onParent);
    if (parent !== undefined) return parent;
    if (!this.#unaliased(path)) return 'alias';
    this.#kinds.set(path, kind);
    return 'new';
  }

  #parentsOf(path: string, onParent?: (path: string) => void): Placed | undefined {
    const missing: string[] = [];
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      const kind = this.#kinds.get(parent);
      if (kind === 'file' || kind === 'symlink') return 'under-file';
      if (kind !== undefined) break;
      missing.push(parent);
    }
    for (const parent of missing.reverse()) {
      if (!this.#unaliased(parent)) return 'alias';
      this.#kinds.set(parent, 'parent');
      onParent?.(parent);
    }
    return undefined;
  }

  /** Two spellings of one Unicode name are two files here and one on other systems. */
  #unaliased(path: string): boolean {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is all of ASCII
    if (/^[\x00-\x7f]*$/.test(path)) return true;
    const composed = path.normalize('NFC');
    if (this.#aliases.has(composed)) return false;
    this.#aliases.add(composed);
    return true;
  }
}

const CONTRADICTIONS: Readonly<Record<Exclude<Placed, 'new' | 'again' | 'late'>, string>> = {
  duplicate: 'is there twice',
  'over-directory': 'is a file and a folder at once',
  'under-file': 'lies below something that is no folder',
  alias: 'is there twice, in two spellings of the same characters',
};

/** Places a member of an archive; false for a directory that was named before. @throws McpBuildError `archive-unsafe` */
export function placeMember(tree: Tree, path: string, kind: Kind, subject: Subject): boolean {
  const placed = tree.place(path, kind);
  // Parents count too: a few deep paths would otherwise cost the memory of many members.
  if (tree.size > subject.limits.files) throw beyond(subject, 'files', tree.size, path);
  if (placed === 'new' || placed === 'late') return true;
  if (placed === 'again') return false;
  throw unsafe(subject, CONTRADICTIONS[placed], path);
}
