import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { McpBuildError } from '../../errors/index.ts';
import { listZip, spool } from '../archive/index.ts';
import type { Entry, FileEntry } from '../entry.ts';
import type { LayerLock, Open, WheelArtifact } from '../lock.ts';
import { readScripts } from './entrypoint.ts';
import { wheelInvalid } from './faults.ts';
import { placeOf, SCRIPTS } from './layout.ts';

/** In bytes, of `entry_points.txt`. */
const INFO_LIMIT = 16 * 1024 * 1024;

/**
 * Passes on the files of a server, unless one of them would replace a file of its dependencies: they are in a layer below, where pip would
 * have let the one win that came last. The same bytes twice are fine. Of the dependencies only the tables of contents are read, all of
 * them only where a path is shared; so a conflict may show when the last file has been given out.
 * @param bakeAgain the files of the dependencies @throws McpBuildError `file-conflict`
 */
export async function* withoutConflicts(
  server: AsyncIterable<Entry>,
  dependencies: LayerLock,
  open: Open,
  bakeAgain: () => AsyncIterable<Entry>,
): AsyncGenerator<Entry> {
  const taken = await pathsOf(dependencies, open);
  const folders = new Set<string>();
  for (const path of taken.keys()) for (const folder of above(path)) folders.add(folder);
  const shared = new Map<string, string>();
  for await (const entry of server) {
    for (const folder of above(entry.path)) {
      const owner = taken.get(folder);
      if (owner !== undefined) throw conflict(folder, owner);
    }
    if (folders.has(entry.path)) throw conflict(entry.path, dependencies.name);
    if (entry.type === 'file' && taken.has(entry.path)) {
      yield { ...entry, content: hashed(entry, (sha256) => shared.set(entry.path, sha256)) };
    } else yield entry;
  }
  if (shared.size === 0) return;
  for await (const entry of bakeAgain()) {
    if (entry.type !== 'file') continue;
    for await (const _ of hashed(entry, (sha256) => {
      if ((shared.get(entry.path) ?? sha256) !== sha256) throw conflict(entry.path, taken.get(entry.path) ?? '');
    }));
  }
}

/** Where the wheels of a layer put files, with the name of the wheel; by their tables of contents and the launchers they ask for. */
async function pathsOf(layer: LayerLock, open: Open): Promise<ReadonlyMap<string, string>> {
  const paths = new Map<string, string>();
  for (const wheel of layer.files) {
    if (wheel.kind !== 'wheel') continue;
    const source = await spool(open(wheel), { name: wheel.file, folder: tmpdir() });
    try {
      const isScripts = (path: string) => /^[^/]+\.dist-info\/entry_points\.txt$/.test(path);
      for await (const { path, content } of listZip(source, { name: wheel.file }, isScripts)) {
        paths.set(placeOf(path, wheel).path, wheel.file);
        if (content === undefined) continue;
        for (const { name } of readScripts(await textOf(content, wheel), wheel.file)) {
          paths.set(`${SCRIPTS}/${name}`, wheel.file);
        }
      }
    } finally {
      await source[Symbol.asyncDispose]();
    }
  }
  return paths;
}

async function textOf(content: FileEntry['content'], wheel: WheelArtifact): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of content instanceof Uint8Array ? [content] : content) {
    size += part.length;
    if (size > INFO_LIMIT) throw wheelInvalid(wheel.file, `has an entry_points.txt of more than ${INFO_LIMIT} bytes`);
    parts.push(Buffer.from(part));
  }
  return Buffer.concat(parts).toString('utf8');
}

async function* hashed({ content }: FileEntry, tell: (sha256: string) => void): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const part of content instanceof Uint8Array ? [content] : content) {
    hash.update(part);
    yield part;
  }
  tell(hash.digest('hex'));
}

function* above(path: string): Generator<string> {
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) yield path.slice(0, at);
}

function conflict(path: string, owner: string): McpBuildError {
  return new McpBuildError({
    code: 'file-conflict',
    message: `The server and its dependency ${owner} both install /${path}, with different content`,
    input: owner,
    fix: 'Which one counts would depend on the order: use versions that do not share files.',
  });
}
