import { McpBuildError } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';
import { npmConfiguration } from './configuration.ts';
import { readBody, request } from './http.ts';

/**
 * A small document that the user named by its address, fetched by npm's settings for proxies, certificates and time-outs. TLS only, but for
 * this machine itself. @param limit in bytes @throws McpBuildError `document-unavailable`, `source-invalid`; and those of `request`
 */
export async function fetchDocument(address: string, limit: number, options: FetchOptions): Promise<Uint8Array> {
  const url = new URL(address);
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if ((url.protocol !== 'https:' && !(url.protocol === 'http:' && isHere)) || url.username || url.password) {
    throw new McpBuildError({
      code: 'source-invalid',
      message: `${url.origin}${url.pathname} is not an https: address without credentials`,
      input: `${url.origin}${url.pathname}`,
      fix: 'Use https:, or download the file and give its path.',
      exit: 2,
    });
  }
  const configuration = await npmConfiguration(options);
  const reply = await request(address, { configuration, registry: url.origin, signal: options.signal });
  if (reply.status === 200) return readBody(reply, reply.body, limit);
  reply.body.destroy();
  throw new McpBuildError({
    code: 'document-unavailable',
    message: `${reply.url} answered ${reply.status}`,
    input: reply.url,
    fix: 'Check the address.',
    exit: 5,
  });
}
