import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import type { Index } from './config/index.ts';
import { type Client, type Response, shown } from './http.ts';

/** One file as an index lists it (PEP 503, 691, 700). */
export interface ListedFile {
  readonly file: string;
  readonly url: string;
  /** Lower-case hex, where the index says it. */
  readonly sha256: string | undefined;
  readonly size: number | undefined;
  readonly uploaded: string | undefined;
  /** PEP 592: why it was taken back, empty where no reason is given; undefined where it wasn't. */
  readonly yanked?: string | undefined;
  /** Versions of Python that it is for. */
  readonly requiresPython?: string | undefined;
  /** Address of its provenance (PEP 740). */
  readonly provenance?: string | undefined;
}

const JSON_TYPE = 'application/vnd.pypi.simple.v1+json';
const ACCEPT = `${JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1`;
/** In bytes; the largest projects' pages are a fifth of it. */
const PAGE_LIMIT = 64 * 1024 * 1024;

const page = z.object({
  meta: z.object({ 'api-version': z.string().regex(/^1\.[0-9]+$/) }),
  files: z.array(
    z.object({
      filename: z.string().max(1024),
      url: z.string().max(8192),
      hashes: z.record(z.string(), z.string()),
      size: z.int().nonnegative().nullish(),
      'upload-time': z.string().max(64).nullish(),
      yanked: z.union([z.boolean(), z.string()]).nullish().catch(undefined),
      'requires-python': z.string().max(1024).nullish().catch(undefined),
      provenance: z.string().max(8192).nullish().catch(undefined),
    }),
  ),
});

/**
 * The files of a project at one index; undefined when the index doesn't know it.
 * @param project normalised. @throws McpBuildError `registry-invalid`, and what the client throws
 */
export async function listFiles(
  client: Client,
  index: Index,
  project: string,
  signal?: AbortSignal,
): Promise<readonly ListedFile[] | undefined> {
  const address = new URL(`${encodeURIComponent(project)}/`, index.url).href;
  const response = await client.get(address, { accept: ACCEPT, credentials: index.credentials, signal });
  if (response.status !== 200) {
    response.discard();
    if (response.status === 404 || response.status === 410) return undefined;
    throw invalid(address, `answers ${response.status}`);
  }
  const text = await readText(response, address);
  if (response.type === JSON_TYPE || response.type === 'application/json') return fromJson(text, response.url, address);
  if (response.type === 'text/html' || response.type === 'application/vnd.pypi.simple.v1+html') {
    return fromHtml(text, response.url);
  }
  throw invalid(address, `is neither JSON nor HTML but ${response.type || 'of no type'}`);
}

async function readText(response: Response, address: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > PAGE_LIMIT) throw invalid(address, `is longer than ${PAGE_LIMIT} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function fromJson(text: string, base: string, address: string): readonly ListedFile[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(address, 'is not JSON', cause);
  }
  const parsed = page.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw invalid(address, `at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit'}`);
  }
  return parsed.data.files.flatMap((file) => {
    const url = absolute(file.url, base);
    return url === undefined
      ? []
      : [
          {
            file: file.filename,
            url,
            sha256: hex(file.hashes.sha256),
            size: file.size ?? undefined,
            uploaded: file['upload-time'] ?? undefined,
            ...(file.yanked === true || typeof file.yanked === 'string'
              ? { yanked: file.yanked === true ? '' : file.yanked }
              : {}),
            ...(file['requires-python'] ? { requiresPython: file['requires-python'] } : {}),
            ...(file.provenance ? { provenance: absolute(file.provenance, base) } : {}),
          },
        ];
  });
}

/** PEP 503: every anchor is a file, named by the last segment of its address, its hash in the fragment. */
function fromHtml(text: string, base: string): readonly ListedFile[] {
  const found: ListedFile[] = [];
  const own = /<base\s[^<>]*href\s*=\s*["']([^"']*)["']/i.exec(text)?.[1];
  // No `<` in a tag: an unclosed one would otherwise make every later one be looked at again.
  const root = (own && absolute(entities(own), base)) || base;
  for (const [, attributes = ''] of text.matchAll(/<a\s([^<>]*)>/gi)) {
    const href = /(?:^|\s)href\s*=\s*(?:"([^"]*)"|'([^']*)')/i.exec(attributes);
    const url = absolute(entities(href?.[1] ?? href?.[2] ?? ''), root);
    if (url === undefined) continue;
    const address = new URL(url);
    const hash = /^#sha256=([0-9A-Fa-f]{64})$/.exec(address.hash)?.[1];
    address.hash = '';
    const name = decode(address.pathname.split('/').at(-1) ?? '');
    if (name === '') continue;
    const yanked = /(?:^|\s)data-yanked(?:\s*=\s*(?:"([^"]*)"|'([^']*)'))?/i.exec(attributes);
    const python = /(?:^|\s)data-requires-python\s*=\s*(?:"([^"]*)"|'([^']*)')/i.exec(attributes);
    const provenance = /(?:^|\s)data-provenance\s*=\s*(?:"([^"]*)"|'([^']*)')/i.exec(attributes);
    found.push({
      file: name,
      url: address.href,
      sha256: hex(hash),
      size: undefined,
      uploaded: undefined,
      ...(yanked ? { yanked: entities(yanked[1] ?? yanked[2] ?? '') } : {}),
      ...(python ? { requiresPython: entities(python[1] ?? python[2] ?? '') } : {}),
      ...(provenance ? { provenance: absolute(entities(provenance[1] ?? provenance[2] ?? ''), root) } : {}),
    });
  }
  return found;
}

function absolute(url: string, base: string): string | undefined {
  try {
    const address = new URL(url, base);
    return url !== '' && (address.protocol === 'https:' || address.protocol === 'http:') ? address.href : undefined;
  } catch {
    return undefined;
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function entities(text: string): string {
  return text.replace(/&(?:#([0-9]{1,6})|#x([0-9A-Fa-f]{1,5})|([a-z]+));/g, (whole, decimal, hexadecimal, name) => {
    if (name !== undefined) return ENTITIES[name as string] ?? whole;
    const point = decimal !== undefined ? Number(decimal) : Number.parseInt(hexadecimal, 16);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function hex(text: string | undefined): string | undefined {
  const lower = text?.toLowerCase();
  return lower !== undefined && /^[0-9a-f]{64}$/.test(lower) ? lower : undefined;
}

function invalid(address: string, what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'registry-invalid',
    message: `The page of the index at ${shown(address)} ${what}`,
    input: shown(address),
    fix: 'Check that the address is that of an index with the simple API, and that no login page or proxy answers for it.',
    exit: 5,
    ...(cause === undefined ? {} : { cause }),
  });
}
