import { posix } from 'node:path';
import { binsOf, type PackageManifest } from './manifest.ts';
import { byBytes } from './names.ts';
import type { PackageContents, PackageFile } from './tarball.ts';

export interface BinLink {
  /** Relative to the application's root: `node_modules/.bin/tsc`. */
  readonly path: string;
  readonly target: string;
}

interface Owner extends BinLink {
  /** Folder of the package the link belongs to. */
  readonly owner: string;
}

/** The `.bin` folders of a tree as npm makes them: a name that several packages claim goes to the first by depth and path. */
export class BinLinks {
  readonly #links = new Map<string, Owner>();

  add(location: string, contents: PackageContents): void {
    this.#package(location, contents.manifest, '', contents.paths);
    for (const [folder, manifest] of contents.bundled) {
      this.#package(`${location}/${folder}`, manifest, `${folder}/`, contents.paths);
    }
  }

  all(): readonly BinLink[] {
    return [...this.#links.values()].sort((a, b) => byBytes(a.path, b.path));
  }

  #package(owner: string, manifest: PackageManifest, prefix: string, paths: ReadonlySet<string>): void {
    const modules = owner.slice(0, owner.lastIndexOf('node_modules/') + 'node_modules'.length);
    for (const [command, path] of binsOf(manifest)) {
      if (!paths.has(`${prefix}${path}`)) continue;
      const link = `${modules}/.bin/${command}`;
      const known = this.#links.get(link);
      if (known && byBytes(known.owner, owner) <= 0) continue;
      this.#links.set(link, { path: link, target: posix.relative(posix.dirname(link), `${owner}/${path}`), owner });
    }
  }
}

const HEAD = 2048;

/**
 * A bin's bytes as npm leaves them: a first line that Windows wrote would look for an interpreter called "node\r".
 */
export async function executableContent(file: PackageFile): Promise<Pick<PackageFile, 'size' | 'content'>> {
  if (file.content instanceof Uint8Array) {
    const at = carriageReturn(file.content);
    if (at < 0) return { size: file.size, content: file.content };
    return {
      size: file.size - 1,
      content: Buffer.concat([file.content.subarray(0, at), file.content.subarray(at + 1)]),
    };
  }
  const chunks = file.content[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length < HEAD) {
    const next = await chunks.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  const at = carriageReturn(head);
  return {
    size: at < 0 ? file.size : file.size - 1,
    content: follow(at < 0 ? head : Buffer.concat([head.subarray(0, at), head.subarray(at + 1)]), chunks),
  };
}

async function* follow(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield head;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/** Where the first line's carriage return is, if the file starts with a shebang that ends in one; else -1. */
function carriageReturn(bytes: Uint8Array): number {
  if (bytes[0] !== 0x23 || bytes[1] !== 0x21) return -1;
  const end = bytes.subarray(0, HEAD).indexOf(0x0a);
  return end > 3 && bytes[end - 1] === 0x0d ? end - 1 : -1;
}
