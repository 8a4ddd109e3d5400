import { homedir } from 'node:os';
import { join } from 'node:path';
import { PackageURL, UrlConverter } from '@socketregistry/packageurl-js';
import { McpBuildError } from '../../../errors/index.ts';
import type { FetchOptions } from '../../adapter.ts';
import { type Credentials, type Netrc, parseNetrc } from './netrc.ts';
import { type PipSettings, pipSettings } from './pip.ts';
import { readOptional, type Surroundings } from './surroundings.ts';
import { type UvIndex, type UvSettings, uvSettings } from './uv.ts';

export { type Credentials, credentialsIn, type Netrc } from './netrc.ts';

/** One index with the simple API. */
export interface Index {
  /** As the user's configuration names it; `default`, or `extra-1`, `extra-2`, … for those that have no name. */
  readonly name: string;
  /** Ends with `/`; never holds credentials. */
  readonly url: string;
  readonly credentials: Credentials | undefined;
}

/** Everything the user's and the system's (and a trusted workspace's) configuration says about indexes: read once, used by uv and by our own requests alike. */
export interface Configuration {
  /** In the order in which they are asked: the default one last. Never empty. */
  readonly indexes: readonly Index[];
  readonly strategy: string | undefined;
  readonly prerelease: string | undefined;
  readonly resolution: string | undefined;
  readonly keyring: string | undefined;
  /** PEM file with the certificate authorities to trust instead of the built-in ones. */
  readonly certificates: string | undefined;
  /** Folder of such files. */
  readonly certificateFolder: string | undefined;
  readonly systemCertificates: boolean;
  /** PEM file with the client's certificate and key. */
  readonly clientCertificate: string | undefined;
  /** `host` or `host:port` whose certificate is not checked, because the user said so. */
  readonly insecureHosts: readonly string[];
  readonly proxy: {
    readonly http: string | undefined;
    readonly https: string | undefined;
    readonly none: string | undefined;
  };
  readonly netrc: Netrc;
  /** In seconds: how long an index may be silent. */
  readonly timeout: number;
  /** How often a request is sent again after it failed in a way that may pass. */
  readonly retries: number;
}

const TIMEOUT = 30;
const RETRIES = 3;

/**
 * uv's configuration, and pip's where uv's says nothing: a machine that was set up for pip works as it is. pip's indexes count only
 * when uv's configuration has none, all or nothing, because the two give several indexes a different meaning.
 * @throws McpBuildError `uv-config-invalid`, `index-unsupported`
 */
export async function readConfiguration({
  environment,
  workspace,
}: Pick<FetchOptions, 'environment' | 'workspace'>): Promise<Configuration> {
  const surroundings: Surroundings = {
    environment,
    home: environment.HOME || homedir(),
    system: process.platform,
    workspace,
  };
  const [uv, pip] = await Promise.all([uvSettings(surroundings), pipSettings(surroundings)]);
  const proxy = environment.ALL_PROXY || environment.all_proxy || pip.proxy;
  const timeout = uv.timeout ?? pip.timeout;
  const retries = Number(environment.UV_HTTP_RETRIES || (environment.PIP_RETRIES ?? RETRIES));
  return {
    indexes: indexesOf(uv, pip, environment),
    strategy: uv.strategy,
    prerelease: uv.prerelease,
    resolution: uv.resolution,
    keyring: uv.keyring,
    certificates:
      environment.SSL_CERT_FILE || pip.certificate || environment.REQUESTS_CA_BUNDLE || environment.CURL_CA_BUNDLE,
    certificateFolder: environment.SSL_CERT_DIR || undefined,
    systemCertificates: uv.systemCertificates,
    clientCertificate: environment.SSL_CLIENT_CERT || pip.clientCertificate,
    insecureHosts: [...uv.insecureHosts, ...pip.trustedHosts].map((host) => host.toLowerCase()),
    proxy: {
      https: environment.HTTPS_PROXY || environment.https_proxy || uv.httpsProxy || proxy,
      http: environment.HTTP_PROXY || environment.http_proxy || uv.httpProxy || proxy,
      none: environment.NO_PROXY || environment.no_proxy || uv.noProxy,
    },
    netrc: parseNetrc((await readOptional(environment.NETRC || join(surroundings.home, '.netrc'))) ?? ''),
    timeout: Math.min(timeout ?? TIMEOUT, 600),
    retries: Number.isInteger(retries) && retries >= 0 ? Math.min(retries, 10) : RETRIES,
  };
}

function indexesOf(uv: UvSettings, pip: PipSettings, environment: Surroundings['environment']): readonly Index[] {
  if (uv.noIndex || pip.noIndex) throw noIndex();
  const fromPip: UvIndex[] = [
    ...pip.extraIndexUrls.map((url) => ({ name: undefined, url, isDefault: false })),
    ...(pip.indexUrl ? [{ name: undefined, url: pip.indexUrl, isDefault: true }] : []),
  ];
  const all = uv.indexes.length > 0 ? uv.indexes : fromPip;
  const main = all.find((index) => index.isDefault) ?? { name: undefined, url: defaultIndex(), isDefault: true };
  const taken = new Set<string>();
  const indexes: Index[] = [];
  let unnamed = 0;
  for (const index of [...all.filter((one) => !one.isDefault), main]) {
    const name = index.name ?? (index.isDefault ? 'default' : `extra-${++unnamed}`);
    // The first of a name counts: the more important file replaces the less important one's.
    if (taken.has(name)) continue;
    taken.add(name);
    indexes.push(indexOf(name, index.url, environment));
  }
  return indexes;
}

function indexOf(name: string, written: string, environment: Surroundings['environment']): Index {
  let url: URL;
  try {
    url = new URL(written);
  } catch {
    throw unsupported(name, 'its address is no URL');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw unsupported(name, `${url.protocol} is not read`);
  const variable = `UV_INDEX_${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`;
  const username = environment[`${variable}_USERNAME`] || decode(url.username);
  const password = environment[`${variable}_PASSWORD`] || decode(url.password);
  url.username = '';
  url.password = '';
  url.hash = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return { name, url: url.href, credentials: username || password ? { username, password } : undefined };
}

/** PyPI's own address, from the library whose business registries' addresses are: none is written here. */
function defaultIndex(): string {
  const project = UrlConverter.toDownloadUrl(PackageURL.fromString('pkg:pypi/a@0'))?.url;
  if (!project) throw unsupported('default', 'nothing says where it is');
  return new URL('../', project).href;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function noIndex(): McpBuildError {
  return new McpBuildError({
    code: 'index-unsupported',
    message: 'The configuration of uv or pip switches all indexes off (no-index)',
    fix: 'Name an index that has the simple API; folders of wheels (find-links) are not read.',
    exit: 2,
  });
}

function unsupported(name: string, why: string): McpBuildError {
  return new McpBuildError({
    code: 'index-unsupported',
    message: `Index "${name}" can't be used: ${why}`,
    input: name,
    fix: 'Give it as an http or https URL with the simple API, in UV_DEFAULT_INDEX, UV_INDEX, uv.toml or pip.conf.',
    exit: 2,
  });
}
