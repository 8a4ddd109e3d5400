import type { Digest } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import {
  type Descriptor,
  isIndexType,
  parseImageConfig,
  parseManifest,
  readDocument,
  type Store,
} from '../registry/index.ts';

/** An image of one platform, as its verified documents say. What is in it was written by whoever made the image. */
export interface RunImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
  readonly documents: { readonly manifest: Uint8Array; readonly config: Uint8Array };
  readonly env: readonly string[];
  /** What starts the server: without the bridge that an image for HTTP has before it, since a run speaks to its server itself. */
  readonly entrypoint: readonly string[];
  readonly bridged?: boolean;
  readonly cmd: readonly string[];
  /** Folders that would each get a volume of their own. */
  readonly volumes: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

/** In an image for HTTP the second word of its entrypoint; what it starts follows. */
const BRIDGE = '/usr/local/lib/mcp-build/bridge.mjs';

/**
 * Reads an image's documents from a store, by digest all the way down.
 * @param start an index or a manifest, whose digest has been verified. @param architecture which of an index's images
 * @throws McpBuildError `image-invalid`, `platform-missing`; the store's `not-found` and `integrity`, `manifest-invalid`
 */
export async function readImage(
  store: Store,
  start: Descriptor,
  architecture = process.arch === 'arm64' ? 'arm64' : 'amd64',
): Promise<RunImage> {
  const manifest = isIndexType(start.mediaType) ? await chosen(store, start, architecture) : start;
  const manifestBytes = await readDocument(store, manifest);
  const parsed = parseManifest(manifestBytes, manifest.mediaType, manifest.digest);
  if (parsed.kind !== 'image') throw invalid(manifest.digest, 'is an index within an index');
  const configBytes = await readDocument(store, parsed.config);
  const { config, rootfs, os } = parseImageConfig(configBytes, parsed.config.digest);
  if (os !== 'linux') throw invalid(manifest.digest, `is for ${os}`);
  if (rootfs.diff_ids.length !== parsed.layers.length) {
    throw invalid(manifest.digest, `has ${parsed.layers.length} layers and ${rootfs.diff_ids.length} diffIDs`);
  }
  const entrypoint = config?.Entrypoint ?? [];
  const bridged = entrypoint[1] === BRIDGE && entrypoint.length > 2;
  return {
    manifest: plain(manifest),
    config: plain(parsed.config),
    layers: parsed.layers.map(plain),
    diffIds: rootfs.diff_ids,
    documents: { manifest: manifestBytes, config: configBytes },
    env: config?.Env ?? [],
    entrypoint: bridged ? entrypoint.slice(2) : entrypoint,
    ...(bridged ? { bridged } : {}),
    cmd: config?.Cmd ?? [],
    volumes: Object.keys(config?.Volumes ?? {}),
    annotations: parsed.annotations ?? {},
    labels: config?.Labels ?? {},
  };
}

/** The value of a variable that the image sets. */
export function imageVariable(image: Pick<RunImage, 'env'>, name: string): string | undefined {
  return image.env.findLast((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
}

async function chosen(store: Store, index: Descriptor, architecture: string): Promise<Descriptor> {
  const parsed = parseManifest(await readDocument(store, index), index.mediaType, index.digest);
  const found =
    parsed.kind === 'index' &&
    parsed.manifests.find(({ platform }) => platform?.os === 'linux' && platform.architecture === architecture);
  if (found) return found;
  throw new McpBuildError({
    code: 'platform-missing',
    message: `Image ${index.digest} has nothing for linux/${architecture}`,
    input: index.digest,
    fix: `Build it for this machine too: mcp-build build --platform linux/${architecture}.`,
  });
}

function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

function invalid(input: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'image-invalid',
    message: `Image ${input} ${reason}`,
    input,
    fix: 'Build or pull the image again.',
  });
}
