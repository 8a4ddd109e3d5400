import { z } from 'zod';
import type { Digest, Integrity } from '../digest/index.ts';
import { isDigest, isIntegrity, sha256 } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { DEFAULT_LIMITS, type Limits } from './archive/limits.ts';
import { launchSchema } from './launch.ts';
import { isPlatform, PLATFORMS, type Platform } from './platform.ts';

/** The format of `image.lock.json`. A reader refuses what it doesn't know. */
export const LOCK_VERSION = 1;

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'not a sha256 digest');
const integrity = z.custom<Integrity>(
  (value) => typeof value === 'string' && isIntegrity(value),
  'not one sha256 or sha512 integrity',
);
const platform = z.custom<Platform>(
  (value) => typeof value === 'string' && isPlatform(value),
  `not one of ${PLATFORMS.join(', ')}`,
);
const text = z.string().min(1).max(1024);
const instant = z.iso.datetime();

/** What every locked file has: how its index names it, and the bytes it must have. Never a host. */
const file = {
  name: text,
  version: text,
  /** File name as its index has it (`zod-4.1.0.tgz`, a wheel's name), or a deb's path in the pool. */
  file: text,
  integrity,
  /** In bytes. npm's index doesn't say; there a ceiling holds instead. */
  size: z.int().nonnegative().optional(),
  /** When the index received it. Absent only where the index says nothing and the release-age check was switched off. */
  uploaded: instant.optional(),
  /** The index by its name in the user's configuration: `default`, an npm scope, a uv index name, a Debian suite. */
  index: text,
};

/** Where it was built, as its verified provenance said when it was locked: a later release from elsewhere, or from nowhere, is noticed. */
const origin = z.strictObject({ issuer: text, repository: text, workflow: text.optional() }).optional();

const npmFile = z.strictObject({
  kind: z.literal('npm'),
  ...file,
  origin,
  /** Folders that hold a copy, relative to the application's root: `node_modules/a/node_modules/b`, in lock order. Empty for the Node runtime. */
  locations: z.array(text).readonly(),
  /** Whether it names install scripts, which never run. */
  installScripts: z.boolean().optional(),
});
const wheelFile = z.strictObject({ kind: z.literal('wheel'), ...file, origin });
const debFile = z.strictObject({ kind: z.literal('deb'), ...file, architecture: text });
/** What serves a stdio server over HTTP: a file that comes with mcp-build. */
const bridgeFile = z.strictObject({ kind: z.literal('bridge'), ...file });
const artifact = z.discriminatedUnion('kind', [npmFile, wheelFile, debFile, bridgeFile]);

const layerOutput = z.strictObject({
  /** SHA-256 of the uncompressed tar: the layer's identity. */
  diffId: digest,
  /** SHA-256 and size of the gzip; these also depend on the compressor. */
  digest,
  size: z.int().positive(),
});

const layer = z.strictObject({
  name: z.enum([
    ...(['base', 'runtime', 'system', 'dependencies', 'server', 'bridge'] as const),
    /** Compiled from the layer of that name; what they are made from is all in that one and in the base. */
    ...(['base-bytecode', 'dependencies-bytecode', 'server-bytecode'] as const),
  ]),
  /** Which function makes its files, and the version of that function: `npm/1`. */
  transform: z.string().regex(/^[a-z-]+\/[0-9]+$/),
  files: z.array(artifact).readonly(),
  output: layerOutput.optional(),
});

const platformLock = z.strictObject({
  layers: z.array(layer).min(1).readonly(),
  /** Digest of the image manifest. */
  image: digest.optional(),
});

/** A lock is a file that someone may have edited: what it allows stays within what a machine survives. */
const HIGHEST = 16;
const limits = z.strictObject(
  Object.fromEntries(
    Object.entries(DEFAULT_LIMITS).map(([name, value]) => [
      name,
      z
        .int()
        .positive()
        .max(value * HIGHEST)
        .optional(),
    ]),
  ) as Record<keyof Limits, z.ZodOptional<z.ZodInt>>,
);

const base = z.discriminatedUnion('kind', [
  /** Assembled here from Debian packages; the layers `base` (and `runtime`) list them. `recipe` is a name under `images/`. */
  z.strictObject({ kind: z.literal('recipe'), recipe: text }),
  /** Any OCI image; its layers come before ours and are taken as they are. `reference` is as the user wrote it, without the digest. */
  z.strictObject({ kind: z.literal('image'), reference: text, digest }),
]);

