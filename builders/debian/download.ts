import { McpBuildError } from '../../errors/index.ts';
import { type Mirror, withoutCredentials } from './mirror.ts';

export interface DownloadOptions {
  readonly mirror: Pick<Mirror, 'proxy' | 'noProxy'>;
  /** In bytes; a longer body is cut off there. */
  readonly limit: number;
  readonly signal?: AbortSignal;
  /** Without a byte for so long, in milliseconds, a server counts as dead. 30,000 by default. */
  readonly stall?: number;
  /** How often a broken transfer is taken up again. 3 by default. */
  readonly retries?: number;
}

/** One body, while it arrives. `undefined` stands for a 404. */
export type Download = AsyncGenerator<Uint8Array> | undefined;

/**
 * Begins to read a URL: `undefined` when the server says it doesn't have it, else the bytes, unchecked. A transfer that breaks is
 * continued where it broke, which is safe because the caller compares the hash of the whole.
 * @throws McpBuildError `mirror-unavailable` (now or while reading), `too-large` (while reading)
 */
export async function download(url: string, options: DownloadOptions): Promise<Download> {
  const first = await request(url, 0, options);
  return first && body(url, first, options);
}

/** @throws McpBuildError as `download` does */
export async function downloadWhole(url: string, options: DownloadOptions): Promise<Buffer | undefined> {
  const chunks = await download(url, options);
  if (!chunks) return undefined;
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

async function* body(url: string, first: Response, options: DownloadOptions): AsyncGenerator<Uint8Array> {
  let received = 0;
  let left = options.retries ?? 3;
  for (let response: Response | undefined = first; response; ) {
    let broken: unknown;
    const start = received;
    try {
      for await (const chunk of watched(response, options.stall ?? 30_000)) {
        received += chunk.length;
        if (received > options.limit) throw tooLarge(url, options.limit);
        yield chunk;
      }
      if (response.length === undefined || received - start === response.length) return;
      broken = new Error('the transfer ended early');
    } catch (error) {
      if (error instanceof McpBuildError || options.signal?.aborted) throw error;
      broken = error;
    }
    if (left-- <= 0) throw unavailable(url, reasonOf(broken), broken);
    response = await request(url, received, options);
    if (!response || response.offset !== received) throw unavailable(url, reasonOf(broken), broken);
  }
}

interface Response {
  readonly stream: AsyncIterable<Uint8Array> & { destroy(): void };
  /** Where in the file its first byte is. */
  readonly offset: number;
  /** How many bytes it promises from there, if it does. */
  readonly length: number | undefined;
}

async function request(url: string, offset: number, options: DownloadOptions): Promise<Response | undefined> {
  const { default: fetch } = await import('make-fetch-happen');
  const target = new URL(url);
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (offset > 0) headers.range = `bytes=${offset}-`;
  if (target.username !== '') {
    const credentials = `${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`;
    headers.authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
    target.username = '';
    target.password = '';
  }
  const { proxy, noProxy } = options.mirror;
  let response: Awaited<ReturnType<typeof fetch>>;
  try {
    response = await fetch(target.href, {
      headers,
      compress: false,
      retry: { retries: options.retries ?? 3, minTimeout: 200, maxTimeout: 3000 },
      timeout: options.stall ?? 30_000,
      ...(proxy === undefined ? {} : { proxy }),
      ...(noProxy === undefined ? {} : { noProxy }),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw unavailable(url, reasonOf(error), error);
  }
  const stream = response.body as unknown as Response['stream'];
  if (response.status === 200 || (response.status === 206 && offset > 0)) {
    const length = response.headers.get('content-length');
    return {
      stream,
      offset: response.status === 206 ? rangeStart(response.headers.get('content-range')) : 0,
      length: length === null ? undefined : Number(length),
    };
  }
  stream.destroy();
  if (response.status === 404 || response.status === 410) return undefined;
  throw unavailable(url, `it answered ${response.status}`);
}

/** Gives up on a server that keeps the connection and sends nothing. */
async function* watched({ stream }: Response, stall: number): AsyncGenerator<Uint8Array> {
  const iterator = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`nothing came for ${stall} ms`)), stall);
      });
      const next = await Promise.race([iterator.next(), silence]).finally(() => clearTimeout(timer));
      if (next.done) return;
      yield next.value;
    }
  } finally {
    stream.destroy();
  }
}

function rangeStart(header: string | null): number {
  return Number(/^bytes (\d+)-/.exec(header ?? '')?.[1] ?? Number.NaN);
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

function unavailable(url: string, reason: string, cause?: unknown): McpBuildError {
  const input = withoutCredentials(url);
  return new McpBuildError({
    code: 'mirror-unavailable',
    message: `Mirror failed for ${input}: ${reason}`,
    input,
    fix: 'Try again, or name another mirror with MCP_BUILD_DEBIAN_MIRROR.',
    exit: 5,
    ...(cause === undefined ? {} : { cause }),
  });
}

function tooLarge(url: string, limit: number): McpBuildError {
  const input = withoutCredentials(url);
  return new McpBuildError({
    code: 'too-large',
    message: `${input} is longer than ${limit} bytes`,
    input,
    fix: 'Check that the mirror is one of Debian.',
  });
}
