import { type Digest, sha256 } from '../digest/index.ts';
import { BRIDGE_ENTRYPOINT, BRIDGE_PORT } from './bridge/index.ts';
import { type LayerOutput, type Lock, lockDigest } from './lock.ts';
import { architectureOf, type Platform } from './platform.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** A small document of an image, as bytes with their address. */
export interface Document {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly bytes: Uint8Array;
}

export interface Image {
  readonly platform: Platform;
  readonly config: Document;
  readonly manifest: Document;
}

/** A layer with what made it, for the image's history. `mediaType` only where it isn't one of ours. */
export interface ImageLayer extends LayerOutput {
  readonly createdBy: string;
  readonly mediaType?: string;
}

/** What a foreign base image brings, in its own order. */
export interface BaseImage {
  readonly layers: readonly ImageLayer[];
  readonly env: readonly string[];
  readonly name: string;
  readonly digest: Digest;
}

/** The runtime environment of a server, beside what its base brings. `HOME` and `/tmp` are tmpfs at run time. */
const ENVIRONMENT: Readonly<Record<'npm' | 'pypi', Readonly<Record<string, string>>>> = {
  npm: {
    PATH: '/app/node_modules/.bin:/usr/local/bin:/usr/bin',
    NODE_ENV: 'production',
    // Node 24 then honours HTTPS_PROXY, which is how an egress proxy is reached.
    NODE_USE_ENV_PROXY: '1',
    npm_config_update_notifier: 'false',
  },
  pypi: {
    PATH: '/usr/local/bin:/usr/bin',
    PYTHONUNBUFFERED: '1',
    // The application tree is read-only.
    PYTHONDONTWRITEBYTECODE: '1',
    // Else the folder of commands would be the first place that modules are looked for.
    PYTHONSAFEPATH: '1',
  },
};

const COMMON: Readonly<Record<string, string>> = {
  HOME: '/home/nonroot',
  LANG: 'C.UTF-8',
  SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
};

/**
 * The image of one platform: config and manifest, byte for byte a function of its arguments.
 * Depends on nothing of the other platforms, so a lock for one platform gives the same image as a lock for all.
 */
export function assemble(lock: Lock, platform: Platform, layers: readonly ImageLayer[], base?: BaseImage): Image {
  const all = [...(base?.layers ?? []), ...layers];
  const title = serverTitle(lock);
  const config = document(CONFIG, {
    created: lock.created,
    architecture: architectureOf(platform),
    os: 'linux',
    config: {
      User: '65532:65532',
      Env: environment(lock, base),
      Entrypoint: [
        ...(lock.transport === 'http' ? BRIDGE_ENTRYPOINT : []),
        ...lock.entrypoint,
        ...(lock.launch?.args ?? []),
      ],
      ...(lock.transport === 'http' ? { ExposedPorts: { [`${BRIDGE_PORT}/tcp`]: {} } } : {}),
      ...(lock.launch && lock.launch.defaults.length > 0 ? { Cmd: lock.launch.defaults } : {}),
      WorkingDir: '/home/nonroot',
      Labels: {
        'io.modelcontextprotocol.server.name': title,
        'org.opencontainers.image.title': lock.name,
        'org.opencontainers.image.version': lock.source.version,
      },
    },
    rootfs: { type: 'layers', diff_ids: all.map((layer) => layer.diffId) },
    history: all.map((layer) => ({ created: lock.created, created_by: layer.createdBy })),
  });
  const manifest = document(MANIFEST, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: CONFIG, digest: config.digest, size: config.size },
    layers: all.map((layer) => ({ mediaType: layer.mediaType ?? LAYER, digest: layer.digest, size: layer.size })),
    annotations: { ...annotations(lock), ...baseAnnotations(base) },
  });
  return { platform, config, manifest };
}

/** The index over the images of all platforms that were built, in the given order. */
export function assembleIndex(lock: Lock, images: readonly Image[]): Document {
  return document(INDEX, {
    schemaVersion: 2,
    mediaType: INDEX,
    manifests: images.map(({ platform, manifest }) => ({
      mediaType: MANIFEST,
      digest: manifest.digest,
      size: manifest.size,
      platform: { architecture: architectureOf(platform), os: 'linux' },
    })),
    annotations: { ...annotations(lock), [LOCK_ANNOTATION]: lockDigest(lock) },
  });
}

/** Names the lock an index was built from, by the digest of its inputs. */
export const LOCK_ANNOTATION = 'io.mcp-build.lock';
/** Names the source, as in `npm:@scope/name`. */
export const SOURCE_ANNOTATION = 'io.mcp-build.source';

function annotations(lock: Lock): Record<string, string> {
  return {
    'io.modelcontextprotocol.server.name': serverTitle(lock),
    [SOURCE_ANNOTATION]: `${lock.source.ecosystem}:${lock.source.name}`,
    'org.opencontainers.image.created': lock.created,
    'org.opencontainers.image.title': lock.name,
    'org.opencontainers.image.version': lock.source.version,
  };
}

/** Its name in the MCP Registry where it has one: as the document it was locked by has it, or as its package claims. */
function serverTitle({ launch, serverName, name }: Lock): string {
  return launch?.document.name ?? serverName ?? name;
}

function baseAnnotations(base: BaseImage | undefined): Record<string, string> {
  if (!base) return {};
  return { 'org.opencontainers.image.base.digest': base.digest, 'org.opencontainers.image.base.name': base.name };
}

function environment(lock: Lock, base: BaseImage | undefined): string[] {
  const values = new Map<string, string>();
  for (const line of base?.env ?? []) values.set(line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1));
  const basePath = values.get('PATH');
  for (const [name, value] of Object.entries({ ...COMMON, ...ENVIRONMENT[lock.source.ecosystem] }))
    values.set(name, value);
  for (const { name, value } of lock.launch?.environment ?? []) if (value !== undefined) values.set(name, value);
  // A foreign base may keep its interpreter in a folder of its own.
  if (basePath) values.set('PATH', [...new Set(`${values.get('PATH')}:${basePath}`.split(':'))].join(':'));
  return [...values].map(([name, value]) => `${name}=${value}`);
}

function document(mediaType: string, value: unknown): Document {
  const bytes = Buffer.from(JSON.stringify(value));
  return { mediaType, digest: sha256(bytes), size: bytes.length, bytes };
}
