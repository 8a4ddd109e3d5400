import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spool } from '../../builders/archive/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { type AskApi, type Export, type ExportMeta, importExport } from '../../vetting/index.ts';
import type { Environment, Home } from './home.ts';

/** Where OSV publishes its exports, and its API; another one serves the same below an address of its own. */
const EXPORTS_URL = 'https://osv-vulnerabilities.storage.googleapis.com/';
const API_VARIABLE = 'MCP_BUILD_ADVISORIES_API';
const EXPORTS_VARIABLE = 'MCP_BUILD_ADVISORIES';

/** In bytes; npm's export has a few hundred MB. */
const EXPORT_LIMIT = 4 * 1024 ** 3;
const ANSWER_LIMIT = 64 * 1024 * 1024;
const TIMEOUT = 60_000;

export function advisoriesFolder(home: Home): string {
  return join(home.root, 'advisories');
}

/** Where exports are fetched from: what is named, the environment's, else OSV's own. */
export function exportsFrom(environment: Environment, named?: string): string {
  return named ?? environment[EXPORTS_VARIABLE] ?? EXPORTS_URL;
}

export interface UpdateOptions {
  readonly home: Home;
  /** An address or folder with `<ecosystem>/all.zip` below it, or one zip. */
  readonly from: string;
  readonly now: Date;
  readonly progress?: (line: string) => void;
}

/** Takes in one export. @throws McpBuildError `advisories-unavailable`, and what `importExport` throws */
export async function updateAdvisories(name: Export, options: UpdateOptions): Promise<ExportMeta> {
  options.progress?.(`fetching advisories for ${name}`);
  const hash = createHash('sha256');
  async function* hashed(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  }
  const archive = await spool(hashed(await open(options.from, name)), {
    name: `${name} advisories`,
    folder: tmpdir(),
    limit: EXPORT_LIMIT,
  });
  try {
    return importExport(advisoriesFolder(options.home), name, archive, {
      ...options,
      digest: `sha256:${hash.digest('hex')}`,
    });
  } finally {
    await archive[Symbol.asyncDispose]();
  }
}

async function open(from: string, name: Export): Promise<AsyncIterable<Uint8Array>> {
  if (/^https?:\/\//.test(from))
    return download(from.endsWith('.zip') ? from : new URL(`${name}/all.zip`, `${from.replace(/\/*$/, '')}/`).href);
  const path = (await stat(from).catch(() => undefined))?.isDirectory() ? join(from, name, 'all.zip') : from;
  if (!(await stat(path).catch(() => undefined))) throw unavailable(path, 'is not there');
  return createReadStream(path, { highWaterMark: 1024 * 1024 });
}

async function* download(url: string): AsyncGenerator<Uint8Array> {
  const { default: makeFetch } = await import('make-fetch-happen');
  try {
    const response = await makeFetch(url, { timeout: TIMEOUT, retry: { retries: 3, minTimeout: 500 } });
    if (!response.ok || !response.body) throw unavailable(url, `answers ${response.status}`);
    for await (const chunk of response.body) yield Buffer.from(chunk as Uint8Array);
  } catch (error) {
    if (error instanceof McpBuildError) throw error;
    throw unavailable(url, `can't be read: ${error instanceof Error ? error.message : error}`);
  }
}

/** OSV's API at the address that the user named; undefined where none is. Nothing is sent anywhere unasked. */
export function advisoriesApi(environment: Environment, named?: string, timeout = TIMEOUT): AskApi | undefined {
  const base = named ?? environment[API_VARIABLE];
  if (base === undefined || base === '') return undefined;
  if (!/^https?:\/\//.test(base)) {
    throw new McpBuildError({
      code: 'advisories-address',
      message: `"${base}" is not the address of an advisories API`,
      input: base,
      fix: 'Write https://….',
      exit: 2,
    });
  }
  return async (path, body) => {
    const url = new URL(path, `${base.replace(/\/*$/, '')}/`).href;
    const { default: makeFetch } = await import('make-fetch-happen');
    try {
      const response = await makeFetch(url, {
        ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        timeout,
        retry: { retries: 2, minTimeout: 500 },
        redirect: 'error',
      });
      const bytes = await bounded(url, response.body);
      if (!response.ok) throw unavailable(url, `answers ${response.status}`);
      return JSON.parse(bytes.toString('utf8')) as unknown;
    } catch (error) {
      if (error instanceof McpBuildError) throw error;
      throw unavailable(url, `can't be asked: ${error instanceof Error ? error.message : error}`);
    }
  };
}

async function bounded(url: string, body: AsyncIterable<unknown> | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > ANSWER_LIMIT) throw unavailable(url, `answers more than ${ANSWER_LIMIT} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function unavailable(input: string, what: string): McpBuildError {
  return new McpBuildError({
    code: 'advisories-unavailable',
    message: `${input} ${what}`,
    input,
    fix: 'Check the network and the address; a folder with <ecosystem>/all.zip, or one zip, can be named with --from.',
    exit: 5,
  });
}
