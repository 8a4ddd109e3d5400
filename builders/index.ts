export type { Adapter, FetchOptions, Resolution, ResolveOptions } from './adapter.ts';
export {
  DEFAULT_LIMITS,
  flagOf,
  LIMITS_VARIABLE,
  type Limits,
  parseArchiveLimits,
  type Raised,
  useLimits,
  withLimits,
} from './archive/limits.ts';
export { type BuildEnvironment, type Built, type BuiltLayer, build, layerKey } from './build.ts';
export { ARTIFACT_LIMIT, type ArtifactCache, artifactCache } from './cache.ts';
export { type TarDifference, tarDifferences } from './compare.ts';
export type { Entry } from './entry.ts';
export {
  assemble,
  assembleIndex,
  type BaseImage,
  type Document,
  type Image,
  type ImageLayer,
  LOCK_ANNOTATION,
  SOURCE_ANNOTATION,
} from './image.ts';
export type { Launch } from './launch.ts';
export { COMPRESSOR, type Layer, MTIME, type WrittenLayer, writeLayer } from './layer.ts';
export { fetchLocal, LOCAL_INDEX, type LocalFile, readLocalFile } from './local.ts';
export {
  type Artifact,
  type Base,
  type BridgeArtifact,
  type DebArtifact,
  formatLock,
  inputsOf,
  type LayerLock,
  type LayerOutput,
  type Lock,
  lockDigest,
  type NpmArtifact,
  type Open,
  type PlatformLock,
  parseLock,
  type WheelArtifact,
  withFiles,
} from './lock.ts';
export { architectureOf, hostPlatform, isPlatform, PLATFORMS, type Platform, parsePlatform } from './platform.ts';
export type { Reached } from './reach.ts';
export { readServerJson, SERVER_JSON_LIMIT, type ServerJson } from './server-json.ts';
export {
  defaultName,
  type Ecosystem,
  formatSource,
  looksLikeFile,
  looksLikeServerJson,
  looksLikeSource,
  normalizeProject,
  parseServerName,
  parseSource,
  type Source,
} from './source.ts';
