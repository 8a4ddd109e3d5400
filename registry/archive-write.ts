import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Digest, hexOf, sha256, verified } from '../digest/index.ts';
import { makeFolders, temporaryBeside } from '../files/index.ts';
import { formatLayoutIndex, type LayoutIndex, withTag } from './layout-index.ts';
import { notFound } from './layout-read.ts';
import { MEDIA } from './media.ts';
import { referralOf, referrersDocument, referrersTag, withReferrer } from './referrers.ts';
import type { Descriptor, Store } from './store.ts';
import { TAR_END, tarHeader, tarPadding } from './tar.ts';

export interface ArchiveWriter {
  /** Takes blobs as they come, and manifests until the end; gives back none of them. One blob at a time. */
  readonly store: Store;
  /** Writes what is left and gives the file its name. */
  finish(): Promise<void>;
  abandon(): Promise<void>;
}

/** A layout in a tar file that appears under its name when it is finished. */
export async function openArchiveWriter(path: string): Promise<ArchiveWriter> {
  await makeFolders(dirname(path));
  const temporary = temporaryBeside(path);
  const file = await open(temporary, 'wx', 0o644);
  const manifests = new Map<Digest, Uint8Array>();
  const lists = new Map<Digest, readonly Descriptor[]>();
  const tags = new Map<string, Descriptor>();
  const there = new Map<Digest, number>();
  let writing = false;

  const add = async (name: string, bytes: Uint8Array) => {
    await append(file, tarHeader(name, bytes.length));
    await append(file, bytes);
    await append(file, tarPadding(bytes.length));
  };
  await add('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}\n'));

  const store: Store = {
    name: path,
    has: async ({ digest, size }) => there.get(digest) === size,
    // Only what is written is ever asked for again, and none of it is.
    read: ({ digest }) => {
      throw notFound(path, digest);
    },
    write: async (descriptor, bytes) => {
      // Half of a blob can't be taken back: after one failure the archive is lost, and a second try would only hide that.
      if (writing) throw notFound(path, 'place for another blob after a failed one');
      writing = true;
      await append(file, tarHeader(`blobs/sha256/${hexOf(descriptor.digest)}`, descriptor.size));
      const checked = verified(bytes, {
        name: descriptor.digest,
        integrity: descriptor.digest,
        size: descriptor.size,
        fix: 'No archive was written. Pull or build the image again, then export it.',
      });
      for await (const chunk of checked) await append(file, chunk);
      await append(file, tarPadding(descriptor.size));
      there.set(descriptor.digest, descriptor.size);
      writing = false;
    },
    writeManifest: async (bytes, mediaType) => {
      const descriptor: Descriptor = { mediaType, digest: sha256(bytes), size: bytes.length };
      const referral = referralOf(bytes, descriptor);
      manifests.set(descriptor.digest, bytes);
      if (referral) {
        const list = lists.get(referral.subject) ?? [];
        if (withReferrer(list, referral.referrer)) lists.set(referral.subject, [...list, referral.referrer]);
      }
      return descriptor;
    },
    resolve: async (tag) => {
      const descriptor = tags.get(tag);
      if (!descriptor) throw notFound(path, tag);
      return descriptor;
    },
    tag: async (tag, descriptor) => {
      tags.set(tag, descriptor);
    },
    referrers: async (subject) => lists.get(subject) ?? [],
  };

  return {
    store,
    finish: async () => {
      let index: LayoutIndex = { schemaVersion: 2, mediaType: MEDIA.index, manifests: [] };
      for (const [tag, descriptor] of tags) index = withTag(index, tag, descriptor);
      for (const subject of [...lists.keys()].sort()) {
        const list = referrersDocument(lists.get(subject)!);
        manifests.set(list.descriptor.digest, list.bytes);
        index = withTag(index, referrersTag(subject), list.descriptor);
      }
      for (const digest of [...manifests.keys()].sort()) {
        if (!there.has(digest)) await add(`blobs/sha256/${hexOf(digest)}`, manifests.get(digest)!);
      }
      await add('index.json', Buffer.from(formatLayoutIndex(index)));
      await append(file, TAR_END);
      await file.sync();
      await file.close();
      await rename(temporary, path);
    },
    abandon: async () => {
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true });
    },
  };
}

async function append(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
}
