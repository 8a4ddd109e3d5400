import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Digest, sha256 } from '../digest/index.ts';

interface Package {
  readonly version: string;
  /** In the published package, where the sources aren't: what `builderDigest` gave when it was built. */
  readonly builder?: Digest;
}

/** The package.json above `cli/`: the checkout's, or the one that the build puts beside the published code. */
function own(): Package {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as Package;
}

/** The version of this mcp-build. */
export function version(): string {
  return own().version;
}

/** Names the code that makes images: the SHA-256 over the digests of every source file of `builders/`, sorted by path. */
export async function builderDigest(): Promise<Digest> {
  const known = own().builder;
  if (known) return known;
  const folder = fileURLToPath(new URL('../builders/', import.meta.url));
  const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length))
    .sort();
  const lines = await Promise.all(
    files.map(async (file) => `${sha256(await readFile(join(folder, file)))}  ${file}\n`),
  );
  return sha256(lines.join(''));
}
