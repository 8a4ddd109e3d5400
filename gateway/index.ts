export { type Address, isLocal } from './config/address.ts';
export { type NoTarget, readCommand, type Target } from './config/command.ts';
export { parseDuration } from './config/duration.ts';
export { loadConfig } from './config/load.ts';
export { type Behind, type GatewayConfig, parseConfig, type ServerConfig } from './config/parse.ts';
export { type Gateway, type GatewayOptions, openGateway, type Prepared } from './gateway.ts';
export type { Health } from './http/front.ts';
export type { TlsMaterial } from './http/serve.ts';
export type { Identity } from './identity.ts';
export type { Refusal, Tool } from './rules.ts';
export {
  createToken,
  hashToken,
  identityOf,
  type NewToken,
  readTokens,
  revokeToken,
  type StoredToken,
} from './tokens.ts';
export { type Channel, LONGEST_MESSAGE, lineWriter, type OpenChannel } from './upstream/channel.ts';
export { type ContainerChannel, containerChannel } from './upstream/container.ts';
export { lines } from './upstream/lines.ts';
export { remoteChannel } from './upstream/remote.ts';
