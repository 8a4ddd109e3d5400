export { type Address, isLocal } from './config/address.ts';
export { type NoTarget, readCommand, type Target } from './config/command.ts';
export { parseDuration } from './config/duration.ts';
export { loadConfig } from './config/load.ts';
export { type Behind, type ConfigRole, type GatewayConfig, parseConfig, type ServerConfig } from './config/parse.ts';
export { type DaemonClient, daemonClient } from './daemon/channel.ts';
export { type Daemon, type DaemonOptions, type Offered, serveDaemon } from './daemon/serve.ts';
export { handedOver, type UnixPlace } from './daemon/socket.ts';
export { type Gateway, type GatewayOptions, openGateway, type Prepared, type ServerState } from './gateway.ts';
export type { Health, Pages } from './http/front.ts';
export type { TlsMaterial } from './http/serve.ts';
export { type Identity, type Power, ROLE_NAMES, type Role } from './identity.ts';
export type { Refusal, Tool } from './rules.ts';
export { type BridgeOptions, bridge } from './stdio/bridge.ts';
export {
  createToken,
  hashToken,
  identityOf,
  type NewToken,
  readTokens,
  revokeToken,
  type StoredToken,
} from './tokens.ts';
export { type Exporter, exporter } from './tracing/exporter.ts';
export { sampled, type TracingConfig, tracingConfig } from './tracing/settings.ts';
export { type Tracer, tracer } from './tracing/spans.ts';
export { type Channel, LONGEST_MESSAGE, lineWriter, type OpenChannel } from './upstream/channel.ts';
export { type ContainerChannel, containerChannel } from './upstream/container.ts';
export { lines } from './upstream/lines.ts';
export { type LogInOptions, logIn } from './upstream/login.ts';
export { type Login, type LoginStore, loginFile, loginMemory } from './upstream/oauth-store.ts';
export { remoteChannel } from './upstream/remote.ts';
export { type Activity, activity } from './watching/activity.ts';
export { type AuditLog, type AuditLogOptions, openAuditLog } from './watching/audit-log.ts';
export { type AuditRecord, readAuditLog } from './watching/audit-read.ts';
export { type AuditVerified, verifyAuditLog } from './watching/audit-verify.ts';
export { type Metrics, metrics } from './watching/metrics.ts';
export type { Call, Incident, Observer, Outcome } from './watching/observer.ts';
export { pages } from './watching/pages.ts';
export { type Known, type Pattern, type Patterns, patterns, type Unusual } from './watching/patterns.ts';
export { plainTarget, recorder, type Watcher } from './watching/recorder.ts';
export { webhook } from './watching/webhook.ts';
