import type { z } from 'zod';
import { type Limits, type Permissions, parseLimits, parsePermissions } from '../../runner/index.ts';
import type { PolicyOptions } from '../policy/policy.ts';
import { isObject } from '../rpc/message.ts';
import type { Rules } from '../rules.ts';
import { type ResourceServer, resourceServer, type TlsFiles, tlsFiles } from './access.ts';
import { type Address, parseAddress } from './address.ts';
import { readCommand, type Target } from './command.ts';
import { expand } from './expand.ts';
import { configInvalid } from './faults.ts';
import {
  type Current,
  currentSchema,
  type Earlier,
  earlierSchema,
  type Grant,
  type Options,
  type ServerEntry,
} from './schema.ts';

/** The whole of a gateway, as its file says it. */
export interface GatewayConfig {
  readonly address: Address;
  /** Where clients reach it, where that isn't the address itself: behind a reverse proxy. */
  readonly baseURL: URL | undefined;
  readonly hosts: readonly string[];
  readonly origins: readonly string[];
  readonly tls: TlsFiles | undefined;
  /** Whose access tokens are taken. */
  readonly oauth: ResourceServer | undefined;
  /** Who of its holders, and of those with a client certificate, may do what; undefined: each may call everything. */
  readonly grants: readonly Grant[] | undefined;
  /** Of a request's body, in bytes. */
  readonly maxBody: number;
  /** Of each client; undefined for no limit. */
  readonly requestsPerSecond: number | undefined;
  readonly servers: readonly ServerConfig[];
}

export interface ServerConfig {
  readonly name: string;
  readonly behind: Behind;
  /** As they stand in the file. */
  readonly tokens: readonly string[];
  readonly rules: Rules;
  readonly policy: PolicyOptions;
  readonly sessions: 'auto' | 'shared' | 'per-client';
  readonly lazy: boolean;
  /** What can't be started ends the gateway instead of staying unavailable. */
  readonly required: boolean;
  readonly logged: boolean;
  /** All in milliseconds; 0 for never. */
  readonly timeout: number;
  readonly idle: number;
  readonly forget: number | undefined;
  readonly ping: number | undefined;
  readonly reconnect: number | undefined;
  readonly restart: boolean;
  readonly maxConcurrent: number | undefined;
  readonly maxQueued: number | undefined;
  readonly maxSessions: number | undefined;
  readonly maxContainers: number | undefined;
}

export type Behind =
  | {
      readonly kind: 'contained';
      readonly target: Target;
      readonly environment: Readonly<Record<string, string>>;
      readonly secrets: Readonly<Record<string, string>>;
      readonly permissions: Permissions;
      readonly limits: Limits | undefined;
    }
  /** Known to the daemon that starts it, by this name; what it is isn't known here. */
  | { readonly kind: 'named' }
  | {
      readonly kind: 'remote';
      readonly url: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly transport: 'sse' | 'streamable-http' | undefined;
      readonly oauth: ServerEntry['oauth'];
    };

/**
 * Who reads a configuration: a gateway that starts its servers itself; one that has a daemon start them and must not be able to say what they are; that daemon.
 */
export type ConfigRole = 'whole' | 'gateway' | 'daemon';

type Environment = Readonly<Record<string, string | undefined>>;

const MAX_BODY = 16 * 1024 * 1024;
const NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;

/**
 * Reads TBXark mcp-proxy's configuration, of either generation, with this gateway's own fields in it.
 * @param file for messages. @throws McpBuildError `config-invalid`, `command-refused`, `environment-missing`, `permission-refused`, `permission-invalid`
 */
export function parseConfig(
  text: string,
  file: string,
  environment: Environment,
  role: ConfigRole = 'whole',
): GatewayConfig {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    throw configInvalid(file, '', `is not JSON: ${(cause as Error).message}`);
  }
  value = expand(value, environment);
  // Where a gateway listens is none of its daemon's concern.
  if (role === 'daemon' && isObject(value) && value.mcpProxy === undefined && value.server === undefined) {
    value = { ...value, mcpProxy: {} };
  }
  const earlier = isObject(value) && value.mcpProxy === undefined && value.server !== undefined;
  const config = earlier ? modernised(check(earlierSchema, value, file)) : check(currentSchema, value, file);
  const { mcpProxy } = config;
  const baseURL = mcpProxy.baseURL ? new URL(mcpProxy.baseURL) : undefined;
  const own = baseURL ? [baseURL.hostname] : [];
  return {
    address: parseAddress(mcpProxy.addr ?? ':9090', file),
    baseURL,
    hosts: [...own, ...(mcpProxy.allowedHosts ?? [])],
    origins: [...(baseURL ? [baseURL.origin] : []), ...(mcpProxy.allowedOrigins ?? [])],
    tls: mcpProxy.tls && tlsFiles(mcpProxy.tls, file),
    oauth: mcpProxy.oauth && resourceServer(mcpProxy.oauth, file),
    grants: mcpProxy.grants,
    maxBody: mcpProxy.maxBody ?? MAX_BODY,
    requestsPerSecond: mcpProxy.requestsPerSecond,
    servers: Object.entries(config.mcpServers)
      .filter(([, { options }]) => options?.disabled !== true)
      .map(([name, entry]) => serverConfig(name, entry, mcpProxy.options ?? {}, { environment, file, role }))
      .filter(({ behind }) => role !== 'daemon' || behind.kind === 'contained'),
  };
}

