export type { Adapter, FetchOptions, Resolution, ResolveOptions } from './adapter.ts';
export type { Entry } from './entry.ts';
export {
  type Artifact,
  type Base,
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
} from './lock.ts';
export { architectureOf, hostPlatform, isPlatform, PLATFORMS, type Platform, parsePlatform } from './platform.ts';
export {
  defaultName,
  type Ecosystem,
  formatSource,
  looksLikeSource,
  parseServerName,
  parseSource,
  type Source,
} from './source.ts';
