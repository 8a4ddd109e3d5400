import type { Readable, Writable } from 'node:stream';
import type { Client, Transport } from '@modelcontextprotocol/client';
import { type Digest, sha256 } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';

/** The two generations of MCP that live side by side. */
export const GENERATIONS = ['2025-11-25', '2026-07-28'] as const;
export type Generation = (typeof GENERATIONS)[number];

/** Everything a model or a person is shown by a server: what is signed, and what a running server is compared with. */
export interface Offer {
  readonly server: { readonly name: string; readonly version: string };
  /** Protocol revisions that it answered to, oldest first, as negotiated. */
  readonly protocols: readonly string[];
  readonly instructions: string | null;
  readonly tools: readonly Item[];
  readonly prompts: readonly Item[];
  readonly resources: readonly Item[];
  readonly resourceTemplates: readonly Item[];
}

export interface Item {
  /** A tool's or prompt's name, a resource's URI, a template's URI template. */
  readonly name: string;
  /** SHA-256 of the canonical JSON of `definition`. */
  readonly digest: Digest;
  readonly definition: unknown;
}

/** The lists of an offer, and what an item of each is known by. */
export const LIST_KEYS = {
  tools: 'name',
  prompts: 'name',
  resources: 'uri',
  resourceTemplates: 'uriTemplate',
} as const;
export type ListKind = keyof typeof LIST_KEYS;

/** How each is asked for. */
const LIST_METHODS: Readonly<Record<ListKind, string>> = {
  tools: 'tools/list',
  prompts: 'prompts/list',
  resources: 'resources/list',
  resourceTemplates: 'resources/templates/list',
};

/** JSON-RPC 2.0, section 5.1. */
const METHOD_NOT_FOUND = -32601;

export interface OfferLimits {
  /** Longest message, in bytes. */
  readonly message: number;
  /** Most items of a list, over all its pages. */
  readonly items: number;
  /** For each request, in milliseconds. The first waits for the server to start, too. */
  readonly timeout: number;
}

export const OFFER_LIMITS: OfferLimits = { message: 16 * 1024 * 1024, items: 5000, timeout: 60_000 };

const CAPABLE = {
  roots: { listChanged: true },
  sampling: { tools: {}, context: {} },
  elicitation: { form: {}, url: {} },
};

interface Streams {
  readonly stdin: Writable;
  readonly stdout: Readable;
}

/**
 * Asks a server on stdio, in one protocol generation, for all it offers.
 * @param capable whether to ask as a client that can do everything, or as one that can do nothing: servers offer each other tools
 * @throws McpBuildError `not-mcp` when it doesn't speak MCP, `offer-failed` when it answers with an error, `protocol-unsupported` when it doesn't speak this generation, `offer-invalid` when what it says is out of bounds
 */
export async function askOffer(
  streams: Streams,
  generation: Generation,
  { limits = OFFER_LIMITS, capable = false }: { readonly limits?: OfferLimits; readonly capable?: boolean } = {},
): Promise<Offer> {
  // The SDK takes 100 ms to load; only commands that talk MCP pay for it.
  const { Client } = await import('@modelcontextprotocol/client');
  const client = new Client(
    { name: 'mcp-build', version: '1' },
    {
      versionNegotiation: { mode: generation === '2025-11-25' ? 'legacy' : { pin: generation } },
      ...(capable ? { capabilities: CAPABLE } : {}),
    },
  );
  if (capable) client.setRequestHandler('roots/list', async () => ({ roots: [] }));
  const transport = lineTransport(streams, limits.message);
  try {
    try {
      await client.connect(transport, { timeout: limits.timeout });
    } catch (cause) {
      throw refused(generation, transport.heard(), limits, cause);
    }
    return await collect(client, transport.listed, limits);
  } finally {
    await client.close().catch(() => undefined);
  }
}

