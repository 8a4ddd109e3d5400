import { McpBuildError } from '../../errors/index.ts';
import { type AptConfiguration, aptConfiguration } from './apt.ts';

export interface MirrorOptions {
  /** The user's variables; never `process.env` itself. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The folder of apt's configuration; `/etc/apt` by default. */
  readonly apt?: string;
}

/** Where Debian's files come from. URLs end without a slash and may hold credentials: print them by `withoutCredentials`. */
export interface Mirror {
  readonly main: string;
  readonly security: string;
  /** A service that still has superseded packages, by date. */
  readonly snapshot: string | undefined;
  readonly proxy: string | undefined;
  readonly noProxy: string | undefined;
}

export function withoutCredentials(url: string): string {
  return url.replace(/^(https?:\/\/)[^/]*@/, '$1');
}

/**
 * The mirror the user has configured: `MCP_BUILD_DEBIAN_MIRROR` (and `MCP_BUILD_DEBIAN_SECURITY_MIRROR`, else `<mirror>-security`),
 * else the one of the machine's apt. No mirror is built in.
 * @throws McpBuildError `mirror-unset`, `mirror-invalid`
 */
export async function mirrorOf(options: MirrorOptions): Promise<Mirror> {
  const { environment } = options;
  const named = urlOf(environment, 'MCP_BUILD_DEBIAN_MIRROR');
  const namedSecurity = urlOf(environment, 'MCP_BUILD_DEBIAN_SECURITY_MIRROR');
  const apt: AptConfiguration | undefined = named ? undefined : await aptConfiguration(options.apt ?? '/etc/apt');
  const main = named ?? apt?.mirror;
  if (!main) throw unset();
  return {
    main,
    security: namedSecurity ?? apt?.security ?? `${main}-security`,
    snapshot: urlOf(environment, 'MCP_BUILD_DEBIAN_SNAPSHOT'),
    proxy: proxyFor(main, environment) ?? apt?.proxy,
    noProxy: environment.no_proxy ?? environment.NO_PROXY,
  };
}

export function isSecurity(suite: string): boolean {
  return suite.endsWith('-security');
}

export function archiveOf(mirror: Mirror, suite: string): string {
  return isSecurity(suite) ? mirror.security : mirror.main;
}

function proxyFor(url: string, environment: MirrorOptions['environment']): string | undefined {
  const names = url.startsWith('https:') ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy'];
  return names.map((name) => environment[name]).find((value) => value !== undefined && value !== '');
}

function urlOf(environment: MirrorOptions['environment'], name: string): string | undefined {
  const text = environment[name];
  if (text === undefined || text === '') return undefined;
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return text.replace(/\/+$/, '');
  throw new McpBuildError({
    code: 'mirror-invalid',
    message: `${name} is not an http or https URL`,
    input: name,
    fix: `Set ${name} to a URL such as https://mirror.example.test/debian.`,
    exit: 2,
  });
}

function unset(): McpBuildError {
  return new McpBuildError({
    code: 'mirror-unset',
    message: 'No Debian mirror is configured, and the apt of this machine names none',
    input: 'MCP_BUILD_DEBIAN_MIRROR',
    fix: "Set MCP_BUILD_DEBIAN_MIRROR to your mirror's URL, the one that ends in /debian (and MCP_BUILD_DEBIAN_SECURITY_MIRROR where its security archive isn't at <mirror>-security).",
    exit: 2,
  });
}
