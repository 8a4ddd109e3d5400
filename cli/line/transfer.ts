import { isFault, McpBuildError } from '../../errors/index.ts';
import {
  type Copied,
  type CopyEvent,
  copy,
  type Descriptor,
  exportLayout,
  isRegistryTag,
  type LayoutStore,
  openLayout,
  type Store,
} from '../../registry/index.ts';
import type { Home } from './home.ts';
import { type Found, type Place, parsePlace, type RegistryOptions, remoteStore } from './image.ts';

export interface TransferOptions extends RegistryOptions {
  readonly home: Home;
  readonly progress: (line: string) => void;
}

export interface Transferred extends Copied {
  readonly digest: Descriptor['digest'];
  readonly to: string;
  readonly tags: readonly string[];
}

/**
 * Copies a found image, with all that is said about it, to another place. Tags are set last.
 * @throws McpBuildError `tag-immutable`, `reference-invalid`, and what the two stores throw
 */
export async function transfer(
  found: Found,
  to: string,
  tags: readonly string[],
  options: TransferOptions,
): Promise<Transferred> {
  const place = parsePlace(to);
  if ('digest' in place && place.digest && place.digest !== found.image.digest) {
    throw new McpBuildError({
      code: 'digest-differs',
      message: `${to} names another digest than ${found.image.digest}`,
      input: to,
      fix: 'Leave the digest out, or name the image that has it.',
      exit: 2,
    });
  }
  const progress = meter(options.progress);
  if (place.kind === 'archive') {
    const tag = place.tag ?? tags[0] ?? found.server;
    const copied = await exportLayout(place.file, found.store, [{ tag, descriptor: found.image }], { progress });
    return { ...copied, digest: found.image.digest, to, tags: [tag] };
  }
  const store = await storeAt(place, options);
  for (const tag of tags) await refuseToMove(store, tag, found.image);
  const copied = await copy(found.store, store, found.image, { tags, progress });
  return { ...copied, digest: found.image.digest, to: store.name, tags };
}

async function storeAt(place: Exclude<Place, { kind: 'archive' }>, options: TransferOptions): Promise<Store> {
  switch (place.kind) {
    case 'remote':
      return remoteStore(place, options);
    case 'layout':
      return openLayout(place.folder);
    case 'local':
      return openLayout(options.home.store);
  }
}

/** `1.2.3-0123456789ab`: version and lock. Whoever has pulled it once may rely on what it is. */
const IMMUTABLE = /^(?:[^:]+:)?.+-[0-9a-f]{12}$/;

async function refuseToMove(store: Store, tag: string, image: Descriptor): Promise<void> {
  if (!IMMUTABLE.test(tag)) return;
  const there = await store.resolve(tag).catch((error: unknown) => {
    if (isFault(error, 'not-found')) return undefined;
    throw error;
  });
  if (there === undefined || there.digest === image.digest) return;
  throw new McpBuildError({
    code: 'tag-immutable',
    message: `${store.name}:${tag} is ${there.digest} already, not ${image.digest}`,
    input: tag,
    fix: 'A version with its lock never becomes another image. Find out which of the two is right; `mcp-build reproduce` can tell.',
    exit: 4,
  });
}

/**
 * The tags an image has in the local store, as a registry's: `name:1.2.3-0123456789ab` is `1.2.3-0123456789ab` there. What moves stands last, so
 * that it is set last.
 */
export async function tagsOf(store: LayoutStore, server: string, image: Descriptor): Promise<string[]> {
  const tags = (await store.list())
    .filter(({ tag, descriptor }) => descriptor.digest === image.digest && tag.startsWith(`${server}:`))
    .map(({ tag }) => tag.slice(server.length + 1))
    .filter(isRegistryTag);
  return tags.sort((a, b) => Number(IMMUTABLE.test(b)) - Number(IMMUTABLE.test(a)));
}

/** A progress line that counts what has really gone over the wire. */
function meter(progress: (line: string) => void): (event: CopyEvent) => void {
  let bytes = 0;
  let blobs = 0;
  return (event) => {
    if (event.kind === 'bytes') bytes += event.bytes;
    else if (event.kind === 'sent' || event.kind === 'mounted' || event.kind === 'present') blobs += 1;
    progress(`${(bytes / 1e6).toFixed(1)} MB, ${blobs} parts`);
  };
}