async function collect(client: Client, listed: Listed, limits: OfferLimits): Promise<Offer> {
  const can = client.getServerCapabilities() ?? {};
  const { timeout } = limits;
  const lists: Record<ListKind, readonly unknown[]> = { tools: [], prompts: [], resources: [], resourceTemplates: [] };
  // The SDK's own values lack the members that it doesn't know, and clients that know them would show them: what is signed is what was sent.
  const list = async (kind: ListKind, next: (cursor: { cursor: string } | undefined) => Promise<Page>) => {
    let first = true;
    try {
      lists[kind] = await pages(kind, limits, async (cursor) => {
        listed[kind] = [];
        const { nextCursor } = await next(cursor);
        first = false;
        return { items: listed[kind], cursor: nextCursor };
      });
    } catch (cause) {
      // Many servers claim what their framework offers and know no method for it: they have none, and a client that asks gets the same answer.
      if (first && (cause as { code?: unknown }).code === METHOD_NOT_FOUND) return;
      throw cause instanceof McpBuildError ? cause : failed(kind, limits, cause);
    }
  };
  if (can.tools) await list('tools', (cursor) => client.listTools(cursor, { timeout }));
  if (can.prompts) await list('prompts', (cursor) => client.listPrompts(cursor, { timeout }));
  if (can.resources) await list('resources', (cursor) => client.listResources(cursor, { timeout }));
  if (can.resources) await list('resourceTemplates', (cursor) => client.listResourceTemplates(cursor, { timeout }));
  const server = client.getServerVersion();
  return {
    server: { name: server?.name ?? '', version: server?.version ?? '' },
    protocols: [client.getNegotiatedProtocolVersion() ?? 'unknown'],
    instructions: client.getInstructions() ?? null,
    tools: itemise(lists.tools, LIST_KEYS.tools),
    prompts: itemise(lists.prompts, LIST_KEYS.prompts),
    resources: itemise(lists.resources, LIST_KEYS.resources),
    resourceTemplates: itemise(lists.resourceTemplates, LIST_KEYS.resourceTemplates),
  };
}

interface Page {
  readonly nextCursor?: string | undefined;
}

/** Items as they were sent, of the list that is being asked for. */
type Listed = Record<ListKind, unknown[]>;

/** A hostile server may page for ever, or give the same cursor again and again. */
async function pages(
  what: string,
  limits: OfferLimits,
  next: (cursor: { cursor: string } | undefined) => Promise<{ items: readonly unknown[]; cursor: string | undefined }>,
): Promise<unknown[]> {
  const items: unknown[] = [];
  const seen = new Set<string>();
  for (let cursor: string | undefined; ; ) {
    const page = await next(cursor === undefined ? undefined : { cursor });
    items.push(...page.items);
    if (items.length > limits.items) throw outOfBounds(`offers more than ${limits.items} ${what}`);
    if (page.cursor === undefined || page.cursor === '') return items;
    if (seen.has(page.cursor)) throw outOfBounds(`gave the same page of ${what} twice`);
    seen.add(page.cursor);
    cursor = page.cursor;
  }
}

/** Each definition with its digest, in an order that doesn't depend on the server's. All of it counts: clients show, and act on, members that we never heard of. */
export function itemise(values: readonly unknown[], key: 'name' | 'uri' | 'uriTemplate'): Item[] {
  return values
    .map((definition) => {
      const name = (definition as Readonly<Record<string, unknown>> | null | undefined)?.[key];
      return { name: textOf(name), digest: sha256(canonicalJson(definition)), definition };
    })
    .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)) || (a.digest < b.digest ? -1 : 1));
}

/** String() would call whatever `toString` a server sends along. */
function textOf(name: unknown): string {
  if (typeof name === 'string') return name;
  return name === undefined || name === null ? '' : canonicalJson(name);
}

/** Both generations of one server as one offer: what either lists, and every revision that it answered to. @throws McpBuildError `offer-invalid` when there is none */
export function mergeOffers(offers: readonly Offer[]): Offer {
  const [first, ...rest] = offers;
  if (!first) throw outOfBounds('answered in no protocol generation');
  const both = (kind: ListKind): Item[] => {
    // A server may describe one tool in two ways to the two generations; most don't.
    const known = new Set(first[kind].map(({ name, digest }) => `${digest} ${name}`));
    const more = rest.flatMap((offer) => offer[kind].filter(({ name, digest }) => !known.has(`${digest} ${name}`)));
    return more.length === 0
      ? [...first[kind]]
      : itemise(
          [...first[kind], ...more].map(({ definition }) => definition),
          LIST_KEYS[kind],
        );
  };
  return {
    ...first,
    protocols: [...new Set(offers.flatMap((offer) => offer.protocols))],
    tools: both('tools'),
    prompts: both('prompts'),
    resources: both('resources'),
    resourceTemplates: both('resourceTemplates'),
  };
}

