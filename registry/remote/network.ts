import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import tls from 'node:tls';
import { bareHost, isLoopback, isPrivateAddress, isPrivateHost, publicOnly } from './address.ts';
import { type Certificates, secureContext } from './certificates.ts';
import { addressRefused, plainHttpRefused } from './fault.ts';
import { type Environment, proxyFor } from './proxy.ts';
import { tapped } from './tap.ts';
import { type Channel, isPlainHttp, networkFault, type Patience } from './wire.ts';

export interface NetworkOptions {
  readonly environment: Environment;
  readonly certificates: Certificates;
  /** Speak plain HTTP with a registry that isn't on this machine. */
  readonly plainHttp: boolean;
  readonly patience: Patience;
}

/** How one registry, and the hosts it points at, are reached. */
export interface Network {
  /** `https://host[:port]`, or `http://…` where that is allowed and spoken. */
  origin(): Promise<URL>;
  /** @throws McpBuildError `plain-http-refused`, `address-refused` for a host that this registry may not send us to */
  channel(url: URL): Promise<Channel>;
  /** Trust what the system trusts too; false when that was so already. */
  trustSystem(): boolean;
}

/** @param registry `host[:port]` */
export function openNetwork(registry: string, options: NetworkOptions): Network {
  const channels = new Map<string, Promise<Channel>>();
  let system = false;
  let origin: Promise<URL> | undefined;
  let isPrivate: Promise<boolean> | undefined;

  const secure = (host: string, own: boolean) => secureContext(host, own, options.certificates, system);

  const open = async (url: URL, own: boolean): Promise<Channel> => {
    const proxy = proxyFor(url, options.environment);
    const guarded = !own && (await mustBePublic());
    if (guarded && (isLoopback(url) || (isIP(bareHost(url)) !== 0 && isPrivateAddress(bareHost(url))))) {
      throw addressRefused(url.host, registry);
    }
    const context = url.protocol === 'https:' ? await secure(own ? registry : url.host, own) : undefined;
    const Agent = url.protocol === 'https:' ? https.Agent : http.Agent;
    const agent = new Agent({
      keepAlive: true,
      ...(context ? { secureContext: context } : {}),
      ...(proxy ? { proxyEnv: { HTTPS_PROXY: proxy, HTTP_PROXY: proxy } } : {}),
    });
    // Behind a proxy it is the proxy that looks names up, and its rules that hold.
    return { agent: proxy ? agent : tapped(agent), ...(guarded && !proxy ? { lookup: publicOnly(registry) } : {}) };
  };

  /** Whether the registry is a public one: its answers must not steer requests into this network. */
  const mustBePublic = async (): Promise<boolean> => {
    const url = await network.origin();
    isPrivate ??= proxyFor(url, options.environment) ? Promise.resolve(false) : isPrivateHost(url);
    return !(await isPrivate);
  };

  const network: Network = {
    origin: () => {
      origin ??= schemeOf(registry, options, secure).then((scheme) => new URL(`${scheme}//${registry}`));
      origin.catch(() => {
        origin = undefined;
      });
      return origin;
    },
    channel: async (url) => {
      const home = await network.origin();
      const own = url.origin === home.origin;
      if (!own && url.protocol === 'http:' && !(options.plainHttp || (home.protocol === 'http:' && isLoopback(url)))) {
        throw plainHttpRefused(url.host);
      }
      let channel = channels.get(url.origin);
      if (!channel) {
        channel = open(url, own);
        channels.set(url.origin, channel);
      }
      return channel;
    },
    trustSystem: () => {
      if (system) return false;
      system = true;
      channels.clear();
      origin = undefined;
      return true;
    },
  };
  return network;
}

/** HTTPS, but for a registry on this machine that answers without it, or where plain HTTP was asked for. */
async function schemeOf(
  registry: string,
  options: NetworkOptions,
  secure: (host: string, own: boolean) => Promise<tls.SecureContext | undefined>,
): Promise<'https:' | 'http:'> {
  const url = new URL(`https://${registry}`);
  if (!isLoopback(url)) return options.plainHttp ? 'http:' : 'https:';
  const context = await secure(registry, true);
  return new Promise((resolve, reject) => {
    const host = bareHost(url);
    const socket = tls.connect({
      host,
      port: Number(url.port || 443),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(context ? { secureContext: context } : {}),
      timeout: options.patience.connect,
    });
    const end = (answer: () => void) => {
      socket.destroy();
      answer();
    };
    socket.once('secureConnect', () => end(() => resolve('https:')));
    socket.once('timeout', () =>
      end(() => reject(networkFault(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' }), url))),
    );
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // A server without TLS either answers in HTTP or hangs up on the handshake.
      end(() =>
        isPlainHttp(error) || error.code === 'ECONNRESET' ? resolve('http:') : reject(networkFault(error, url)),
      );
    });
  });
}
