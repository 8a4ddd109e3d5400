import type { ServerResponse } from 'node:http';
import type { ResourceServer } from '../config/access.ts';
import type { Grant } from '../config/schema.ts';
import { sendJson } from './reply.ts';

/** Where clients reach the gateway: what access tokens are for (RFC 8707). */
export interface Places {
  /** The whole of it, without a slash at its end. */
  readonly whole: string;
  /** One server, or with undefined all of them under one address. */
  of(server: string | undefined): string;
}

const WELL_KNOWN = '/.well-known/oauth-protected-resource';

export function placesAt(base: string): Places {
  const whole = base.replace(/\/+$/, '');
  return { whole, of: (server) => (server === undefined ? `${whole}/mcp` : `${whole}/${server}/mcp`) };
}

/** RFC 9728: the well-known part stands between the host and the path of the resource. */
export function metadataAddress(places: Places, of: string | undefined | 'whole'): string {
  const { origin, pathname } = new URL(of === 'whole' ? places.whole : places.of(of));
  return `${origin}${WELL_KNOWN}${pathname === '/' ? '' : pathname}`;
}

/** Whether a path asks for a resource's metadata: the resource's own path, as clients see it. */
export function metadataPath(path: string): string | undefined {
  if (path === WELL_KNOWN) return '';
  return path.startsWith(`${WELL_KNOWN}/`) ? path.slice(WELL_KNOWN.length).replace(/\/$/, '') : undefined;
}

/** RFC 9728's document for the whole gateway, one server, or all under one address. @returns false for a path that is none of these */
export function sendMetadata(
  response: ServerResponse,
  path: string,
  {
    places,
    servers,
    oauth,
    grants,
  }: {
    readonly places: Places;
    readonly servers: readonly string[];
    readonly oauth: ResourceServer;
    readonly grants: readonly Grant[] | undefined;
  },
): boolean {
  const pathOf = (address: string) => new URL(address).pathname.replace(/\/$/, '');
  const all = [places.whole, places.of(undefined), ...servers.map((server) => places.of(server))];
  const resource = all.find((address) => pathOf(address) === path);
  if (resource === undefined) return false;
  const scopes = new Set([
    ...oauth.requiredScopes,
    ...(grants ?? []).flatMap(({ scope }) => (scope === undefined ? [] : [scope])),
  ]);
  const body = {
    resource,
    authorization_servers: [oauth.issuer],
    bearer_methods_supported: ['header'],
    ...(scopes.size > 0 ? { scopes_supported: [...scopes] } : {}),
    resource_name: 'mcp-build gateway',
  };
  sendJson(response, 200, JSON.stringify(body), { 'cache-control': 'max-age=300' });
  return true;
}