/** Keys sorted by UTF-16 units, no white space (RFC 8785 for the values that JSON.parse gives). */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

interface Heard extends Transport {
  heard(): string;
  readonly listed: Listed;
}

/** Newline-delimited JSON over two streams. What isn't a JSON object is kept for the error: servers do print banners. */
function lineTransport({ stdin, stdout }: Streams, limit: number): Heard {
  let pending: Buffer[] = [];
  let length = 0;
  let strange = '';
  let closed = false;
  const listed: Listed = { tools: [], prompts: [], resources: [], resourceTemplates: [] };
  const transport: Heard = {
    heard: () => strange,
    listed,
    async start() {
      stdout.on('data', take);
      stdout.once('end', close);
      stdout.once('close', close);
      stdin.on('error', () => close());
    },
    send: (message) =>
      new Promise((resolve, reject) => {
        stdin.write(`${JSON.stringify(message)}\n`, (error) => (error ? reject(error) : resolve()));
      }),
    async close() {
      stdout.off('data', take);
      stdin.end();
      close();
    },
  };
  return transport;

  function close(): void {
    if (closed) return;
    closed = true;
    transport.onclose?.();
  }

  function take(chunk: Buffer): void {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      pending.push(chunk.subarray(from, at));
      line(Buffer.concat(pending).toString('utf8'));
      pending = [];
      length = 0;
      from = at + 1;
    }
    pending.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > limit) {
      transport.onerror?.(outOfBounds(`sent a message longer than ${limit} bytes`));
      void transport.close();
    }
  }

  function line(text: string): void {
    if (text.trim() === '') return;
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      if (strange.length < 400) strange += `${text.slice(0, 200)}\n`;
      return;
    }
    const result = (message as { result?: Readonly<Record<string, unknown>> } | null)?.result;
    for (const kind of Object.keys(LIST_KEYS) as ListKind[]) {
      const items = result?.[kind];
      // Not spread into the call: a page may hold more than a call takes. Copied, as the SDK may change what it is given.
      if (Array.isArray(items)) listed[kind] = [...listed[kind], ...(structuredClone(items) as unknown[])];
    }
    transport.onmessage?.(message as never);
  }
}

function refused(generation: Generation, heard: string, { timeout }: OfferLimits, cause: unknown): McpBuildError {
  const code = (cause as { code?: unknown }).code;
  // Any JSON-RPC answer, an error too, shows a server that speaks MCP but not this generation of it.
  const answered =
    !isTimeout(cause) &&
    (typeof code === 'number' || /unsupported|not found|discover/i.test(String((cause as Error).message)));
  const silence = isTimeout(cause) ? ` within ${timeout / 1000} s` : '';
  const printed = heard ? `, but printed: ${heard.trim().slice(0, 200)}` : '';
  const why = printed || silence ? '' : `: ${(cause as Error).message}`;
  return new McpBuildError({
    code: answered ? 'protocol-unsupported' : 'not-mcp',
    message: answered
      ? `The server doesn't speak MCP ${generation}: ${(cause as Error).message}`
      : `The server gave no MCP answer${silence} (${generation})${printed}${why}`,
    fix: answered
      ? 'Nothing, when it speaks the other generation.'
      : 'Check that the package is an MCP server on stdio; give it the arguments and variables that it needs.',
    cause,
  });
}

function failed(kind: ListKind, { timeout }: OfferLimits, cause: unknown): McpBuildError {
  const method = LIST_METHODS[kind];
  return new McpBuildError({
    code: 'offer-failed',
    message: isTimeout(cause)
      ? `The server started, but gave no answer to ${method} within ${timeout / 1000} s`
      : `The server started, but answered ${method} with an error: ${(cause as Error).message}`,
    input: method,
    fix: 'Give it what it needs: variables as --env NAME=value, arguments after --. A server that must reach a network to list its tools can’t be recorded.',
    cause,
  });
}

function isTimeout(cause: unknown): boolean {
  return (cause as { code?: unknown }).code === 'REQUEST_TIMEOUT';
}

function outOfBounds(what: string): McpBuildError {
  return new McpBuildError({
    code: 'offer-invalid',
    message: `The server ${what}`,
    fix: 'Report it to the server’s authors; it is not accepted as it is.',
  });
}
