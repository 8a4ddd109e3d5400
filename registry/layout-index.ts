import { join } from 'node:path';
import { z } from 'zod';
import { type Digest, isDigest } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { readBounded } from '../files/index.ts';
import { checked, parseJson } from './manifest.ts';
import { subjectOfTag } from './referrers.ts';
import type { Descriptor } from './store.ts';

export const REF_NAME = 'org.opencontainers.image.ref.name';

/** In bytes: room for tens of thousands of tags. */
export const INDEX_LIMIT = 16 * 1024 * 1024;

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'not a sha256 digest');

// Loose: what other tools wrote into a layout that we edit stays there.
const entrySchema = z.looseObject({
  mediaType: z.string(),
  digest,
  size: z.int().nonnegative(),
  annotations: z.record(z.string(), z.string()).exactOptional(),
});
const indexSchema = z.looseObject({ schemaVersion: z.literal(2), manifests: z.array(entrySchema).max(100_000) });

export type LayoutEntry = z.infer<typeof entrySchema>;
/** `index.json` of an OCI image layout (image-spec, image-layout.md). */
export type LayoutIndex = z.infer<typeof indexSchema>;

/** A tagged descriptor of a layout. */
export interface Tagged {
  readonly tag: string;
  readonly descriptor: Descriptor;
}

/** @throws McpBuildError `layout-invalid` */
export function parseLayoutIndex(bytes: Uint8Array, name: string): LayoutIndex {
  try {
    return checked(indexSchema, parseJson(bytes, `${name}/index.json`), `${name}/index.json`);
  } catch (cause) {
    throw layoutInvalid(name, 'its index.json is unreadable', cause);
  }
}

/** @throws McpBuildError `layout-invalid` */
export async function readLayoutIndex(folder: string): Promise<LayoutIndex> {
  let bytes: Uint8Array;
  try {
    bytes = await readBounded(join(folder, 'index.json'), INDEX_LIMIT);
  } catch (cause) {
    throw layoutInvalid(folder, 'its index.json is unreadable', cause);
  }
  return parseLayoutIndex(bytes, folder);
}

export function formatLayoutIndex(index: LayoutIndex): string {
  return `${JSON.stringify(index)}\n`;
}

export function tagOf(entry: LayoutEntry): string | undefined {
  return entry.annotations?.[REF_NAME];
}

export function findTag(index: LayoutIndex, tag: string): LayoutEntry | undefined {
  return index.manifests.find((entry) => tagOf(entry) === tag);
}

/** The tags people gave; not the lists of referrers, which are tags only for want of a better place. */
export function tagsOf(index: LayoutIndex): readonly Tagged[] {
  return index.manifests.flatMap((entry) => {
    const tag = tagOf(entry);
    return tag === undefined || subjectOfTag(tag) ? [] : [{ tag, descriptor: plain(entry) }];
  });
}

/** With `tag` at `descriptor`, and nowhere else. */
export function withTag(index: LayoutIndex, tag: string, descriptor: Descriptor): LayoutIndex {
  const { mediaType, digest: of, size, artifactType, platform } = descriptor;
  const entry: LayoutEntry = {
    mediaType,
    digest: of,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(platform === undefined ? {} : { platform }),
    annotations: { ...descriptor.annotations, [REF_NAME]: tag },
  };
  const rest = withoutTag(index, tag).manifests;
  return { ...index, manifests: [...rest, entry] };
}

export function withoutTag(index: LayoutIndex, tag: string): LayoutIndex {
  return { ...index, manifests: index.manifests.filter((entry) => tagOf(entry) !== tag) };
}

/** Type, digest and size only: what else an index says of a manifest isn't part of what was asked for. */
export function plain(entry: LayoutEntry): Descriptor {
  return { mediaType: entry.mediaType, digest: entry.digest, size: entry.size };
}

export function layoutInvalid(folder: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'layout-invalid',
    message: `${folder} is not an OCI layout: ${reason}`,
    input: folder,
    fix: 'Name a folder that holds an OCI layout, or one that is empty or does not exist yet.',
    ...(cause === undefined ? {} : { cause }),
  });
}
