export { imageArchive } from './archive.ts';
export type { Streams } from './bridge.ts';
export { type DaemonFacts, type Difference, differences, type Inspect } from './compare.ts';
export { type Denied, readDenied, writeDenied } from './denied.ts';
export { docker, dockerRuntime } from './docker.ts';
export { type Check, diagnose } from './doctor.ts';
export { type Decision, type Egress, type EgressOptions, serveEgress } from './egress.ts';
export { type Endpoint, findEndpoint, formatEndpoint, parseEndpoint } from './endpoint.ts';
export { type Explained, explainSession, type Wall } from './explain.ts';
export { type Gate, type GateOptions, HELD, offerGate } from './gate.ts';
export { imageVariable, type RunImage, readImage } from './image.ts';
export { type KeepEvent, type Keeper, type KeepOptions, keep, type Started, TIMING, type Timing } from './keep.ts';
export { type KeeperOptions, type Opened, serveKeeper } from './keeper.ts';
export {
  askKeeper,
  type KeeperStatus,
  type KeptRecord,
  keptFault,
  listKept,
  recordFile,
  restartKeeper,
  stopKeeper,
  takeKept,
} from './kept.ts';
export { LIMITS, type Limits, parseLimits, parseSize } from './limits.ts';
export { followLog, type Log, newestLog, openLog, readLog } from './log.ts';
export {
  askOffer,
  canonicalJson,
  GENERATIONS,
  type Generation,
  type Item,
  itemise,
  LIST_KEYS,
  type ListKind,
  mergeOffers,
  OFFER_LIMITS,
  type Offer,
  type OfferLimits,
} from './offer.ts';
export {
  NO_PERMISSIONS,
  type Permissions,
  parseNetwork,
  parsePermissions,
  parseVolume,
  type Volume,
} from './permissions.ts';
export {
  type Drift,
  describeDrift,
  instructionsDrift,
  isBlocked,
  listDrift,
  offerDrift,
  type Pins,
  pinsOf,
  toolsDrift,
} from './pins.ts';
export { type Pool, type PoolEvent, type PoolOptions, type PoolState, pool, type Restart } from './pool.ts';
export { CONFIG_FILE, type Private } from './private.ts';
export { type Guard, type Reaper, type ReaperConfig, reaper } from './reaper.ts';
export { type Redactor, redactor } from './redact.ts';
export {
  type DriveOptions,
  processSignals,
  type RunOptions,
  type RunResult,
  runContainer,
  runSession,
  type Signals,
} from './run.ts';
export type { Attached, Exit, Listed, Runtime, Transfer, Usage } from './runtime.ts';
export { resolveSecret, type SecretSources } from './secrets.ts';
export {
  findServers,
  listServers,
  type Measured,
  measureServer,
  type RunningServer,
  removeOfDaemon,
  stopServer,
} from './servers.ts';
export { type Machine, openSession, type Session, type SessionOptions } from './session.ts';
export { socketIn } from './socket.ts';
export { type ContainerSpec, containerSpec, userFor } from './spec.ts';
