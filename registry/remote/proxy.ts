import { BlockList, isIP } from 'node:net';
import { McpBuildError } from '../../errors/index.ts';
import { bareHost, isLoopback } from './address.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for a URL by HTTPS_PROXY, HTTP_PROXY and NO_PROXY in either case; undefined for a direct connection. This machine is
 * never reached through one.
 * @throws McpBuildError `proxy-invalid`
 */
export function proxyFor(url: URL, environment: Environment): string | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const proxy = environment[name.toLowerCase()] || environment[name];
  if (!proxy || isLoopback(url) || isExempt(url, environment.no_proxy || environment.NO_PROXY || '')) return undefined;
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
  if (!URL.canParse(full) || !/^https?:$/.test(new URL(full).protocol)) {
    throw new McpBuildError({
      code: 'proxy-invalid',
      message: `${name} is not the URL of an HTTP proxy`,
      input: name,
      fix: 'Write it as http://proxy.example:3128.',
      exit: 2,
    });
  }
  return full;
}

/** NO_PROXY as curl and Go read it: `*`, domains with what is below them, addresses, CIDR ranges; each with an optional port. */
export function isExempt(url: URL, list: string): boolean {
  const host = bareHost(url).toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list.split(/[\s,]+/).some((entry) => entry !== '' && matches(entry.toLowerCase(), host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, name = '', wanted] = /^(\[[^\]]*\]|[^:]*|.*:.*:.*?)(?::(\d+))?$/.exec(entry) ?? [];
  if (wanted !== undefined && wanted !== port) return false;
  const bare = name.replace(/^\[|\]$/g, '');
  const [net = '', bits] = bare.split('/');
  const family = isIP(net);
  if (family !== 0) {
    if (bits === undefined) return net === host;
    const list = new BlockList();
    const length = Number(bits);
    if (!Number.isInteger(length) || length < 0 || length > (family === 4 ? 32 : 128)) return false;
    list.addSubnet(net, length, family === 4 ? 'ipv4' : 'ipv6');
    return isIP(host) === family && list.check(host, family === 4 ? 'ipv4' : 'ipv6');
  }
  const domain = bare.replace(/^\*?\./, '');
  return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
}