function serverConfig(
  name: string,
  entry: ServerEntry,
  inherited: Options,
  { environment, file, role }: { readonly environment: Environment; readonly file: string; readonly role: ConfigRole },
): ServerConfig {
  const path = `mcpServers.${name}`;
  if (!NAME.test(name)) {
    throw configInvalid(file, path, 'is part of a URL: use letters, digits, dots, hyphens and underscores');
  }
  // All but these two count for every server.
  const { toolFilter: _filter, disabled: _disabled, ...rest } = inherited;
  const options: Options = { ...rest, ...entry.options };
  return {
    name,
    behind: role === 'gateway' ? named(path, entry, file) : behind(path, entry, environment, file),
    tokens: options.authTokens ?? [],
    rules: {
      readOnly: options.readOnly === true,
      // An empty list says nothing, in either mode.
      ...(options.toolFilter && options.toolFilter.list.length > 0 ? { filter: options.toolFilter } : {}),
    },
    policy: { limits: options.argumentLimits, secrets: options.secretPatterns },
    sessions: options.sessions ?? 'auto',
    lazy: options.lazy === true,
    required: options.panicIfInvalid === true,
    logged: options.logEnabled !== false,
    timeout: entry.timeout ?? 0,
    idle: options.idleTimeout ?? 0,
    forget: options.sessionTimeout,
    ping: options.pingInterval,
    reconnect: options.reconnectInterval,
    restart: options.autoReconnect !== false,
    maxConcurrent: options.maxConcurrent,
    maxQueued: options.maxQueued,
    maxSessions: options.maxSessions,
    maxContainers: options.maxContainers,
  };
}

/** Whoever took over the gateway would have what stands in its configuration, and could ask for more: none of it may be there. */
function named(path: string, entry: ServerEntry, file: string): Behind {
  if (entry.url !== undefined) return remote(path, entry, file);
  const [field] = (['command', 'args', 'env', 'secrets', 'permissions', 'limits'] as const).filter(
    (one) => entry[one] !== undefined,
  );
  if (field === undefined) return { kind: 'named' };
  throw configInvalid(
    file,
    `${path}.${field}`,
    'is the daemon’s to say, where a daemon starts the servers',
    'Move it to the configuration of `mcp-build daemon`; `mcp-build deploy systemd` takes one file apart into both.',
  );
}

function remote(path: string, { url = '', transportType, headers, oauth }: ServerEntry, file: string): Behind {
  if (transportType === 'stdio') throw configInvalid(file, path, 'has a url and the transportType stdio');
  const transport = transportType === 'http' ? 'streamable-http' : transportType;
  return { kind: 'remote', url, headers: headers ?? {}, transport, oauth };
}

function behind(path: string, entry: ServerEntry, environment: Environment, file: string): Behind {
  const { command, url, transportType } = entry;
  if (command !== undefined && url !== undefined) throw configInvalid(file, path, 'has both a command and a url');
  if (command !== undefined && transportType !== undefined && transportType !== 'stdio') {
    throw configInvalid(file, path, `has a command, which speaks stdio, and the transportType ${transportType}`);
  }
  if (url !== undefined) return remote(path, entry, file);
  if (command === undefined) throw configInvalid(file, path, 'has neither a command nor a url');
  const target = readCommand(command, entry.args ?? []);
  if (target.kind === 'none') {
    const refused = configInvalid(file, path, target.reason, target.fix);
    throw Object.assign(refused, { code: 'command-refused' });
  }
  const values = { ...entry.env, ...(target.kind === 'image' ? passedOn(target.environment, environment) : {}) };
  const secrets = entry.secrets ?? {};
  const given = isObject(entry.permissions) ? entry.permissions : {};
  const declared = Array.isArray(given.environment) ? (given.environment as unknown[]) : [];
  const names = [...new Set([...declared, ...Object.keys(values), ...Object.keys(secrets)])];
  return {
    kind: 'contained',
    target,
    environment: values,
    secrets,
    permissions: parsePermissions({ ...given, environment: names }, `${path}.permissions`),
    limits: entry.limits === undefined ? undefined : parseLimits(entry.limits),
  };
}

/** `docker run -e NAME` takes the value from where the gateway runs. */
function passedOn(words: readonly string[], environment: Environment): Record<string, string> {
  return Object.fromEntries(
    words.flatMap((word) => {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word : word.slice(0, equals);
      const value = equals < 0 ? environment[name] : word.slice(equals + 1);
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function modernised({ server, clients }: Earlier): Current {
  const { globalAuthTokens, ...proxy } = server;
  return {
    mcpProxy: { ...proxy, ...(globalAuthTokens ? { options: { authTokens: globalAuthTokens } } : {}) },
    mcpServers: Object.fromEntries(
      Object.entries(clients).map(([name, { type, config, authTokens, ...options }]) => {
        // The first generation adds a client's own tokens to the global ones.
        const tokens = authTokens ? [...authTokens, ...(globalAuthTokens ?? [])] : undefined;
        const own = { ...options, ...(tokens ? { authTokens: tokens } : {}) };
        return [name, { ...config, ...(type === 'stdio' ? {} : { transportType: type }), options: own }];
      }),
    ),
  } as Current;
}

function check<S extends z.ZodType>(schema: S, value: unknown, file: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const fields = issue.keys.map((key) => [...path, key].join('.'));
    throw configInvalid(file, fields.join(', '), fields.length === 1 ? 'is no known field' : 'are no known fields');
  }
  throw configInvalid(file, path.join('.'), `does not fit: ${issue.message}`);
}
