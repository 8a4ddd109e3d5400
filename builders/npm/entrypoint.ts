import { McpBuildError } from '../../errors/index.ts';
import { binsOf, type PackageManifest } from './manifest.ts';
import { oneLine } from './names.ts';
import type { PackageContents } from './tarball.ts';

const NODE = '/usr/local/bin/node';
/** Bytes of the file that are looked at: the kernel reads no longer a shebang either. */
const HEAD = 256;

export interface Entrypoint {
  readonly bin: string;
  readonly argv: readonly string[];
}

/**
 * The argv that starts a server, by the rule `npx` has: the only bin, else the one called like the package, else `wanted`.
 * @throws McpBuildError `not-a-server`, `bin-ambiguous`, `bin-not-found`, `entrypoint-missing`, `entrypoint-unsupported`
 */
export async function entrypointOf(contents: PackageContents, wanted: string | undefined): Promise<Entrypoint> {
  const { manifest } = contents;
  const [bin, path] = chooseBin(manifest, wanted);
  if (!contents.paths.has(path)) {
    throw fault(
      'entrypoint-missing',
      manifest,
      `names ${oneLine(path)} as its bin, which it doesn't hold`,
      'Take another version, or report it to its authors.',
    );
  }
  return { bin, argv: argvOf(manifest, await headOf(contents, path), path) };
}

function chooseBin(manifest: PackageManifest, wanted: string | undefined): [string, string] {
  const bins = binsOf(manifest);
  const names = [...bins.keys()].map(oneLine).join(', ');
  if (bins.size === 0) {
    throw fault(
      'not-a-server',
      manifest,
      'has no bin: nothing in it can be started',
      'Name the package that its documentation starts with npx.',
    );
  }
  if (wanted !== undefined) {
    const path = bins.get(wanted);
    if (path !== undefined) return [wanted, path];
    throw fault(
      'bin-not-found',
      manifest,
      `has no bin "${oneLine(wanted)}"; it has ${names}`,
      'Choose one of them with --bin.',
      2,
    );
  }
  const [only] = bins;
  // Several names of one file are one bin.
  if (only && new Set(bins.values()).size === 1) return only;
  const unscoped = manifest.name.slice(manifest.name.indexOf('/') + 1);
  const own = bins.get(unscoped);
  if (own !== undefined) return [unscoped, own];
  throw fault('bin-ambiguous', manifest, `has several bins: ${names}`, 'Choose one of them with --bin.', 2);
}

function argvOf(manifest: PackageManifest, head: Uint8Array, path: string): string[] {
  const file = `/app/node_modules/${manifest.name}/${path}`;
  if (head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46) return [file];
  const first = Buffer.from(head).toString('latin1').split('\n', 1)[0]?.replace(/\r$/, '') ?? '';
  if (first.startsWith('#!')) {
    const flags = nodeFlags(first.slice(2).trim());
    if (flags) return [NODE, ...flags, file];
    throw fault(
      'entrypoint-unsupported',
      manifest,
      `starts ${oneLine(path)} with "${oneLine(first)}"; images hold Node and nothing else that runs scripts`,
      'Take a server that runs on Node, or build on a base image of your own that has the interpreter.',
    );
  }
  if (/\.[cm]?js$/.test(path)) return [NODE, file];
  throw fault(
    'entrypoint-unsupported',
    manifest,
    `has the bin ${oneLine(path)}, which is neither a program nor a script for Node`,
    'Choose another bin with --bin, or another version.',
  );
}

/** Flags of a shebang that starts Node; undefined where it starts something else, or sets variables that argv can't. */
function nodeFlags(shebang: string): readonly string[] | undefined {
  const words = shebang.split(/\s+/);
  let at = 0;
  if (/^(?:\/usr)?\/bin\/env$/.test(words[at] ?? '')) {
    at++;
    if (words[at] === '-S' || words[at] === '--split-string') at++;
    else if (words[at]?.startsWith('-S')) words[at] = words[at]!.slice(2);
    if (words[at] === 'node' || words[at] === 'nodejs') at++;
    else return undefined;
  } else if (/^\/[A-Za-z0-9._/-]*\/(?:node|nodejs)$/.test(words[at] ?? '')) {
    at++;
  } else return undefined;
  const flags = words.slice(at);
  // A flag's value may be a word of its own, but the first word is a flag: else it would be another script.
  const plain = flags.every((flag) => /^[A-Za-z0-9=_.,:/@+-]+$/.test(flag));
  return plain && (flags.length === 0 || flags[0]?.startsWith('-')) ? flags : undefined;
}

async function headOf(contents: PackageContents, path: string): Promise<Uint8Array> {
  for await (const file of contents.files()) {
    if (file.path !== path) continue;
    if (file.content instanceof Uint8Array) return file.content.slice(0, HEAD);
    for await (const chunk of file.content) return chunk.slice(0, HEAD);
  }
  return new Uint8Array();
}

function fault(code: string, manifest: PackageManifest, what: string, fix: string, exit: 1 | 2 = 1): McpBuildError {
  const input = `${manifest.name}@${manifest.version}`;
  return new McpBuildError({ code, message: `${input} ${what}`, input, fix, exit });
}
