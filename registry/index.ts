export {
  type Archive,
  type ArchiveOptions,
  archiveStore,
  exportLayout,
  importLayout,
  openArchive,
} from './archive.ts';
export { type Copied, type CopyEvent, type CopyOptions, copy } from './copy.ts';
export { type LayoutOptions, type LayoutStore, openLayout } from './layout.ts';
export { REF_NAME, type Tagged } from './layout-index.ts';
export type { Pruned, PruneOptions } from './layout-prune.ts';
export { readDocument } from './layout-read.ts';
export {
  artifactManifest,
  canonicalJson,
  childrenOf,
  type Document,
  documentOf,
  EMPTY_CONFIG,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  imageConfig,
  imageIndex,
  imageManifest,
  MANIFEST_LIMIT,
  type Manifest,
  parseImageConfig,
  parseManifest,
} from './manifest.ts';
export { isImageConfigType, isIndexType, isManifestType, MEDIA } from './media.ts';
export {
  formatReference,
  isLayoutTag,
  isRegistryTag,
  type LayoutReference,
  type LocalReference,
  parseReference,
  parseRemoteReference,
  type Reference,
  type RemoteReference,
  targetOf,
} from './reference.ts';
export { referrersTag } from './referrers.ts';
export type { Certificates } from './remote/certificates.ts';
export { type Credential, credentialFiles, findCredential, hostsWithCredentials } from './remote/credentials.ts';
export { login, logout, type Secret } from './remote/login.ts';
export type { Environment } from './remote/proxy.ts';
export { openRemote, type RemoteOptions, type RemoteStore } from './remote.ts';
export type { Descriptor, Store } from './store.ts';
export { type Node, type Tree, treeOf } from './walk.ts';
