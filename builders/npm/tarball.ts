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
 * Reads a package and checks that it is the one its lock names.
 * @throws McpBuildError `manifest-mismatch`, `archive-unsafe`, `archive-invalid`; whatever `open` throws
 */
export async function readPackage(tarball: Tarball): Promise<PackageContents> {
  const paths = new Set<string>();
  const manifests = new Map<string, PackageManifest>();
  let kept: PackageFile[] | undefined = [];
  let size = 0;
  for await (const file of unpack(tarball)) {
    if (paths.has(file.path)) throw unsafe(tarball, `holds ${oneLine(file.path)} twice`);
    paths.add(file.path);
    size += file.size;
    const folder = manifestFolder(file.path);
    if (size > KEPT) kept = undefined;
    if (!kept && folder === undefined) continue;
    const whole = folder !== undefined && file.size > MANIFEST_LIMIT ? undefined : await copyOf(file);
    if (folder !== undefined && whole) {
      const manifest = parseManifest(whole);
      if (manifest) manifests.set(folder, manifest);
    }
    if (kept && whole) kept.push({ ...file, content: whole });
    else kept = undefined;
  }
  const manifest = matchManifest(manifests.get(''), tarball);
  manifests.delete('');
  const shadowed = [...paths].some((path) => path.endsWith('.gitignore')) ? paths : undefined;
  return {
    manifest,
    bundled: isBundle(manifest) ? manifests : new Map(),
    paths: new Set([...paths].map((path) => unpackedName(path, shadowed)).filter((path) => path !== undefined)),
    files: () => (kept ? renamed(kept, shadowed) : renamedAsync(unpack(tarball), shadowed)),
  };
}

/** npm's own rules: the first path segment goes, links are dropped. */
async function* unpack(tarball: Tarball): AsyncGenerator<PackageFile> {
  for await (const member of readTarGz(tarball.open(), { name: `${tarball.name}@${tarball.version}` })) {
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

/** `''` for the package's own package.json, `node_modules/a` for one it bundles, undefined for other files. */
function manifestFolder(path: string): string | undefined {
  if (path === 'package.json') return '';
  if (!path.startsWith('node_modules/') || !path.endsWith('/package.json')) return undefined;
  const folder = path.slice(0, -'/package.json'.length);
  return isLocation(folder) ? folder : undefined;
}

/** npm unpacks a `.gitignore` as `.npmignore`, unless there is one. Undefined: it isn't unpacked. */
function unpackedName(path: string, all: ReadonlySet<string> | undefined): string | undefined {
  if (!all || (path !== '.gitignore' && !path.endsWith('/.gitignore'))) return path;
  const name = path.replace(/\.gitignore$/, '.npmignore');
  return all.has(name) ? undefined : name;
}

function* renamed(files: readonly PackageFile[], all: ReadonlySet<string> | undefined): Generator<PackageFile> {
  for (const file of files) {
    const path = unpackedName(file.path, all);
    if (path !== undefined) yield path === file.path ? file : { ...file, path };
  }
}

async function* renamedAsync(
  files: AsyncIterable<PackageFile>,
  all: ReadonlySet<string> | undefined,
): AsyncGenerator<PackageFile> {
  for await (const file of files) yield* renamed([file], all);
}

/** The reader reuses its buffers, so what is kept is copied. */
async function copyOf(file: PackageFile): Promise<Uint8Array> {
  if (file.content instanceof Uint8Array) return Uint8Array.from(file.content);
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.content) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
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
