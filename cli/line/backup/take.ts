import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Digest, sha256 } from '../../../digest/index.ts';
import { McpBuildError } from '../../../errors/index.ts';
import { makeFolders, withFileLock, writeAtomic } from '../../../files/index.ts';
import { copy, type Descriptor, openLayout } from '../../../registry/index.ts';
import type { Home } from '../home.ts';
import { archiveName, writeArchive } from './archive.ts';
import { entriesOf, fingerprint, type Part } from './parts.ts';
import {
  type Archive,
  imageTag,
  listFile,
  type Place,
  readList,
  type Snapshot,
  sealedFile,
  snapshotId,
  snapshotIds,
} from './place.ts';
import { forgettable, type Retention } from './retention.ts';
import { newIdentity, type Seal, sealedBytes, sealFor } from './seal.ts';

export interface TakeOptions {
  readonly home: Home;
  readonly parts: readonly Part[];
  /** For whom it is encrypted; empty for a place that a passphrase protects. */
  readonly recipients: readonly string[];
  /** Asked for only when a place is used for the first time and nobody is named. */
  readonly passphrase: () => Promise<string>;
  readonly images: boolean;
  /** Which snapshots to keep besides this one; all where undefined. */
  readonly keep?: Retention;
  readonly program: string;
  readonly now: Date;
  readonly progress?: (line: string) => void;
}

export interface Taken {
  readonly id: string;
  /** Of the encrypted list: whoever knows it can tell this backup from one that somebody else put there. */
  readonly digest: Digest;
  readonly archives: number;
  /** Of the archives, those that had changed and were written. */
  readonly written: number;
  readonly images: number;
  /** Of images and archives, in bytes; what was there already isn't counted. */
  readonly bytes: number;
  readonly dropped: readonly string[];
}

/**
 * Makes a snapshot: first all it lists, then its list, so that a backup that was cut off is no backup but costs the next one nothing.
 * @throws McpBuildError `backup-unreadable`, `backup-recipient-changed`, `recipient-invalid`, `busy`, and what reading and writing layouts throw
 */
export async function takeBackup(place: Place, options: TakeOptions): Promise<Taken> {
  await makeFolders(place.archives, 0o700);
  await makeFolders(place.snapshots, 0o700);
  return withFileLock(place.lock, async () => {
    const recipients = await recipientsFor(place, options);
    const id = snapshotId(options.now);
    const seal = await sealFor(recipients);
    const known = await knownArchives(place);
    const keep = (parts: readonly Part[]) => archive(place, parts, { recipients, seal, known }, options.progress);
    // The state first: whatever it says of images is in the store by then.
    const first = await keep(options.parts.slice(0, 1));
    // Copying hashes, compressing is done in threads: together they take hardly longer than one.
    const [rest, images] = await both(
      keep(options.parts.slice(1)),
      options.images ? copyImages(place, id, options) : { images: [], bytes: 0 },
    );
    const archives = [...first.archives, ...rest.archives];
    const written = first.written + rest.written;
    const bytes = first.bytes + rest.bytes;
    const snapshot: Snapshot = {
      format: 1,
      id,
      created: options.now.toISOString(),
      program: options.program,
      recipients: [...recipients],
      archives,
      images: images.images,
    };
    const text = Buffer.from(`${JSON.stringify(snapshot, undefined, 1)}\n`);
    const sealed = await sealedBytes(seal, text);
    await writeAtomic(sealedFile(place, id), sealed, 0o600);
    // Last: what has no list isn't a backup.
    await writeAtomic(listFile(place, id), text, 0o600);
    const dropped = options.keep === undefined ? [] : await dropOld(place, options.keep);
    return {
      id,
      digest: sha256(sealed),
      archives: archives.length,
      written,
      images: images.images.length,
      bytes: bytes + images.bytes,
      dropped,
    };
  });
}

interface Archived {
  readonly archives: readonly Archive[];
  readonly written: number;
  readonly bytes: number;
}

/** One part after another; those that an earlier snapshot has as they are aren't read. */
async function archive(
  place: Place,
  parts: readonly Part[],
  how: {
    readonly recipients: readonly string[];
    readonly seal: Seal;
    readonly known: ReadonlyMap<string, Archive>;
  },
  progress?: (line: string) => void,
): Promise<Archived> {
  const archives: Archive[] = [];
  let written = 0;
  let bytes = 0;
  for (const part of parts) {
    progress?.(`reading ${part.path}`);
    const entries = await entriesOf(part);
    const file = archiveName(fingerprint(part, entries, how.recipients));
    const path = join(place.archives, file);
    const before = how.known.get(file);
    if (before && (await stat(path).catch(() => undefined))?.size === before.size) {
      archives.push({ ...before, part: part.name, path: part.path });
      continue;
    }
    const { digest, size } = await writeArchive(path, part, entries, how.seal);
    archives.push({ part: part.name, path: part.path, file, digest, size });
    written += 1;
    bytes += size;
  }
  return { archives, written, bytes };
}

