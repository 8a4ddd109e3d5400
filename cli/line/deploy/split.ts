import { isFault, McpBuildError } from '../../../errors/index.ts';
import { parseConfig } from '../../../gateway/index.ts';
import type { Environment } from '../home.ts';

/** One configuration of a gateway, taken apart: what says what is started, and what says who may call it. */
export interface Halves {
  readonly daemon: Json;
  readonly gateway: Json;
  /** Where the gateway listens, as `mcpProxy.addr` says. */
  readonly port: number | undefined;
  readonly tls: TlsPaths | undefined;
  /** Folders that servers are given. */
  readonly volumes: readonly string[];
}

/** Files that the gateway reads, on this machine. */
export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
  readonly clientCA?: string;
}

type Json = { [key: string]: unknown };

/** What the process that faces the network must neither know nor be able to say. */
const OF_DAEMON = ['command', 'args', 'env', 'secrets', 'permissions', 'limits'] as const;

/**
 * Takes a `config.json` apart as it stands: what `${NAME}` stands for is filled in where the halves are used, and isn't written to any file here.
 * @throws McpBuildError `config-invalid`, `command-refused` and what else reading it throws
 */
export function splitConfig(text: string, file: string, environment: Environment): Halves {
  const value = parse(text, file);
  const { mcpProxy, mcpServers } = value;
  if (!isJson(mcpProxy) || !isJson(mcpServers)) throw earlier(file);
  const proxyOptions = isJson(mcpProxy.options) ? mcpProxy.options : {};
  const daemon: Json = {};
  const gateway: Json = {};
  const volumes = new Set<string>();
  for (const [name, entry] of Object.entries(mcpServers)) {
    if (!isJson(entry)) throw earlier(file);
    const own = Object.fromEntries(Object.entries(entry).filter(([key]) => !isOfDaemon(key)));
    gateway[name] = own;
    if (entry.command === undefined) continue;
    const options = isJson(entry.options) ? entry.options : {};
    // How many may run is for both: the gateway asks for no more, and the daemon gives no more.
    const most = options.maxContainers ?? proxyOptions.maxContainers;
    const kept = {
      ...(most === undefined ? {} : { maxContainers: most }),
      ...(options.disabled === undefined ? {} : { disabled: options.disabled }),
    };
    daemon[name] = {
      ...Object.fromEntries(Object.entries(entry).filter(([key]) => isOfDaemon(key))),
      ...(Object.keys(kept).length > 0 ? { options: kept } : {}),
    };
    for (const path of volumesIn(entry.permissions)) volumes.add(path);
  }
  const halves = { daemon: { mcpServers: daemon }, gateway: { ...value, mcpServers: gateway } };
  const whole = check(text, file, environment, 'whole');
  check(JSON.stringify(halves.daemon), file, environment, 'daemon');
  check(JSON.stringify(halves.gateway), file, environment, 'gateway');
  const address = whole?.address;
  const tls = isJson(mcpProxy.tls) ? (mcpProxy.tls as unknown as TlsPaths) : undefined;
  return { ...halves, port: address?.kind === 'tcp' ? address.port : undefined, tls, volumes: [...volumes].sort() };
}

/** The same settings with the files below another folder, by the names that `tlsNames` gives them. */
export function tlsBelow(folder: string, tls: TlsPaths): TlsPaths {
  return { ...tls, ...Object.fromEntries(tlsNames(tls).map(({ field, name }) => [field, `${folder}/${name}`])) };
}

export function tlsNames(
  tls: TlsPaths,
): readonly { readonly field: string; readonly name: string; readonly path: string }[] {
  return (['cert', 'key', 'clientCA'] as const).flatMap((field) => {
    const path = tls[field];
    return path === undefined ? [] : [{ field, name: `${field}.pem`, path }];
  });
}

/** A configuration whose variables aren't set here is read where it is used. */
function check(text: string, file: string, environment: Environment, role: 'whole' | 'daemon' | 'gateway') {
  try {
    return parseConfig(text, file, environment, role);
  } catch (error) {
    if (isFault(error, 'environment-missing')) return undefined;
    throw error;
  }
}

function parse(text: string, file: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    value = undefined;
  }
  if (isJson(value)) return value;
  throw new McpBuildError({
    code: 'config-invalid',
    message: `${file} is no JSON object`,
    input: file,
    fix: 'Check it with `mcp-build serve --check --config`.',
    exit: 2,
  });
}

function volumesIn(permissions: unknown): readonly string[] {
  const volumes = isJson(permissions) && Array.isArray(permissions.volumes) ? (permissions.volumes as unknown[]) : [];
  return volumes.flatMap((one) => (isJson(one) && typeof one.path === 'string' ? [one.path] : []));
}

function isOfDaemon(key: string): boolean {
  return (OF_DAEMON as readonly string[]).includes(key);
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function earlier(file: string): McpBuildError {
  return new McpBuildError({
    code: 'config-invalid',
    message: `${file} has no "mcpProxy" and "mcpServers"`,
    input: file,
    fix: 'Write the configuration in the newer form, with "mcpProxy" and "mcpServers".',
    exit: 2,
  });
}
