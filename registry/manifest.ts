import { z } from 'zod';
import { type Digest, isDigest, sha256 } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { isForeignLayer, isIndexType, isManifestType, MEDIA } from './media.ts';
import type { Descriptor } from './store.ts';

/** In bytes; what the distribution-spec asks registries to take at least, and what most refuse beyond. */
export const MANIFEST_LIMIT = 4 * 1024 * 1024;

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'not a sha256 digest');
const mediaType = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/);
const annotations = z.record(z.string(), z.string());

export const descriptorSchema = z.object({
  mediaType,
  digest,
  size: z.int().nonnegative(),
  artifactType: z.string().exactOptional(),
  annotations: annotations.exactOptional(),
  platform: z.object({ os: z.string(), architecture: z.string(), variant: z.string().exactOptional() }).exactOptional(),
});

const common = {
  schemaVersion: z.literal(2),
  mediaType: mediaType.exactOptional(),
  artifactType: z.string().exactOptional(),
  subject: descriptorSchema.exactOptional(),
  annotations: annotations.exactOptional(),
};
const imageSchema = z.object({ ...common, config: descriptorSchema, layers: z.array(descriptorSchema).max(10_000) });
const indexSchema = z.object({ ...common, manifests: z.array(descriptorSchema).max(10_000) });

export interface ImageManifest {
  readonly kind: 'image';
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

export type Manifest = ImageManifest | ImageIndex;

/** Bytes with the descriptor that names them. */
export interface Document {
  readonly bytes: Uint8Array;
  readonly descriptor: Descriptor;
}

/**
 * Reads a manifest or index, OCI's or Docker's.
 * A document that could be read as both (`layers` and `manifests`), or says another type than the one it was served as, is refused:
 * two readers of one digest must never see two images (CVE-2021-41190).
 * @param type what it was announced as; undefined where nothing announced it. @throws McpBuildError `manifest-invalid`
 */
export function parseManifest(bytes: Uint8Array, type: string | undefined, name: string): Manifest {
  if (bytes.length > MANIFEST_LIMIT) throw invalid(name, `has ${bytes.length} bytes, more than ${MANIFEST_LIMIT}`);
  const value = parseJson(bytes, name);
  const fields = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const asIndex = 'manifests' in fields;
  if (asIndex && ('layers' in fields || 'config' in fields)) throw invalid(name, 'is an image and an index at once');
  const declared = fields.mediaType;
  if (declared !== undefined && type !== undefined && declared !== type) {
    throw invalid(name, `says it is ${JSON.stringify(declared)} but was given as ${type}`);
  }
  const actual = typeof declared === 'string' ? declared : (type ?? (asIndex ? MEDIA.index : MEDIA.manifest));
  if (!isManifestType(actual)) throw invalid(name, `has the unknown type ${actual}`);
  if (isIndexType(actual) !== asIndex) throw invalid(name, `does not have the fields of ${actual}`);
  if (asIndex) return { kind: 'index', ...checked(indexSchema, value, name), mediaType: actual };
  return { kind: 'image', ...checked(imageSchema, value, name), mediaType: actual };
}

/** What a manifest points at and must be there with it, in order: never its subject, never foreign layers. */
export function childrenOf(manifest: Manifest): readonly Descriptor[] {
  if (manifest.kind === 'index') return manifest.manifests;
  return [manifest.config, ...manifest.layers.filter((layer) => !isForeignLayer(layer.mediaType))];
}

/** How a list of referrers describes this one (distribution-spec, "Listing Referrers"). */
export function referrerDescriptor(manifest: Manifest, descriptor: Descriptor): Descriptor {
  const artifactType = manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config.mediaType : undefined);
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  };
}

/** Without whitespace and with sorted keys: the same value is always the same bytes. */
export function canonicalJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(sorted(value)));
}

export function documentOf(bytes: Uint8Array, type: string): Document {
  return { bytes, descriptor: { mediaType: type, digest: sha256(bytes), size: bytes.length } };
}