/** Of two that fail the first is told, when neither writes any more. */
async function both<A, B>(one: Promise<A>, other: Promise<B> | B): Promise<[A, B]> {
  const results = await Promise.allSettled([one, other]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  return Promise.all([one, other]);
}

/** Archives that an earlier snapshot lists: only those were finished, and their digests are known. */
async function knownArchives(place: Place): Promise<ReadonlyMap<string, Archive>> {
  const known = new Map<string, Archive>();
  for (const id of await snapshotIds(place).catch(() => [])) {
    const list = await readList(place, id).catch(() => undefined);
    for (const archive of list?.archives ?? []) known.set(archive.file, archive);
  }
  return known;
}

async function copyImages(
  place: Place,
  id: string,
  options: TakeOptions,
): Promise<{ readonly images: Snapshot['images']; readonly bytes: number }> {
  const from = await openLayout(options.home.store);
  const to = await openLayout(place.images);
  const images: Snapshot['images'] = [];
  let bytes = 0;
  const tags: { readonly tag: string; readonly descriptor: Descriptor }[] = [];
  for (const { tag, descriptor } of await from.list()) {
    options.progress?.(`copying ${tag}`);
    const { mediaType, digest, size } = descriptor;
    bytes += (await copy(from, to, { mediaType, digest, size })).bytes;
    tags.push({ tag: imageTag(id, tag), descriptor: { mediaType, digest, size } });
    images.push({ tag, mediaType, digest, size });
  }
  await to.tagAll(tags);
  return { images, bytes };
}

function rememberedIn(home: Home): string {
  return join(home.root, 'backups.json');
}

async function remembered(home: Home): Promise<z.infer<typeof usedSchema>> {
  const text = await readFile(rememberedIn(home), 'utf8').catch(() => '{}');
  return usedSchema.safeParse(JSON.parse(text)).data ?? {};
}

/** For whom backups in this folder were encrypted from here; undefined where none was taken. */
export async function recipientsOf(home: Home, folder: string): Promise<readonly string[] | undefined> {
  return (await remembered(home))[folder];
}

const usedSchema = z.record(z.string(), z.array(z.string().max(4096)).min(1));

/**
 * For whom this place's backups are encrypted. Remembered in the state folder: whoever can write to the place could else put a recipient of
 * their own there, and read every later backup.
 */
async function recipientsFor(place: Place, options: TakeOptions): Promise<readonly string[]> {
  const file = rememberedIn(options.home);
  const used = await remembered(options.home);
  const before = used[place.root];
  const remember = async (recipients: readonly string[]) => {
    if (JSON.stringify(before) === JSON.stringify(recipients)) return recipients;
    const all = { ...used, [place.root]: [...recipients] };
    await writeAtomic(file, `${JSON.stringify(all, undefined, 1)}\n`, 0o600);
    return recipients;
  };
  if (options.recipients.length > 0) return remember([...new Set(options.recipients)].sort());
  if (before) return before;
  if (await stat(place.identity).catch(() => undefined)) {
    throw new McpBuildError({
      code: 'backup-recipient-unknown',
      message: `${place.root} has an identity that this machine did not make`,
      input: place.root,
      fix: 'Name the recipient with --recipient: `mcp-build backup list` prints it. Check that it is yours.',
      exit: 2,
    });
  }
  const { recipient, sealed } = await newIdentity(await options.passphrase());
  await writeAtomic(place.identity, sealed, 0o600);
  return remember([recipient]);
}

/** Forgets the snapshots that aren't to be kept, and what only they held. */
async function dropOld(place: Place, keep: Retention): Promise<readonly string[]> {
  const old = forgettable(await snapshotIds(place), keep);
  if (old.length === 0) return [];
  const layout = await openLayout(place.images);
  for (const id of old) {
    // The list first: a snapshot that is cut off here is no longer offered, rather than offered without its images.
    await rm(listFile(place, id), { force: true });
    await rm(sealedFile(place, id), { force: true });
  }
  for (const { tag } of await layout.list()) if (old.includes(tag.split('/')[0] ?? '')) await layout.untag(tag);
  await layout.prune({ grace: 0 });
  const needed = new Set((await knownArchives(place)).keys());
  for (const name of await readdir(place.archives)) {
    if (!needed.has(name)) await rm(join(place.archives, name), { force: true });
  }
  return old;
}
