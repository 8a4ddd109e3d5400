import { access, realpath } from 'node:fs/promises';
import type { Agent } from 'node:https';
import { delimiter, dirname, join, resolve, sep } from 'node:path';
import { createSecureContext } from 'node:tls';
import { McpBuildError } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';

/** The user's npm configuration as npm's own libraries take it: camel case, with `@scope:registry` and `//host/:_authToken` keys verbatim. */
export type FlatOptions = Readonly<Record<string, unknown>>;

export interface NpmConfiguration {
  readonly flat: FlatOptions;
  /**
   * One for all requests of a protocol: connections stay open, and the certificate authorities are parsed once instead of at each
   * connection. They go through the proxy of npm's configuration, else that of the environment.
   */
  readonly agents: { readonly http: Agent; readonly https: Agent };
}

type Where = Pick<FetchOptions, 'environment' | 'workspace'>;

const loaded = new WeakMap<object, Map<string, Promise<NpmConfiguration>>>();

/**
 * Reads the user's and the system's npm configuration as npm does, and a project's `.npmrc` only for an explicit workspace. Read once
 * for each environment object.
 * @throws McpBuildError `npm-config-invalid`
 */
export function npmConfiguration({ environment, workspace }: Where): Promise<NpmConfiguration> {
  let byWorkspace = loaded.get(environment);
  if (!byWorkspace) {
    byWorkspace = new Map();
    loaded.set(environment, byWorkspace);
  }
  const key = workspace ?? '';
  let found = byWorkspace.get(key);
  if (!found) {
    found = load({ environment, workspace });
    byWorkspace.set(key, found);
  }
  return found;
}

async function load({ environment, workspace }: Where): Promise<NpmConfiguration> {
  const [{ default: Config }, { default: definitions }, installed] = await Promise.all([
    import('@npmcli/config'),
    import('@npmcli/config/lib/definitions/index.js'),
    findNpm(environment),
  ]);
  try {
    const config = new Config({
      ...definitions,
      npmPath: installed.folder,
      execPath: installed.node,
      env: await copyOf(environment),
      // As if asked for globally, which is npm's own way to leave every project's `.npmrc` unread.
      argv: ['node', 'npm', ...(workspace === undefined ? ['--location=global'] : [])],
      cwd: resolve(workspace ?? sep),
      warn: false,
    });
    await config.load();
    config.validate();
    const flat = config.flat;
    return { flat, agents: await agentsOf(flat, environment) };
  } catch (cause) {
    throw new McpBuildError({
      code: 'npm-config-invalid',
      message: `npm's configuration can't be used: ${cause instanceof Error ? cause.message : String(cause)}`,
      fix: 'Run `npm config ls` and correct the file it complains about; `npm config fix` repairs old credentials.',
      exit: 2,
      cause,
    });
  }
}

async function agentsOf(flat: FlatOptions, environment: Where['environment']): Promise<NpmConfiguration['agents']> {
  const { default: npmAgent } = await import('@npmcli/agent');
  const ca = flat.ca as string | string[] | undefined;
  const variables = new Map(Object.entries(environment).map(([key, value]) => [key.toLowerCase(), value || undefined]));
  const agentFor = (proxy: string | undefined) =>
    new npmAgent.Agent({
      // Not `ca` itself: Node makes a key for its pool from all options at each request, and a bundle of authorities has 200 KB.
      ...(ca ? { secureContext: createSecureContext({ ca }) } : {}),
      rejectUnauthorized: flat.strictSSL !== false,
      keepAlive: true,
      maxSockets: typeof flat.maxSockets === 'number' ? flat.maxSockets : 15,
      ...(typeof flat.localAddress === 'string' ? { localAddress: flat.localAddress } : {}),
      proxy,
      noProxy: (flat.noProxy as string | undefined) || variables.get('no_proxy'),
      timeouts: { connection: CONNECT_TIMEOUT },
    });
  const configured = ((flat.httpsProxy || flat.proxy) as string | undefined) || undefined;
  const secure = configured ?? variables.get('https_proxy');
  const plain = secure ?? variables.get('http_proxy') ?? variables.get('proxy');
  const https = agentFor(secure);
  return { https, http: plain === secure ? https : agentFor(plain) };
}

const CONNECT_TIMEOUT = 20_000;

/**
 * npm's library writes into the environment it is given, so it gets a copy. A global configuration file that npm named for its
 * child processes is dropped when it would lie beside a node of some project's `node_modules`: there never is one.
 */
async function copyOf(environment: Where['environment']): Promise<Record<string, string>> {
  const copy: Record<string, string> = {};
  for (const [key, value] of Object.entries(environment)) {
    if (value === undefined) continue;
    if (/^npm_config_globalconfig$/i.test(key) && inModules(value) && !(await exists(value))) continue;
    copy[key] = value;
  }
  return copy;
}

interface InstalledNpm {
  /** Folder of the npm package: it may bring a configuration of its own (Windows, Debian). */
  readonly folder: string;
  /** The node binary npm would run on: its prefix is where the global npmrc is. */
  readonly node: string;
}

/** Finds the user's npm without starting it (which costs 150 ms). The node we run on may be a project's own and says nothing. */
async function findNpm(environment: Where['environment']): Promise<InstalledNpm> {
  const windows = process.platform === 'win32';
  const path = environment.PATH ?? environment.Path ?? '';
  const folders = path.split(delimiter).filter((folder) => folder !== '' && !inModules(folder));
  const [node, npm] = await Promise.all([
    firstOf(folders, windows ? 'node.exe' : 'node'),
    firstOf(folders, windows ? 'npm.cmd' : 'npm'),
  ]);
  const folder = npm ? await packageOf(npm, windows) : join(dirname(process.execPath), 'node_modules', 'npm');
  const nodes = [
    node && !inModules(node) ? node : undefined,
    // Version managers put shims on PATH; npm's own place still tells the prefix.
    npm ? join(dirname(npm), 'node') : undefined,
    folder.endsWith(join('lib', 'node_modules', 'npm')) ? resolve(folder, '../../../bin/node') : undefined,
    process.execPath,
  ].filter((candidate) => candidate !== undefined);
  for (const candidate of nodes) {
    const prefix = windows ? dirname(candidate) : dirname(dirname(candidate));
    if (await exists(join(prefix, 'etc', 'npmrc'))) return { folder, node: candidate };
  }
  return { folder, node: nodes[0] ?? process.execPath };
}

async function firstOf(folders: readonly string[], name: string): Promise<string | undefined> {
  for (const folder of folders) {
    const path = join(folder, name);
    // A relative entry of PATH would find what a stranger put into the working directory.
    if (resolve(folder) !== folder || !(await exists(path))) continue;
    return name.startsWith('node') ? realpath(path) : path;
  }
  return undefined;
}

async function packageOf(npm: string, windows: boolean): Promise<string> {
  if (windows) return join(dirname(npm), 'node_modules', 'npm');
  return dirname(dirname(await realpath(npm)));
}

function inModules(path: string): boolean {
  return path.split(/[\\/]/).includes('node_modules');
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
