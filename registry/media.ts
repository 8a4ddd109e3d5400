/** Media types that are written (OCI image-spec 1.1), and Docker's image manifest v2 schema 2 types, which are only read. */
export const MEDIA = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
} as const;

const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';

/** What a registry is asked for, in order of preference. */
export const ACCEPTED_MANIFESTS: readonly string[] = [MEDIA.index, MEDIA.manifest, DOCKER_LIST, DOCKER_MANIFEST];

/** A content type without its parameters. */
export function bareType(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim().toLowerCase();
}

/** An index or manifest list: it points at manifests. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA.index || mediaType === DOCKER_LIST;
}

/** Anything a registry keeps under `/manifests/` rather than under `/blobs/`. */
export function isManifestType(mediaType: string): boolean {
  return ACCEPTED_MANIFESTS.includes(mediaType);
}

/** The configuration of an image that runs, not of an artifact. */
export function isImageConfigType(mediaType: string): boolean {
  return mediaType === MEDIA.config || mediaType === DOCKER_CONFIG;
}

/** Layers whose bytes may only be had elsewhere (Windows bases): registries don't hold them, and nobody copies them. */
export function isForeignLayer(mediaType: string): boolean {
  return mediaType.includes('.nondistributable.') || mediaType.includes('.foreign.');
}
