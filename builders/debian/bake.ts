import { McpBuildError } from '../../errors/index.ts';
import { type FileMember, type Member, readDeb } from '../archive/index.ts';
import type { Entry } from '../entry.ts';
import type { DebArtifact, LayerLock, Open } from '../lock.ts';
import { architectureOf, type Platform } from '../platform.ts';
import { TRIPLETS } from './alternatives.ts';
import { parseStanza } from './control.ts';
import { sonameOf } from './elf.ts';
import { ldCache } from './ld-cache.ts';
import { isCertificate, isSelected, isWithin } from './selection.ts';
import { certificateBundle, isReplaced, systemEntries, textFile } from './system.ts';
import { merged, mergedTarget, Tree } from './tree.ts';

/** In bytes: a library or certificate is held in memory while it is looked at. libcrypto has 7 MB. */
const HELD_LIMIT = 128 * 1024 * 1024;

/** What is known of the root so far. */
export interface State {
  readonly platform: Platform;
  /** The names of all packages of the root. */
  readonly packages: ReadonlySet<string>;
  /** Folders that are left out beside what is left out everywhere. */
  readonly dropped: readonly string[];
  readonly tree: Tree;
  readonly certificates: Map<string, string>;
  /** Name by which programs ask for it → path of the file. */
  readonly libraries: Map<string, string>;
}

/**
 * Transform `debian/1`: the files of all packages as one minimal root, in the order of the lock and of each package, then what
 * maintainer scripts would have made. None of those runs. No set-uid bits, no devices, everything owned by root but `/home/nonroot`.
 * @throws McpBuildError `manifest-mismatch`, `file-conflict`, `archive-unsafe`, `archive-invalid`; and what `open` throws
 */
export async function* bakeBase(layer: LayerLock, platform: Platform, open: Open): AsyncGenerator<Entry> {
  const packages = new Set(layer.files.map((file) => file.name));
  const state = emptyRoot(platform, packages);
  yield* bakeInto(state, layer, open);
  yield cacheEntry(state);
}

export function emptyRoot(platform: Platform, packages: ReadonlySet<string>): State {
  return { platform, packages, dropped: [], tree: new Tree(), certificates: new Map(), libraries: new Map() };
}

/** The files of a base into a root that is still empty, all but the loader's cache. */
export async function* bakeInto(state: State, layer: LayerLock, open: Open): AsyncGenerator<Entry> {
  for (const file of debsOf(layer)) yield* bakePackage(file, state, open);
  const generated = [...systemEntries(state.packages)];
  if (state.certificates.size > 0) generated.push(certificateBundle(state.certificates));
  for (const entry of generated) yield* placed(entry, 'mcp-build', state.tree);
}

/** @throws McpBuildError `manifest-mismatch` where a lock has something else among them */
export function debsOf(layer: LayerLock): readonly DebArtifact[] {
  return layer.files.map((file) => {
    if (file.kind === 'deb') return file;
    throw mismatch(file.name, `is locked as ${file.kind} in a layer of Debian packages`);
  });
}

export async function* bakePackage(file: DebArtifact, state: State, open: Open): AsyncGenerator<Entry> {
  const deb = await readDeb(open(file), { name: file.file });
  try {
    checkControl(deb.control.control, file, state.platform);
    for await (const member of deb.data) yield* bakeMember(member, file.name, state);
  } finally {
    await deb.data.return(undefined);
  }
  // Where scanners look for the packages of an image without dpkg.
  const folder = 'var/lib/dpkg/status.d';
  const sums = md5sumsOf(deb.control.md5sums, state.tree);
  yield* placed(textFile(`${folder}/${file.name}`, `${deb.control.control.trimEnd()}\n`), file.name, state.tree);
  yield* placed(textFile(`${folder}/${file.name}.md5sums`, sums), file.name, state.tree);
}

async function* bakeMember(member: Member, owner: string, state: State): AsyncGenerator<Entry> {
  // The links of the merge themselves, which base-files has.
  const path = member.type === 'symlink' && !member.path.includes('/') ? member.path : merged(member.path);
  if (member.type === 'file' && isCertificate(owner, path)) {
    state.certificates.set(path, Buffer.from(await held(member, owner)).toString('utf8'));
    return;
  }
  if (path === '' || isReplaced(path) || !isSelected(owner, path, state.packages)) return;
  if (state.dropped.some((folder) => isWithin(path, folder))) return;
  switch (member.type) {
    case 'directory':
      yield* state.tree.folder(path, owner);
      return;
    case 'symlink':
      yield* placed(
        { type: 'symlink', path, target: mergedTarget(member.path, path, member.target) },
        owner,
        state.tree,
      );
      return;
    case 'hardlink':
      yield* placed({ type: 'hardlink', path, target: merged(member.target) }, owner, state.tree);
      return;
    case 'file': {
      const content = isLibrary(path, state.platform) ? await held(member, owner) : member.content;
      if (content instanceof Uint8Array) noteLibrary(path, content, state);
      const mode = member.mode & 0o111 ? 0o755 : 0o644;
      yield* placed({ type: 'file', path, mode, size: member.size, content }, owner, state.tree);
      return;
    }
  }
}

