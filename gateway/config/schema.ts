import { z } from 'zod';
import { ROLE_NAMES } from '../identity.ts';
import { isPattern, limitSchema } from '../policy/limits.ts';
import { SECRET_NAMES } from '../policy/secrets.ts';
import { parseDuration } from './duration.ts';

const duration = z.union([z.string(), z.number()]).transform((value, context) => {
  const milliseconds = parseDuration(value);
  if (milliseconds !== undefined) return milliseconds;
  context.addIssue({ code: 'custom', message: 'is no duration: write 30s, 1m30s or a number of nanoseconds' });
  return z.NEVER;
});

const token = z.string().min(1).max(4096);
const text = z.string().max(64 * 1024);
const texts = z.record(z.string().min(1).max(200), text);
const transport = z.enum(['stdio', 'sse', 'streamable-http', 'http']);
const limit = z.int().min(1).max(1_000_000);

const filter = z.strictObject({
  mode: z.enum(['allow', 'block']).default('allow'),
  list: z.array(z.string().max(400)).max(5000).default([]),
});

const secretPatterns = z.strictObject({
  arguments: z.enum(['block', 'allow']).default('block'),
  results: z.enum(['block', 'redact', 'allow']).default('block'),
  also: z
    .record(z.string().max(100), z.string().min(4).max(2_000).refine(isPattern, 'is no regular expression'))
    .default({}),
  except: z.array(z.enum(SECRET_NAMES as [string, ...string[]])).default([]),
});

/** The fields of TBXark's `options`, and below them this gateway's own. */
const options = z.strictObject({
  panicIfInvalid: z.boolean().optional(),
  logEnabled: z.boolean().optional(),
  authTokens: z.array(token).max(1000).optional(),
  toolFilter: filter.optional(),
  disabled: z.boolean().optional(),
  pingInterval: duration.optional(),
  autoReconnect: z.boolean().optional(),
  reconnectInterval: duration.optional(),
  readOnly: z.boolean().optional(),
  sessions: z.enum(['auto', 'shared', 'per-client']).optional(),
  lazy: z.boolean().optional(),
  idleTimeout: duration.optional(),
  sessionTimeout: duration.optional(),
  maxConcurrent: limit.optional(),
  maxQueued: limit.optional(),
  maxSessions: limit.optional(),
  maxContainers: limit.optional(),
  argumentLimits: z.record(z.string().max(400), limitSchema).optional(),
  secretPatterns: secretPatterns.optional(),
});

const web = z.url({ protocol: /^https?$/, error: 'it is no http(s) address' });
const address = z.union([z.literal(''), web]);
/** A name and password in an address end up in logs, and Node asks none that holds them. */
const elsewhere = web.refine((url) => {
  const read = URL.parse(url);
  return read === null || (read.username === '' && read.password === '');
}, 'it holds a name or password, which belong into "headers"');

const oauth = z.strictObject({
  clientId: z.string().max(1000).optional(),
  clientSecret: z.string().max(4096).optional(),
  scopes: z.array(z.string().max(200)).max(100).optional(),
  redirectURI: address.optional(),
  authServerMetadataURL: address.optional(),
  pkceEnabled: z.boolean().optional(),
});

const server = z.strictObject({
  transportType: transport.optional(),
  command: z.string().min(1).max(4096).optional(),
  args: z.array(text).max(1000).optional(),
  env: texts.optional(),
  url: elsewhere.optional(),
  headers: texts.optional(),
  timeout: duration.optional(),
  oauth: oauth.optional(),
  options: options.optional(),
  /** Read by the runner. */
  permissions: z.unknown().optional(),
  limits: z.unknown().optional(),
  secrets: z.record(z.string(), z.string().max(4096)).optional(),
});

const claimName = z.string().min(1).max(200);

/** Who of those that the provider or the client authority vouches for may do what. */
const grant = z.strictObject({
  scope: z.string().min(1).max(200).optional(),
  claim: z.strictObject({ name: claimName, value: z.union([z.string().max(400), z.number(), z.boolean()]) }).optional(),
  certificate: z
    .strictObject({
      CN: claimName.optional(),
      O: claimName.optional(),
      OU: claimName.optional(),
      SAN: claimName.optional(),
    })
    .refine((value) => Object.keys(value).length > 0, 'names nothing of a certificate')
    .optional(),
  roles: z.array(z.enum(ROLE_NAMES)).min(1).max(ROLE_NAMES.length),
  servers: z.array(z.string().max(200)).max(1000).optional(),
  tools: z
    .array(
      z
        .string()
        .max(400)
        .regex(/^[\w.-]+\/.+$/, 'is not server/tool'),
    )
    .max(2000)
    .optional(),
});

const webAddress = z.url({ protocol: /^https?$/ }).max(2000);

/** Access tokens of an authorization server elsewhere. Only signatures that anybody can check with a public key. */
const resourceServer = z.strictObject({
  issuer: webAddress,
  jwksURI: webAddress.optional(),
  audience: z.union([z.string().min(1).max(2000), z.array(z.string().min(1).max(2000)).min(1).max(20)]).optional(),
  algorithms: z
    .array(
      z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']),
    )
    .min(1)
    .optional(),
  clockSkew: duration.optional(),
  requiredScopes: z.array(z.string().min(1).max(200)).max(50).optional(),
  nameClaim: claimName.optional(),
});

const proxy = z.strictObject({
  baseURL: address.optional(),
  addr: z.string().max(4096).optional(),
  name: z.string().max(200).optional(),
  version: z.string().max(200).optional(),
  type: transport.optional(),
  options: options.optional(),
  startupGracePeriod: duration.optional(),
  allowedHosts: z.array(z.string().max(300)).max(100).optional(),
  allowedOrigins: z.array(z.string().max(300)).max(100).optional(),
  maxBody: z
    .int()
    .min(1024)
    .max(1024 ** 3)
    .optional(),
  requestsPerSecond: z.number().positive().max(1e6).optional(),
  tls: z
    .strictObject({
      cert: z.string(),
      key: z.string(),
      clientCA: z.string().optional(),
      clientCertificates: z.enum(['required', 'optional']).optional(),
    })
    .optional(),
  oauth: resourceServer.optional(),
  grants: z.array(grant).max(1000).optional(),
});

export const currentSchema = z.strictObject({
  $schema: z.string().optional(),
  mcpProxy: proxy,
  mcpServers: z.record(z.string(), server),
});

const earlierClient = z.strictObject({
  type: z.enum(['stdio', 'sse', 'streamable-http']),
  config: z.strictObject({
    command: z.string().min(1).optional(),
    args: z.array(text).max(1000).optional(),
    env: texts.optional(),
    url: elsewhere.optional(),
    headers: texts.optional(),
    timeout: duration.optional(),
  }),
  panicIfInvalid: z.boolean().optional(),
  logEnabled: z.boolean().optional(),
  authTokens: z.array(token).optional(),
});

export const earlierSchema = z.strictObject({
  server: z.strictObject({
    baseURL: address.optional(),
    addr: z.string().optional(),
    name: z.string().optional(),
    version: z.string().optional(),
    globalAuthTokens: z.array(token).optional(),
  }),
  clients: z.record(z.string(), earlierClient),
});

export type Current = z.output<typeof currentSchema>;
export type Earlier = z.output<typeof earlierSchema>;
export type Options = z.output<typeof options>;
export type Grant = z.output<typeof grant>;
export type ServerEntry = z.output<typeof server>;
