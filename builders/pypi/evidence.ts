import { McpBuildError } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';
import { sessionFor } from './fetch.ts';
import { shown } from './http.ts';

/** In bytes. */
const LIMIT = 16 * 1024 * 1024;

/**
 * A file's provenance (PEP 740) from the address that its index names, parsed and otherwise as it came; undefined where there is none.
 * Nothing of it is verified here. @throws McpBuildError `registry-unavailable`, `registry-invalid`
 */
export async function wheelProvenance(url: string, options: FetchOptions): Promise<unknown> {
  const { client } = await sessionFor(options);
  const index = client.configuration.indexes.find((one) => new URL(one.url).origin === new URL(url).origin);
  const response = await client.get(url, {
    accept: 'application/vnd.pypi.integrity.v1+json, application/json;q=0.5',
    credentials: index?.credentials,
    signal: options.signal,
  });
  if (response.status !== 200) {
    response.discard();
    return undefined;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > LIMIT) throw invalid(url, `is longer than ${LIMIT} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch (cause) {
    throw invalid(url, 'is not JSON', cause);
  }
}

function invalid(url: string, what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'registry-invalid',
    message: `The provenance at ${shown(url)} ${what}`,
    input: shown(url),
    fix: 'Check that the index supports PEP 740, and that no login page or proxy answers for it.',
    exit: 5,
    ...(cause === undefined ? {} : { cause }),
  });
}
