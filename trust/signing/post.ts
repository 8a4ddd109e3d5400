import { McpBuildError } from '../../errors/index.ts';

/** In bytes; log entries and timestamps are a few thousand. */
const LIMIT = 1024 * 1024;
const TIMEOUT = 30_000;

/**
 * Posts JSON to a signing service, through the user's proxy, and reads a bounded answer.
 * @throws McpBuildError `signing-service` for anything but an answer of success
 */
export async function post(url: string, body: object, accept = 'application/json'): Promise<Buffer> {
  // With its proxies and caches it takes a tenth of a second to load; most commands sign nothing this way.
  const { default: makeFetch } = await import('make-fetch-happen');
  try {
    const response = await makeFetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept },
      body: JSON.stringify(body),
      timeout: TIMEOUT,
      retry: { retries: 2, minTimeout: 500 },
      redirect: 'error',
    });
    const bytes = await bounded(url, response.body);
    if (response.ok) return bytes;
    throw failed(url, `answered ${response.status}: ${bytes.toString('utf8').slice(0, 300)}`);
  } catch (error) {
    if (error instanceof McpBuildError) throw error;
    throw failed(url, `can't be reached: ${error instanceof Error ? error.message : error}`);
  }
}

async function bounded(url: string, body: AsyncIterable<unknown> | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > LIMIT) throw failed(url, `answered with more than ${LIMIT} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

export function failed(service: string, what: string): McpBuildError {
  return new McpBuildError({
    code: 'signing-service',
    message: `${service} ${what}`,
    input: service,
    fix: 'Nothing was signed. Try again; if it keeps failing, check the signing configuration.',
    exit: 5,
  });
}
