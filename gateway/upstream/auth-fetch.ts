import { McpBuildError } from '../../errors/index.ts';

/** In milliseconds, and in bytes: metadata and tokens are small. */
const TIMEOUT = 30_000;
const LIMIT = 1024 * 1024;

/**
 * Asks authorization servers. Which ones is said by the server elsewhere, so it could name any address: only https is asked, or, for a server on
 * this machine, this machine. The headers that the configuration has for that server are for it alone.
 * @throws McpBuildError `authorization-server-refused`
 */
export function authFetch(server: string): typeof fetch {
  const here = isLoopback(new URL(server).hostname);
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.protocol !== 'https:' && !(here && url.protocol === 'http:' && isLoopback(url.hostname))) {
      throw new McpBuildError({
        code: 'authorization-server-refused',
        message: `${url.origin} isn't asked for a token: it is no https address`,
        input: url.origin,
        fix: 'Ask whoever runs the server for one that has https.',
        exit: 3,
      });
    }
    const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT) });
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of response.body ?? []) {
      size += part.length;
      if (size > LIMIT) throw new Error(`${url.origin} answered with more than ${LIMIT} bytes`);
      parts.push(part);
    }
    const empty = [101, 204, 205, 304].includes(response.status);
    const { status, statusText, headers } = response;
    return new Response(empty ? null : Buffer.concat(parts), { status, statusText, headers });
  };
}

export function isLoopback(hostname: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname);
}
