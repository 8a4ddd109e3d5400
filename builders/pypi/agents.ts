import { readdir } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { join } from 'node:path';
import { getCACertificates, rootCertificates } from 'node:tls';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded } from '../../files/index.ts';
import type { Configuration } from './config/index.ts';

export type Agent = HttpAgent | HttpsAgent;

const CERTIFICATES_LIMIT = 8 * 1024 * 1024;

/**
 * Connections by the user's settings, kept and shared: proxies and their exceptions, certificate authorities, the client's own
 * certificate, hosts whose certificate is not checked because the user said so.
 * @throws McpBuildError `proxy-unsupported`, `certificate-unreadable`
 */
export function createAgents(configuration: Configuration): (url: URL) => Promise<Agent> {
  const agents = new Map<string, Promise<Agent>>();
  return (url) => {
    const insecure = isInsecure(url, configuration.insecureHosts);
    const key = `${url.protocol} ${insecure}`;
    let agent = agents.get(key);
    if (!agent) {
      agent = makeAgent(url.protocol, insecure, configuration);
      agents.set(key, agent);
    }
    return agent;
  };
}

async function makeAgent(protocol: string, insecure: boolean, configuration: Configuration): Promise<Agent> {
  const { http, https, none } = configuration.proxy;
  for (const proxy of [http, https]) checkProxy(proxy);
  const proxyEnv = {
    ...(http ? { HTTP_PROXY: withScheme(http) } : {}),
    ...(https ? { HTTPS_PROXY: withScheme(https) } : {}),
    ...(none ? { NO_PROXY: none } : {}),
  };
  const common = { keepAlive: true, maxSockets: 16, proxyEnv };
  if (protocol === 'http:') return new HttpAgent(common);
  const ca = await authorities(configuration);
  const client = configuration.clientCertificate ? await readCertificates(configuration.clientCertificate) : undefined;
  return new HttpsAgent({
    ...common,
    ...(ca ? { ca: [...ca] } : {}),
    ...(client ? { cert: client, key: client } : {}),
    rejectUnauthorized: !insecure,
  });
}

/** The certificate authorities to trust; undefined for Node's own. */
async function authorities(configuration: Configuration): Promise<readonly string[] | undefined> {
  if (configuration.certificates) {
    return [await readCertificates(configuration.certificates)];
  }
  const folder = configuration.certificateFolder;
  if (folder) {
    const names = (await readdir(folder).catch(() => []))
      .filter((name) => /\.(?:pem|crt|[0-9])$/.test(name))
      .slice(0, 2000);
    const found = await Promise.all(
      names.map((name) => readBounded(join(folder, name), CERTIFICATES_LIMIT).then(String, () => '')),
    );
    const pems = [...new Set(found)].filter((text) => text.includes('-----BEGIN CERTIFICATE-----'));
    if (pems.length > 0) return pems;
  }
  if (configuration.systemCertificates) return [...getCACertificates('system'), ...rootCertificates];
  return undefined;
}

async function readCertificates(path: string): Promise<string> {
  try {
    return (await readBounded(path, CERTIFICATES_LIMIT)).toString('utf8');
  } catch (cause) {
    throw new McpBuildError({
      code: 'certificate-unreadable',
      message: `The certificates in ${path} can't be read`,
      input: path,
      fix: 'Correct SSL_CERT_FILE, SSL_CLIENT_CERT, or cert and client-cert in the configuration of pip.',
      exit: 2,
      cause,
    });
  }
}

function isInsecure(url: URL, hosts: readonly string[]): boolean {
  return hosts.some((host) => host === url.hostname || host === url.host || host === '*');
}

function withScheme(proxy: string): string {
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

function checkProxy(proxy: string | undefined): void {
  if (proxy === undefined || /^https?:\/\//i.test(withScheme(proxy))) return;
  throw new McpBuildError({
    code: 'proxy-unsupported',
    message: `The proxy is a ${withScheme(proxy).split(':')[0]} proxy; only http and https ones are used`,
    fix: 'Set HTTPS_PROXY to an HTTP proxy, or NO_PROXY for the index.',
    exit: 2,
  });
}
