import type { IncomingMessage, ServerResponse } from 'node:http';

/** Which pages and names may be used to speak to the gateway. */
export interface GuardOptions {
  /** Besides this machine's own names; `*` for any. Without ports. */
  readonly hosts: readonly string[];
  /** Besides none: `https://app.example.test`, or `*`. */
  readonly origins: readonly string[];
  /** A unix socket has no name that a browser could be tricked with. */
  readonly anyHost: boolean;
}

/** @returns why a request is not answered. Sets the headers that let an allowed page read the answer. */
export type Guard = (request: IncomingMessage, response: ServerResponse) => string | undefined;

const OWN = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

const EXPOSED = 'Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After';
const ALLOWED =
  'Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name';

/**
 * A web page that made a name of its own lead to this machine (DNS rebinding) betrays itself by the Host header, and any page by its Origin:
 * both are checked before anything else is looked at.
 */
export function guard(options: GuardOptions): Guard {
  const hosts = new Set(options.hosts.map((host) => host.toLowerCase()));
  const origins = new Set(options.origins.map((origin) => origin.toLowerCase().replace(/\/$/, '')));
  return (request, response) => {
    const { host, origin } = request.headers;
    if (!options.anyHost && !hosts.has('*')) {
      const name = (host ?? '').replace(/:\d*$/, '').toLowerCase();
      if (!OWN.test(name) && !hosts.has(name)) return `Host "${printed(host)}" is not one of this gateway’s`;
    }
    if (origin === undefined) return undefined;
    // The gateway's own address, which the Host header was found to be, is no foreign one.
    const own = origin.replace(/^https?:\/\//, '').toLowerCase() === host?.toLowerCase();
    if (!own && !origins.has('*') && !origins.has(origin.toLowerCase())) {
      return `Pages of ${printed(origin)} may not use this gateway`;
    }
    response.setHeader('access-control-allow-origin', origin);
    response.setHeader('vary', 'Origin');
    response.setHeader('access-control-expose-headers', EXPOSED);
    return undefined;
  };
}

/** The answer to a browser's question whether a page may do what it wants to do. */
export function preflight(request: IncomingMessage, response: ServerResponse): void {
  // Which of these there are is the tools' to say.
  const asked = String(request.headers['access-control-request-headers'] ?? '').toLowerCase();
  const params = asked.split(/[\s,]+/).filter((name) => /^mcp-param-[\w!#$%&'*+.^`|~-]{1,200}$/.test(name));
  response.writeHead(204, {
    'access-control-allow-methods': 'GET, POST, DELETE',
    'access-control-allow-headers': [ALLOWED, ...params].join(', '),
    'access-control-max-age': '600',
  });
  response.end();
}

function printed(text: string | undefined): string {
  return (text ?? '').slice(0, 100);
}