/** The config of everything that isn't an image (image-spec, "Guidance for an Empty Descriptor"). */
export const EMPTY_CONFIG: Document = documentOf(Buffer.from('{}'), MEDIA.empty);

export function imageManifest(parts: {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}): Document {
  return manifestDocument(MEDIA.manifest, parts);
}

export function imageIndex(parts: {
  readonly manifests: readonly Descriptor[];
  readonly artifactType?: string;
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}): Document {
  return manifestDocument(MEDIA.index, parts);
}

/** Something said about `subject`. Without layers it points at the empty blob, which must be written as well. */
export function artifactManifest(parts: {
  readonly artifactType: string;
  readonly subject: Descriptor;
  readonly layers?: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}): Document {
  const { mediaType: type, digest: of, size } = parts.subject;
  return manifestDocument(MEDIA.manifest, {
    ...parts,
    config: EMPTY_CONFIG.descriptor,
    layers: parts.layers?.length ? parts.layers : [EMPTY_CONFIG.descriptor],
    subject: { mediaType: type, digest: of, size },
  });
}

const stringList = z.array(z.string()).readonly();
/** Docker and Go write `null` for an empty list or map. */
const orNull = <T extends z.ZodType>(schema: T) => schema.nullable().exactOptional();

/** image-spec config.md; fields that nothing here reads are dropped. */
const configSchema = z.object({
  created: orNull(z.string()),
  architecture: z.string(),
  os: z.string(),
  variant: z.string().exactOptional(),
  config: orNull(
    z.object({
      User: orNull(z.string()),
      Env: orNull(stringList),
      Entrypoint: orNull(stringList),
      Cmd: orNull(stringList),
      WorkingDir: orNull(z.string()),
      Labels: orNull(z.record(z.string(), z.string())),
      ExposedPorts: orNull(z.record(z.string(), z.unknown())),
      Volumes: orNull(z.record(z.string(), z.unknown())),
      StopSignal: orNull(z.string()),
    }),
  ),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest).max(10_000).readonly() }),
  history: orNull(
    z
      .array(
        z.object({
          created: orNull(z.string()),
          created_by: orNull(z.string()),
          comment: orNull(z.string()),
          empty_layer: orNull(z.boolean()),
        }),
      )
      .readonly(),
  ),
});

export type ImageConfig = Readonly<z.infer<typeof configSchema>>;

/** @throws McpBuildError `manifest-invalid` */
export function parseImageConfig(bytes: Uint8Array, name: string): ImageConfig {
  if (bytes.length > MANIFEST_LIMIT) throw invalid(name, `has ${bytes.length} bytes, more than ${MANIFEST_LIMIT}`);
  return checked(configSchema, parseJson(bytes, name), name);
}

export function imageConfig(config: ImageConfig): Document {
  return documentOf(canonicalJson(config), MEDIA.config);
}

function manifestDocument(type: string, parts: object): Document {
  return documentOf(canonicalJson({ schemaVersion: 2, mediaType: type, ...parts }), type);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const keys = Object.keys(value).sort();
  return Object.fromEntries(keys.map((key) => [key, sorted((value as Record<string, unknown>)[key])]));
}

/** @throws McpBuildError `manifest-invalid` */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalid(name, 'is not JSON', cause);
  }
}

/** @throws McpBuildError `manifest-invalid` */
export function checked<T>(schema: z.ZodType<T>, value: unknown, name: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue?.path.length ? `at ${issue.path.join('.')}: ` : '';
  throw invalid(name, `does not fit its schema: ${where}${issue?.message ?? 'unknown reason'}`, result.error);
}

function invalid(input: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'manifest-invalid',
    message: `Manifest ${input} ${reason}`,
    input,
    fix: 'Push the image again with the tool that made it, or name another image.',
    ...(cause === undefined ? {} : { cause }),
  });
}