export function* placed(entry: Entry, owner: string, tree: Tree): Generator<Entry> {
  if (entry.type === 'symlink' && tree.isBelow(entry.path, entry.target)) return;
  if (entry.type !== 'directory') {
    yield* entry.type === 'hardlink' ? tree.link(entry.path, entry.target, owner) : tree.place(entry, owner);
    yield entry;
    return;
  }
  for (const folder of tree.folder(entry.path, owner)) yield folder.path === entry.path ? entry : folder;
}

/** `/etc/ld.so.cache` for all libraries so far. A layer above another replaces it, so it claims no path. */
export function cacheEntry(state: State): Entry {
  const content = cacheOf(state);
  return { type: 'file', path: 'etc/ld.so.cache', size: content.length, content };
}

/** The loader's own folders, as `/etc/ld.so.conf.d` of libc6 and its default name them. */
function isLibrary(path: string, platform: Platform): boolean {
  const name = /^usr\/lib\/(?:([^/]+)\/)?((?:lib|ld-)[^/]*\.so(?:\.[^/]*)?)$/.exec(path);
  return name !== null && (name[1] === undefined || name[1] === TRIPLETS[platform]);
}

function noteLibrary(path: string, content: Uint8Array, { platform, libraries }: State): void {
  if (!isLibrary(path, platform)) return;
  const soname = sonameOf(content, platform);
  if (soname === undefined) return;
  const folder = path.slice(0, path.lastIndexOf('/'));
  const known = libraries.get(soname);
  // The platform's own folder comes before /usr/lib.
  if (!known || folder.length > known.lastIndexOf('/')) libraries.set(soname, path);
}

/** By the name that programs ask for, which packages ship as a link beside the file, like ldconfig does it. */
function cacheOf({ platform, libraries, tree }: State): Uint8Array {
  const found = [...libraries].map(([soname, path]) => {
    const link = `${path.slice(0, path.lastIndexOf('/'))}/${soname}`;
    return { soname, path: `/${tree.has(link) ? link : path}` };
  });
  return ldCache(found, platform);
}

async function held(member: FileMember, owner: string): Promise<Uint8Array> {
  if (member.content instanceof Uint8Array) return member.content;
  if (member.size > HELD_LIMIT) {
    throw new McpBuildError({
      code: 'archive-unsafe',
      message: `Package ${owner} has a library or certificate of ${member.size} bytes: ${member.path}`,
      input: owner,
      fix: 'Leave out this package.',
    });
  }
  const parts: Uint8Array[] = [];
  for await (const part of member.content) parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

/** An index that is signed says which bytes a package has; that these are the package of that name, its own control file says. */
function checkControl(text: string, file: DebArtifact, platform: Platform): void {
  const control = parseStanza(text.trimEnd(), `Control file of ${file.file}`);
  for (const [field, locked] of [
    ['package', file.name],
    ['version', file.version],
    ['architecture', file.architecture],
  ] as const) {
    const found = control.get(field);
    if (found !== locked)
      throw mismatch(file.name, `is ${field} "${found ?? ''}" by its control file and "${locked}" by the lock`);
  }
  if (file.architecture !== 'all' && file.architecture !== architectureOf(platform)) {
    throw mismatch(file.name, `is for ${file.architecture}, not for ${platform}`);
  }
}

/** Only of the files that are in the image, under the names they have there. */
function md5sumsOf(text: string, tree: Tree): string {
  let kept = '';
  for (const line of text.split('\n')) {
    const match = /^([0-9a-f]{32}) [ *](.+)$/.exec(line);
    const path = match && merged(match[2]!);
    if (path && tree.has(path)) kept += `${match[1]}  ${path}\n`;
  }
  return kept;
}

function mismatch(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'manifest-mismatch',
    message: `Base package ${input} ${reason}`,
    input,
    fix: 'Restore the lock from version control, or make it again with `mcp-build lock`.',
  });
}
