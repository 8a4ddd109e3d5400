import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import {
  archiveStore,
  type Descriptor,
  type LayoutStore,
  openArchive,
  openLayout,
  openRemote,
  parseReference,
  type Reference,
  type RemoteReference,
  type RemoteStore,
  type Store,
  targetOf,
} from '../../registry/index.ts';
import type { Environment, Home } from './home.ts';

/** Where an image is, or may go. `archive` is one file: a tar of an OCI layout. */
export type Place = Reference | { readonly kind: 'archive'; readonly file: string; readonly tag?: string };

/** An image where it was found, resolved to a digest once: from here on nobody asks for its tag again. */
export interface Found {
  readonly store: Store;
  readonly image: Descriptor;
  /** As the user wrote it. */
  readonly name: string;
  /** The last segment of where it is: what its server is called here. */
  readonly server: string;
  readonly place: Place;
}

export interface RegistryOptions {
  readonly environment: Environment;
  readonly plainHttp?: boolean;
  /** A folder with `<host>/ca.crt` and client certificates, as Docker keeps them. */
  readonly certificates?: string;
}

/** Reads `oci-archive:FILE[:tag]` besides what `parseReference` reads. @throws McpBuildError `reference-invalid` */
export function parsePlace(text: string): Place {
  if (!text.startsWith('oci-archive:')) return parseReference(text);
  // The form is skopeo's; so is the tag after a colon, which a file's name therefore can't hold.
  const [file = '', ...rest] = text.slice('oci-archive:'.length).split(':');
  const tag = rest.join(':');
  if (file !== '') return { kind: 'archive', file: resolve(file), ...(tag === '' ? {} : { tag }) };
  return parseReference(text);
}

/** @throws McpBuildError `reference-invalid`, `reference-ambiguous`, `not-found`, and what a registry answers */
export async function findImage(
  text: string,
  home: Home,
  options: RegistryOptions = { environment: {} },
): Promise<Found> {
  const place = parsePlace(text);
  const base = { name: text, place, server: serverOf(place) };
  switch (place.kind) {
    case 'local': {
      const store = await openLayout(home.store);
      return { ...base, store, image: await store.resolve(targetOf(place) ?? place.name) };
    }
    case 'layout': {
      const store = await openLayout(place.folder, { create: false });
      return { ...base, store, image: await store.resolve(targetOf(place) ?? (await onlyTag(store, text))) };
    }
    case 'archive': {
      await access(place.file).catch(() => {
        throw missing(place.file);
      });
      const archive = await openArchive(place.file);
      const store = archiveStore(archive);
      return { ...base, store, image: await store.resolve(place.tag ?? (await onlyTag(archive, text))) };
    }
    case 'remote': {
      const store = remoteStore(place, options);
      return { ...base, store, image: await store.resolve(targetOf(place) ?? 'latest') };
    }
  }
}

export function remoteStore(
  reference: RemoteReference,
  { environment, plainHttp, certificates }: RegistryOptions,
): RemoteStore {
  return openRemote(reference, {
    environment,
    ...(plainHttp ? { plainHttp } : {}),
    ...(certificates === undefined ? {} : { certificates: { folders: [resolve(certificates)] } }),
  });
}

function serverOf(place: Place): string {
  switch (place.kind) {
    case 'local':
      return place.name;
    case 'remote':
      return place.repository.split('/').at(-1) ?? place.repository;
    case 'layout':
    case 'archive':
      return place.tag?.split(/[:/]/)[0] ?? 'image';
  }
}

async function onlyTag(store: Pick<LayoutStore, 'list'>, text: string): Promise<string> {
  const tags = await store.list();
  const digests = new Set(tags.map(({ descriptor }) => descriptor.digest));
  if (digests.size === 1 && tags[0]) return tags[0].tag;
  throw new McpBuildError({
    code: 'reference-ambiguous',
    message: `${text} holds ${digests.size} tagged images${digests.size > 0 ? `: ${tags.map(({ tag }) => tag).join(', ')}` : ''}`,
    input: text,
    fix: 'Name one of its tags, as in oci:FOLDER:tag or oci:FOLDER@sha256:….',
    exit: 2,
  });
}

function missing(file: string): McpBuildError {
  return new McpBuildError({
    code: 'not-found',
    message: `There is no file ${file}`,
    input: file,
    fix: 'Check the path.',
  });
}