export const lockSchema = z.strictObject({
  lockVersion: z.literal(LOCK_VERSION),
  name: text,
  source: z.strictObject({
    ecosystem: z.enum(['npm', 'pypi']),
    name: text,
    /** As asked for; empty means newest. */
    range: z.string().max(1024),
    version: text,
  }),
  /** The server's name in the MCP Registry, where its package claims one (`mcpName`, `mcp-name:`). */
  serverName: text.optional(),
  /** Releases after this were not considered; null where the release-age check was switched off. */
  before: instant.nullable(),
  /** The image's creation time: SOURCE_DATE_EPOCH at lock time, else when the server's own files were uploaded. */
  created: instant,
  /** Digests of the native lock files beside this one: an edit of one of them is noticed before anything is built. */
  native: z.record(text, digest),
  base,
  /** Debian packages that were asked for beside the base; the layer `system` lists them and what they need. */
  system: z.array(text).min(1).readonly().optional(),
  /** Versions of dependencies that were taken whatever their dependents ask for, by package; why, the manifest says. */
  overrides: z.record(text, text).optional(),
  /** Which command of the package was asked for, where it has several. */
  bin: text.optional(),
  /** The container's argv; the first word is an absolute path in the image. */
  entrypoint: z.array(text).min(1).readonly(),
  /** `http`: its last layer is a bridge, which starts the server and serves it as Streamable HTTP. Without it a server speaks over stdio. */
  transport: z.literal('http').optional(),
  /** What its archives may hold beyond the defaults (docs/limits.md), as whoever locked it allowed. */
  limits: limits.optional(),
  /** What the server's `server.json` says of its start, where it was locked by one. */
  launch: launchSchema.optional(),
  platforms: z.partialRecord(platform, platformLock),
  /** How layers were compressed when the outputs were written. */
  compressor: text.optional(),
  /** Digest of the image index over all platforms of this lock. */
  index: digest.optional(),
  /** Digest of the canonical `tools.json`. */
  tools: digest.optional(),
});

export type Lock = z.infer<typeof lockSchema>;
export type Base = z.infer<typeof base>;
export type PlatformLock = z.infer<typeof platformLock>;
export type LayerLock = z.infer<typeof layer>;
export type LayerOutput = z.infer<typeof layerOutput>;
export type Artifact = z.infer<typeof artifact>;
export type NpmArtifact = z.infer<typeof npmFile>;
export type WheelArtifact = z.infer<typeof wheelFile>;
export type DebArtifact = z.infer<typeof debFile>;
export type BridgeArtifact = z.infer<typeof bridgeFile>;

/**
 * The bytes of one locked file, found by its name and checked against its hash: throws `integrity` before the last chunk if they
 * differ. How it finds them (cache, registry, mirror) is the caller's configuration.
 */
export type Open = (artifact: Artifact) => AsyncIterable<Uint8Array>;

/** @param file where the text comes from, for the error. @throws McpBuildError `lock-invalid` */
export function parseLock(json: string, file: string): Lock {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw invalid(file, 'is not JSON', cause);
  }
  const version = (value as { lockVersion?: unknown } | null)?.lockVersion;
  if (typeof version === 'number' && version > LOCK_VERSION) {
    throw invalid(file, `has lockVersion ${version}; this mcp-build reads ${LOCK_VERSION}`);
  }
  const result = lockSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw invalid(
      file,
      `at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit the schema'}`,
      result.error,
    );
  }
  return result.data;
}

/** Two spaces and a final newline, in the schema's order of fields: the same lock is always the same bytes. */
export function formatLock(lock: Lock): string {
  return `${JSON.stringify(lockSchema.parse(lock), null, 2)}\n`;
}

/**
 * The part of a lock that decides the image: without what `build` and `test` add, and without when it was resolved. Nor with where packages were
 * built: the same bytes are the same image, whether or not a mirror passes on the provenance that says so.
 */
export function inputsOf(lock: Lock): Lock {
  const { compressor: _c, index: _i, tools: _t, ...others } = lock;
  const rest = { ...others, before: null };
  const platforms: Lock['platforms'] = {};
  for (const [name, { layers }] of Object.entries(lock.platforms) as [Platform, PlatformLock][]) {
    platforms[name] = {
      layers: layers.map(({ output: _o, ...inputs }) => ({ ...inputs, files: inputs.files.map(unattested) })),
    };
  }
  return { ...rest, platforms };
}

function unattested(file: Artifact): Artifact {
  if (file.kind !== 'npm' && file.kind !== 'wheel') return file;
  const { origin: _, ...rest } = file;
  return rest;
}

/** A lock with each of its files as `change` makes it. */
export function withFiles(lock: Lock, change: (file: Artifact) => Artifact): Lock {
  const platforms: Lock['platforms'] = {};
  for (const [name, one] of Object.entries(lock.platforms) as [Platform, PlatformLock][]) {
    platforms[name] = { ...one, layers: one.layers.map((layer) => ({ ...layer, files: layer.files.map(change) })) };
  }
  return { ...lock, platforms };
}

/** Names a lock by its inputs; its first 12 hex digits are in the immutable tag. */
export function lockDigest(lock: Lock): Digest {
  return sha256(formatLock(inputsOf(lock)));
}

function invalid(input: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'lock-invalid',
    message: `Lock ${input} ${reason}`,
    input,
    fix: 'Restore it from version control, or make it again with `mcp-build lock`.',
    ...(cause === undefined ? {} : { cause }),
  });
}
