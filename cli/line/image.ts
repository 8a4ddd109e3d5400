import { McpBuildError } from '../../errors/index.ts';
import { type Descriptor, openLayout, parseReference, type Store, targetOf } from '../../registry/index.ts';
import type { Home } from './home.ts';

/** An image where it was found, resolved to a digest once: from here on nobody asks for its tag again. */
export interface Found {
  readonly store: Store;
  readonly image: Descriptor;
  /** As the user wrote it. */
  readonly name: string;
}

/** @throws McpBuildError `reference-invalid`, `not-found` */
export async function findImage(text: string, home: Home): Promise<Found> {
  const reference = parseReference(text);
  const target = targetOf(reference);
  switch (reference.kind) {
    case 'local': {
      const store = await openLayout(home.store);
      return { store, image: await store.resolve(target ?? reference.name), name: text };
    }
    case 'layout': {
      const store = await openLayout(reference.folder, { create: false });
      return { store, image: await store.resolve(target ?? (await onlyTag(store, text))), name: text };
    }
    case 'remote':
      throw new McpBuildError({
        code: 'reference-unsupported',
        message: `${text} is in a registry`,
        input: text,
        fix: 'Copy it into a layout first, and name it as oci:FOLDER:tag.',
        exit: 2,
      });
  }
}

async function onlyTag(store: { list(): Promise<readonly { tag: string }[]> }, text: string): Promise<string> {
  const tags = await store.list();
  if (tags.length === 1 && tags[0]) return tags[0].tag;
  throw new McpBuildError({
    code: 'reference-ambiguous',
    message: `${text} holds ${tags.length} tagged images`,
    input: text,
    fix: 'Name one, as in oci:FOLDER:tag or oci:FOLDER@sha256:….',
    exit: 2,
  });
}
