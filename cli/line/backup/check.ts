import { join } from 'node:path';
import type { Decrypter } from 'age-encryption';
import { type Digest, sha256 } from '../../../digest/index.ts';
import { isFault, McpBuildError } from '../../../errors/index.ts';
import { readBounded } from '../../../files/index.ts';
import { type LayoutStore, openLayout, treeOf } from '../../../registry/index.ts';
import { corrupt, imageTag, type Place, parseList, readList, type Snapshot, sealedFile, snapshotIds } from './place.ts';
import { openedBytes } from './seal.ts';
import { checkSealed, unpack } from './unpack.ts';

/** In bytes, of an encrypted list. */
const SEALED_LIMIT = 65 * 1024 * 1024;

/**
 * The list of a snapshot as it was encrypted; the newest where none is named.
 * @param digest what `backup` printed: without it, whoever can write to the place can put a backup of their own there
 * @throws McpBuildError `backup-missing`, `backup-corrupt`, `backup-not-yours`, `backup-digest`
 */
export async function openSnapshot(
  place: Place,
  id: string | undefined,
  decrypter: Decrypter,
  digest?: Digest,
): Promise<Snapshot> {
  const chosen = id ?? (await snapshotIds(place)).at(-1)!;
  const file = sealedFile(place, chosen);
  const sealed = await readBounded(file, SEALED_LIMIT).catch(() => {
    throw corrupt(file, 'is missing');
  });
  const found = sha256(sealed);
  if (digest !== undefined && digest !== found) {
    throw new McpBuildError({
      code: 'backup-digest',
      message: `${file} is ${found}, not ${digest}`,
      input: chosen,
      fix: 'Nothing was changed. This is not the backup that you made; name the one that is with its id.',
      exit: 3,
    });
  }
  let bytes: Uint8Array;
  try {
    bytes = await openedBytes(decrypter, sealed);
  } catch (cause) {
    if (/no identity matched/i.test((cause as Error).message)) {
      throw new McpBuildError({
        code: 'backup-not-yours',
        message: `${file} is not encrypted for this identity`,
        input: file,
        fix: 'Give the identity of the recipient that `mcp-build backup list` prints.',
        exit: 2,
      });
    }
    throw corrupt(file, `can't be decrypted: ${(cause as Error).message}`);
  }
  return parseList(bytes, file, chosen);
}

export interface Checked {
  readonly id: string;
  readonly archives: number;
  readonly images: number;
  /** Blobs of the images that were hashed. */
  readonly blobs: number;
  readonly faults: readonly { readonly code: string; readonly message: string; readonly input: string }[];
  /** Whether the archives were opened too. */
  readonly decrypted: boolean;
}

/** Reads every byte of a snapshot and names all that is wrong with it. */
export async function checkBackup(place: Place, id: string | undefined, decrypter?: Decrypter): Promise<Checked> {
  const chosen = id ?? (await snapshotIds(place)).at(-1)!;
  const faults: { code: string; message: string; input: string }[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (!isFault(error)) throw error;
      faults.push({ code: error.code, message: error.message, input: error.input ?? '' });
      return undefined;
    }
  };
  const plain = await attempt(() => readList(place, chosen));
  const sealed = decrypter && (await attempt(() => openSnapshot(place, chosen, decrypter)));
  if (plain && sealed && JSON.stringify(plain) !== JSON.stringify(sealed)) {
    const { code, message, input } = corrupt(sealedFile(place, chosen), 'says something else than the list beside it');
    faults.push({ code, message, input: input ?? '' });
  }
  const list = sealed ?? plain;
  if (!list) return { id: chosen, archives: 0, images: 0, blobs: 0, faults, decrypted: false };
  for (const archive of list.archives) {
    const source = { ...archive, file: join(place.archives, archive.file) };
    await attempt<unknown>(() => (decrypter ? unpack(source, decrypter) : checkSealed(source)));
  }
  const blobs = list.images.length === 0 ? 0 : ((await attempt(() => checkImages(place, list, attempt))) ?? 0);
  return {
    id: chosen,
    archives: list.archives.length,
    images: list.images.length,
    blobs,
    faults,
    decrypted: decrypter !== undefined,
  };
}

type Attempt = <T>(work: () => Promise<T>) => Promise<T | undefined>;

/** @returns how many blobs were hashed */
export async function checkImages(place: Place, list: Snapshot, attempt: Attempt): Promise<number> {
  // Read only: a layout that may write puts a damaged blob aside, and the place of a backup is not ours to change.
  const layout = await openLayout(place.images, { create: false, readOnly: true });
  const seen = new Set<string>();
  for (const image of list.images) {
    await attempt(async () => {
      const tagged = await layout.resolve(imageTag(list.id, image.tag));
      if (tagged.digest !== image.digest) {
        throw corrupt(join(place.images, 'index.json'), `names ${tagged.digest} as ${image.tag}, not ${image.digest}`);
      }
      await checkTree(layout, place, image, seen, attempt);
    });
  }
  return seen.size;
}

async function checkTree(
  layout: LayoutStore,
  place: Place,
  root: Parameters<typeof treeOf>[1],
  seen: Set<string>,
  attempt: Attempt,
): Promise<void> {
  if (seen.has(root.digest)) return;
  seen.add(root.digest);
  const { nodes, blobs } = await treeOf(layout, root);
  for (const blob of blobs) {
    if (seen.has(blob.digest)) continue;
    seen.add(blob.digest);
    await attempt(async () => {
      try {
        for await (const _ of layout.read(blob));
      } catch (error) {
        if (!isFault(error)) throw error;
        throw corrupt(layout.pathOf(blob.digest), error.message);
      }
    });
  }
  for (const node of nodes) {
    seen.add(node.descriptor.digest);
    for (const referrer of await layout.referrers(node.descriptor.digest)) {
      await attempt(() => checkTree(layout, place, referrer, seen, attempt));
    }
  }
}
