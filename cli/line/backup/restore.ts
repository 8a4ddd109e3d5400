import { chmod, lstat, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Decrypter } from 'age-encryption';
import { isFault, McpBuildError } from '../../../errors/index.ts';
import { makeFolders, temporaryBeside, withFileLock } from '../../../files/index.ts';
import { copy, openLayout } from '../../../registry/index.ts';
import type { Home } from '../home.ts';
import { checkImages } from './check.ts';
import { corrupt, imageTag, type Place, type Snapshot } from './place.ts';
import { sameTree } from './same.ts';
import { unpack } from './unpack.ts';

export interface RestoreOptions {
  readonly home: Home;
  readonly decrypter: Decrypter;
  /** Where each part goes; a part for which it says undefined is left out. */
  readonly target: (part: string, path: string) => string | undefined;
  readonly images: boolean;
  /** Move aside what is there and differs. Without it, that is refused. */
  readonly replace: boolean;
  readonly progress?: (line: string) => void;
}

export interface Restored {
  readonly id: string;
  readonly parts: readonly { readonly part: string; readonly path: string; readonly files: number }[];
  readonly images: number;
  /** Where what was there before went. */
  readonly aside: readonly string[];
}

/** Folders that hold other things besides what is kept of them. */
const OWN: ReadonlySet<string> = new Set(['state', 'config', 'workspace']);

interface Staged {
  readonly part: string;
  readonly target: string;
  readonly staging: string;
  readonly files: number;
}

interface Move {
  readonly from: string;
  readonly to: string;
  readonly aside?: string;
}

/**
 * Reads and checks the whole snapshot first, beside where it goes; only then are names changed, and changed back when one can't be.
 * @throws McpBuildError `backup-corrupt`, `restore-exists`, `busy`
 */
export async function restoreBackup(place: Place, snapshot: Snapshot, options: RestoreOptions): Promise<Restored> {
  await makeFolders(options.home.root, 0o700);
  return withFileLock(join(options.home.root, 'restore.lock'), async () => {
    const staged: Staged[] = [];
    try {
      for (const archive of snapshot.archives) {
        const target = options.target(archive.part, archive.path);
        if (target === undefined) continue;
        options.progress?.(`checking ${archive.part}`);
        await makeFolders(dirname(target));
        const staging = temporaryBeside(target);
        // Known before anything is in it, so that it is removed whatever happens.
        staged.push({ part: archive.part, target, staging, files: 0 });
        const source = { ...archive, file: join(place.archives, archive.file) };
        await makeFolders(dirname(staging));
        const contents = await unpack(source, options.decrypter, staging);
        if (contents.part !== archive.part) throw corrupt(source.file, `holds ${contents.part}, not ${archive.part}`);
        staged[staged.length - 1] = {
          part: archive.part,
          target,
          staging,
          files: contents.entries.filter(({ type }) => type === 'file').length,
        };
      }
      if (options.images) {
        options.progress?.('checking images');
        await checkImages(place, snapshot, (work) => work());
      }
      const moves = await plan(staged, snapshot.id, options.replace);
      const tags = options.images ? await tagsToMove(snapshot, options) : new Set<string>();
      if (options.images) await copyImages(place, snapshot, tags, options);
      await apply(moves);
      for (const { part, target, staging } of staged) {
        // What is left of the staging folder is the part's own folder, with its rights.
        const own = OWN.has(part) ? await lstat(staging).catch(() => undefined) : undefined;
        if (own) await chmod(target, own.mode & 0o7777);
      }
      return {
        id: snapshot.id,
        parts: staged.map(({ part, target, files }) => ({ part, path: target, files })),
        images: options.images ? snapshot.images.length : 0,
        aside: moves.flatMap(({ aside }) => aside ?? []),
      };
    } finally {
      for (const { staging } of staged) await rm(staging, { recursive: true, force: true });
    }
  });
}

/** What has to be renamed. A folder of ours is restored name by name at its top: `store` and `cache` in it are not part of a backup. */
async function plan(staged: readonly Staged[], id: string, replace: boolean): Promise<readonly Move[]> {
  const moves: Move[] = [];
  const add = async (from: string, to: string) => {
    const there = await lstat(to).catch(() => undefined);
    if (there && (await sameTree(from, to))) return;
    if (there && !replace) throw exists(to);
    const aside = there ? { aside: join(dirname(to), `before-restore-${id}-${basename(to)}`) } : {};
    if (aside.aside && (await lstat(aside.aside).catch(() => undefined))) throw exists(aside.aside);
    moves.push({ from, to, ...aside });
  };
  for (const { part, target, staging } of staged) {
    const folder = (await lstat(staging)).isDirectory();
    if (folder && OWN.has(part)) {
      for (const name of (await readdir(staging)).sort()) await add(join(staging, name), join(target, name));
    } else {
      await add(staging, target);
    }
  }
  return moves;
}

async function apply(moves: readonly Move[]): Promise<void> {
  const done: Move[] = [];
  try {
    for (const move of moves) {
      await makeFolders(dirname(move.to), 0o700);
      if (move.aside) await rename(move.to, move.aside);
      done.push(move);
      await rename(move.from, move.to);
    }
  } catch (error) {
    for (const { from, to, aside } of done.reverse()) {
      await rename(to, from).catch(() => undefined);
      if (aside) await rename(aside, to).catch(() => undefined);
    }
    throw error;
  }
}

async function tagsToMove(snapshot: Snapshot, options: RestoreOptions): Promise<ReadonlySet<string>> {
  const to = await openLayout(options.home.store);
  const tags = new Set<string>();
  for (const { tag, digest } of snapshot.images) {
    const there = await to.resolve(tag).catch((error) => {
      if (isFault(error, 'not-found')) return undefined;
      throw error;
    });
    if (there?.digest === digest) continue;
    if (there && !options.replace) throw exists(`${tag} in ${options.home.store}`);
    tags.add(tag);
  }
  return tags;
}

async function copyImages(
  place: Place,
  snapshot: Snapshot,
  tags: ReadonlySet<string>,
  options: RestoreOptions,
): Promise<void> {
  const from = await openLayout(place.images, { create: false, readOnly: true });
  const to = await openLayout(options.home.store);
  for (const { tag } of snapshot.images) {
    options.progress?.(`restoring ${tag}`);
    const { mediaType, digest, size } = await from.resolve(imageTag(snapshot.id, tag));
    await copy(from, to, { mediaType, digest, size }, { tags: tags.has(tag) ? [tag] : [] });
  }
}

function exists(path: string): McpBuildError {
  return new McpBuildError({
    code: 'restore-exists',
    message: `${path} is there already`,
    input: path,
    fix: 'Nothing was changed. Add --replace to move aside what is there, or restore only some parts with --only.',
    exit: 2,
  });
}
