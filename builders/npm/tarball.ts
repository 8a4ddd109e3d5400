import { createHash } from 'node:crypto';
import { McpBuildError } from '../../errors/index.ts';
import { readTarGz } from '../archive/index.ts';
import { isBundle, MANIFEST_LIMIT, matchManifest, type PackageManifest, parseManifest } from './manifest.ts';
import { isLocation, oneLine } from './names.ts';

/** One file as npm would unpack it. */
export interface PackageFile {
  /** Relative to the package's folder. */
  readonly path: string;
  readonly executable: boolean;
  /** In bytes. */
  readonly size: number;
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
}

/** A package's tarball, read through once. */
export interface PackageContents {
  readonly manifest: PackageManifest;
  /** Manifests of the packages it bundles, by their folder within it. */
  readonly bundled: ReadonlyMap<string, PackageManifest>;
  readonly paths: ReadonlySet<string>;
  /** In the tarball's own order, which its hash fixes. Can be asked for again. */
  files(): AsyncIterable<PackageFile> | Iterable<PackageFile>;
}

export interface Tarball {
  readonly name: string;
  readonly version: string;
  /** Its verified bytes; opened a second time where the package is too large to keep. */
  open(): AsyncIterable<Uint8Array>;
}

/** Unpacked bytes of a package that are kept; a larger one is read twice, since what its package.json says may come after the files it says it of. */
const KEPT = 16 * 1024 * 1024;

/**
 * Reads a package and checks that it is the one its lock names. A file may be there twice if both are the same bytes (packers list
 * `./main.js` and `main.js`): readers that take the first and those that take the last then agree.
 * @throws McpBuildError `manifest-mismatch`, `archive-unsafe`, `archive-invalid`; whatever `open` throws
 */
export async function readPackage(tarball: Tarball): Promise<PackageContents> {
  const executable = new Map<string, boolean>();
  const manifests = new Map<string, PackageManifest>();
  const repeats = new Set<string>();
  let kept: Map<string, Kept> | undefined = new Map();
  let size = 0;
  for await (const file of unpack(tarball)) {
    const { path } = file;
    const folder = manifestFolder(path);
    const again = executable.has(path);
    executable.set(path, file.executable);
    size += file.size;
    if (size > KEPT) kept = undefined;
    const whole = kept || (folder !== undefined && file.size <= MANIFEST_LIMIT) ? await wholeOf(file) : undefined;
    if (folder !== undefined && whole && !again) {
      const manifest = parseManifest(whole);
      if (manifest) manifests.set(folder, manifest);
    }
    const first = kept?.get(path);
    if (!again && whole) kept?.set(path, { path, size: file.size, content: whole });
    else if (again && !(first && whole && Buffer.compare(first.content, whole) === 0)) {
      if (first) throw contradictory(tarball, path);
      repeats.add(path);
    }
  }
  await compareRepeats(tarball, repeats);
  const manifest = matchManifest(manifests.get(''), tarball);
  manifests.delete('');
  const names = unpackedNames(executable.keys());
  const restore = (file: PackageFile): PackageFile | undefined => {
    const path = names.get(file.path);
    return path === undefined ? undefined : { ...file, path, executable: executable.get(file.path) ?? false };
  };
  return {
    manifest,
    bundled: isBundle(manifest) ? manifests : new Map(),
    paths: new Set(names.values()),
    files: () => (kept ? fromMemory(kept.values(), restore) : fromTarball(tarball, restore)),
  };
}

type Kept = Pick<PackageFile, 'path' | 'size'> & { readonly content: Uint8Array };
type Restore = (file: PackageFile) => PackageFile | undefined;

function* fromMemory(files: Iterable<Kept>, restore: Restore): Generator<PackageFile> {
  for (const kept of files) {
    const file = restore({ ...kept, executable: false });
    if (file) yield file;
  }
}

async function* fromTarball(tarball: Tarball, restore: Restore): AsyncGenerator<PackageFile> {
  const given = new Set<string>();
  for await (const unpacked of unpack(tarball)) {
    const file = given.has(unpacked.path) ? undefined : restore(unpacked);
    given.add(unpacked.path);
    if (file) yield file;
  }
}

/** npm's own rules: the first path segment goes, links are dropped. */
async function* unpack(tarball: Tarball): AsyncGenerator<PackageFile> {
  const options = { name: `${tarball.name}@${tarball.version}`, repeats: 'given' } as const;
  for await (const member of readTarGz(tarball.open(), options)) {
    // Links are never unpacked, so nothing is ever written or read through one.
    if (member.type !== 'file') continue;
    const slash = member.path.indexOf('/');
    if (slash < 0) throw unsafe(tarball, `holds ${oneLine(member.path)} outside of its folder`);
    yield {
      path: member.path.slice(slash + 1),
      executable: (member.mode & 0o111) !== 0,
      size: member.size,
      content: member.content,
    };
  }
}

/** Files of a package too large to keep are compared by their hashes, in another reading. */
async function compareRepeats(tarball: Tarball, repeats: ReadonlySet<string>): Promise<void> {
  if (repeats.size === 0) return;
  const hashes = new Map<string, string>();
  for await (const { path, content } of unpack(tarball)) {
    if (!repeats.has(path)) continue;
    const hash = createHash('sha256');
    for await (const chunk of content instanceof Uint8Array ? [content] : content) hash.update(chunk);
    const found = hash.digest('hex');
    if ((hashes.get(path) ?? found) !== found) throw contradictory(tarball, path);
    hashes.set(path, found);
  }
}

/** `''` for the package's own package.json, `node_modules/a` for one it bundles, undefined for other files. */
function manifestFolder(path: string): string | undefined {
  if (path === 'package.json') return '';
  if (!path.startsWith('node_modules/') || !path.endsWith('/package.json')) return undefined;
  const folder = path.slice(0, -'/package.json'.length);
  return isLocation(folder) ? folder : undefined;
}

/** Name in the tarball to name on disk: npm unpacks a `.gitignore` as `.npmignore`, or not at all where there is one. */
function unpackedNames(paths: Iterable<string>): ReadonlyMap<string, string> {
  const all = new Set(paths);
  const names = new Map<string, string>();
  for (const path of all) {
    const ignore = path === '.gitignore' || path.endsWith('/.gitignore');
    const name = ignore ? path.replace(/\.gitignore$/, '.npmignore') : path;
    if (!ignore || !all.has(name)) names.set(path, name);
  }
  return names;
}

/** Views of what was unpacked, which nobody writes to again: what is kept alive by them is what KEPT bounds. */
async function wholeOf(file: PackageFile): Promise<Uint8Array> {
  if (file.content instanceof Uint8Array) return file.content;
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function contradictory(tarball: Tarball, path: string): McpBuildError {
  return unsafe(tarball, `holds ${oneLine(path)} twice, with different contents`);
}

function unsafe(tarball: Tarball, what: string): McpBuildError {
  const input = `${tarball.name}@${tarball.version}`;
  return new McpBuildError({
    code: 'archive-unsafe',
    message: `The tarball of ${input} ${what}`,
    input,
    fix: 'Do not use this release: no packer makes such a tarball by accident.',
  });
}
