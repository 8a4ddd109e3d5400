import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import npmFetch from 'npm-registry-fetch';
import { hexOf, sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { NpmConfiguration } from './configuration.ts';
import { type Reply, readBody, reasonOf, redact, request, retryPlan, unavailable } from './http.ts';
import { type Packument, readPackument } from './packument.ts';
import { readStored, type Stored, type Validity, writeStored } from './packument-disk.ts';
import { memoryOf } from './packument-memory.ts';

export interface Packuments {
  /**
   * @throws McpBuildError `package-not-found`, `registry-unauthorized`, `registry-unavailable`, `registry-invalid`
   */
  of(name: string): Promise<Packument>;
  /** The same in the shape npm's libraries look for documents in before they would fetch them themselves. */
  readonly npmCache: NpmPackumentCache;
  /** What went wrong other than "not there": npm would drop an optional dependency for it without a word. */
  readonly failures: readonly McpBuildError[];
}

export interface NpmPackumentCache {
  has(key: string): boolean;
  get(key: string): Promise<Packument>;
  set(key: string, value: unknown): void;
  delete(key: string): void;
}

/** Ceilings in bytes, as sent and unpacked; the largest real documents have some 100 MB. */
const LIMIT = 256 * 1024 * 1024;

const unzip = promisify(gunzip);

/**
 * Package documents: from memory when this process read them within minutes (another server's resolution shares most of them), from
 * `folder` (reduced, which makes a second resolution several times faster than parsing the whole documents again), or from the user's
 * registry, asked again with its ETag when they got stale. @param own a document that stands in for what a registry says
 */
export function packuments(
  configuration: NpmConfiguration,
  folder: string,
  signal?: AbortSignal,
  own?: Packument,
): Packuments {
  const shared = memoryOf(configuration);
  const asked = new Map<string, Promise<Packument>>();
  const failures: McpBuildError[] = [];
  const since = Date.now();

  async function find(name: string): Promise<Packument> {
    // Nobody else is asked about a package whose file the user has named.
    if (name === own?.name) return own;
    const known = shared.get(name);
    if (known) return known;
    try {
      const { packument, size } = await load(name, configuration, { folder, signal, since });
      shared.set(name, packument, size);
      return packument;
    } catch (error) {
      if (error instanceof McpBuildError && error.code !== 'package-not-found') failures.push(error);
      throw error;
    }
  }

  function of(name: string): Promise<Packument> {
    const known = asked.get(name);
    if (known) return known;
    const work = find(name);
    asked.set(name, work);
    // A large document is kept by the size-bounded memory alone; a failure for the whole resolution, or each dependent would retry it.
    work.then(
      () => asked.delete(name),
      () => undefined,
    );
    return work;
  }

  const npmCache: NpmPackumentCache = {
    has: () => true,
    get: (key) => of(decodeURIComponent(key.slice(key.lastIndexOf('/') + 1))),
    set: () => undefined,
    delete: () => undefined,
  };
  return { of, npmCache, failures };
}

async function load(
  name: string,
  configuration: NpmConfiguration,
  { folder, signal, since }: { folder: string; signal: AbortSignal | undefined; since: number },
): Promise<{ packument: Packument; size: number }> {
  const { flat } = configuration;
  const registry = registryOf(name, flat);
  const url = `${registry.replace(/\/+$/, '')}/${name.replace('/', '%2f')}`;
  const path = join(folder, `${hexOf(sha256(url))}.json`);
  const stored = await readStored(path, url, name);
  if (stored && (stored.value.asked >= since || (!flat.preferOnline && isUsable(stored.value, flat)))) {
    return { packument: stored.value.packument, size: stored.size };
  }
  if (flat.offline) throw unavailable(url, "is not cached, and npm's configuration says offline");
  const reply = await ask(url, name, { configuration, registry, signal, etag: stored?.value.etag });
  if ('packument' in reply) return { packument: reply.packument, size: await writeStored(path, reply) };
  if (!stored) throw invalidAnswer(url, name, 'answers 304 to a question without a condition');
  await writeStored(path, { ...stored.value, ...reply });
  return { packument: stored.value.packument, size: stored.size };
}

function isUsable(stored: Stored, flat: NpmConfiguration['flat']): boolean {
  return stored.fresh > Date.now() || flat.preferOffline === true || flat.offline === true;
}

/** The registry npm's configuration has for a package: that of its scope, else the default. */
export function registryOf(name: string, flat: NpmConfiguration['flat']): string {
  return npmFetch.pickRegistry(name, flat as Parameters<typeof npmFetch.pickRegistry>[1]);
}

interface Asking {
  readonly configuration: NpmConfiguration;
  readonly registry: string;
  readonly signal: AbortSignal | undefined;
  readonly etag: string | undefined;
}

async function ask(url: string, name: string, asking: Asking): Promise<Stored | Validity> {
  const { retries, pause } = retryPlan(asking.configuration.flat);
  for (let attempt = 0; ; attempt++) {
    const reply = await request(url, {
      ...asking,
      // The full document: only it has the upload times.
      headers: {
        accept: 'application/json',
        'accept-encoding': 'gzip',
        ...(asking.etag ? { 'if-none-match': asking.etag } : {}),
      },
    });
    try {
      return await receive(reply, url, name);
    } catch (cause) {
      asking.signal?.throwIfAborted();
      if (cause instanceof McpBuildError) throw cause;
      if (attempt >= retries) throw unavailable(url, reasonOf(cause), cause);
      await new Promise((resolve) => setTimeout(resolve, pause(attempt)));
    }
  }
}

async function receive(reply: Reply, url: string, name: string): Promise<Stored | Validity> {
  const asked = Date.now();
  const validity: Validity = { asked, fresh: asked + maxAge(reply.headers['cache-control']) };
  if (reply.status === 304) {
    reply.body.resume();
    return validity;
  }
  if (reply.status !== 200) {
    reply.body.destroy();
    throw refused(reply, name);
  }
  let bytes = await readBody(reply, reply.body, LIMIT);
  if (reply.headers['content-encoding'] === 'gzip') {
    bytes = await unzip(bytes, { maxOutputLength: LIMIT }).catch((cause: unknown) => {
      throw invalidAnswer(url, name, 'is not the gzip it says', cause);
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw invalidAnswer(url, name, 'is not JSON', cause);
  }
  const etag = reply.headers.etag;
  return { format: 3, url, etag, ...validity, packument: readPackument(value, name, redact(url)) };
}

function maxAge(header: string | undefined): number {
  if (header === undefined || /no-cache|no-store/.test(header)) return 0;
  const seconds = Number(/max-age=(\d+)/.exec(header)?.[1] ?? 0);
  return Math.min(seconds, 3600) * 1000;
}

function refused(reply: Reply, name: string): McpBuildError {
  if (reply.status === 404) {
    return new McpBuildError({
      code: 'package-not-found',
      message: `${name} is not in the registry (${reply.url})`,
      input: name,
      fix: "Check the spelling; for a private package set the registry of its scope in npm's configuration and log in.",
    });
  }
  const unauthorized = reply.status === 401 || reply.status === 403;
  return new McpBuildError({
    code: unauthorized ? 'registry-unauthorized' : 'registry-invalid',
    message: `${reply.url} answered ${reply.status}`,
    input: name,
    fix: unauthorized ? 'Log in with `npm login`, or check the token in your .npmrc.' : "Check npm's `registry`.",
    exit: 5,
  });
}

function invalidAnswer(url: string, name: string, what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'registry-invalid',
    message: `The answer of ${redact(url)} on ${name} ${what}`,
    input: name,
    fix: "Check that npm's `registry` for this package is an npm registry, and that no proxy answers in its place.",
    exit: 5,
    cause,
  });
}
