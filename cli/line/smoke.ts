import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type { Platform } from '../../builders/index.ts';
import { type Digest, sha256 } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { readBounded, writeAtomic } from '../../files/index.ts';
import { openLayout } from '../../registry/index.ts';
import {
  askOffer,
  GENERATIONS,
  type Generation,
  mergeOffers,
  type Offer,
  type OfferLimits,
  type Permissions,
  runContainer,
} from '../../runner/index.ts';
import { buildLock, descriptor } from './build.ts';
import { lockFolderOf, readLockFolder, writeOutputs } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { sessionOptions, type Verified } from './start.ts';
import { stderrLines } from './stderr.ts';

export interface SmokeOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
  readonly permissions: Permissions;
  readonly values: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly progress: (line: string) => void;
  readonly say: (line: string) => void;
  /** Of what a server may answer, and how late; `OFFER_LIMITS` by default. */
  readonly offerLimits?: OfferLimits;
}

export interface Smoke {
  readonly offer: Offer;
  readonly file: string;
  readonly digest: Digest;
  /** How the offer differs from the one that was recorded before. */
  readonly changes: readonly string[];
  /** Tools that it told in several ways; see `toldInSeveralWays`. */
  readonly several: readonly string[];
}

/**
 * Starts the exact image of a lock and records what it offers. The image needs no signature yet: this is what is looked at before it gets one,
 * and it has nothing but its own files.
 * @throws McpBuildError `not-mcp`, `offer-invalid`
 */
export async function smokeTest(name: string, options: SmokeOptions): Promise<Smoke> {
  const { home, environment, workspace, progress } = options;
  const folder = lockFolderOf(workspace, name);
  const { lock } = await readLockFolder(folder);
  const store = await openLayout(home.store);
  const built = await buildLock(lock, {
    platforms: Object.keys(lock.platforms) as Platform[],
    home,
    environment,
    workspace,
    store,
    locked: lock.index !== undefined,
    progress,
  });
  const verified: Verified = { store, image: descriptor(built.index), server: { name, version: lock.source.version } };
  const offer = await offerOf(verified, options);
  const text = formatOffer(offer);
  const file = join(folder, TOOLS);
  const before = await recordedOffer(folder);
  await writeAtomic(file, text);
  const digest = sha256(text);
  await writeOutputs(folder, { ...built.lock, tools: digest });
  const changes = before ? offerChanges(before.offer, offer) : [];
  return { offer, file, digest, changes, several: toldInSeveralWays(offer) };
}

const TOOLS = 'tools.json';
/** In bytes. */
const TOOLS_LIMIT = 64 * 1024 * 1024;

/** The bytes of `tools.json`. */
export function formatOffer(offer: Offer): string {
  return `${JSON.stringify(offer, null, 2)}\n`;
}

/** What was recorded beside a lock when its image was tested last; undefined where it never was, or where the record can't be read. */
export async function recordedOffer(
  folder: string,
): Promise<{ readonly offer: Offer; readonly digest: Digest } | undefined> {
  const bytes = await readBounded(join(folder, TOOLS), TOOLS_LIMIT).catch(() => undefined);
  if (!bytes) return undefined;
  try {
    return { offer: JSON.parse(bytes.toString('utf8')) as Offer, digest: sha256(bytes) };
  } catch {
    return undefined;
  }
}

/** Starts an image, without network, once for each generation of MCP, and asks what it offers. @throws as `smokeTest` */
export async function offerOf(verified: Verified, options: Omit<SmokeOptions, 'workspace'>): Promise<Offer> {
  const offers: Offer[] = [];
  let refusal: unknown;
  for (const generation of GENERATIONS) {
    options.progress(`asking in MCP ${generation}`);
    try {
      offers.push(await ask(verified, generation, false, options));
      // Some tools are only for clients that can be asked for something; whoever has such a client is to get them.
      offers.push(await ask(verified, generation, true, options));
    } catch (error) {
      if (!isFault(error, 'protocol-unsupported') && !isFault(error, 'not-mcp')) throw error;
      // The first says more: most servers that fail don't get as far as their protocol.
      refusal ??= error;
    }
  }
  // A server of one generation is fine; what counts is that it speaks one.
  if (offers.length === 0) throw refusal;
  return mergeOffers(offers);
}

async function ask(
  verified: Verified,
  generation: Generation,
  capable: boolean,
  { offerLimits, ...options }: Omit<SmokeOptions, 'workspace'>,
): Promise<Offer> {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const wrote = stderrLines();
  stderr.on('data', (chunk: Buffer) => wrote.take(chunk));
  const end = new AbortController();
  const session = await sessionOptions({ verified, ...options, say: () => undefined, signal: end.signal });
  const running = Promise.withResolvers<void>();
  const streams = { stdin, stdout, stderr };
  const ended = runContainer({ ...session, streams, inputGrace: 2000, onStarted: () => running.resolve() });
  const failed = ended.then(
    () => stdout.end(),
    () => stdout.end(),
  );
  try {
    // The limit is the server's: a daemon may take minutes to load an image that it has never seen.
    await Promise.race([running.promise, ended]);
    return await askOffer({ stdin, stdout }, generation, { capable, ...(offerLimits ? { limits: offerLimits } : {}) });
  } catch (error) {
    end.abort();
    // A run that failed says more than the silence that followed it; that it was ended here says nothing.
    const cause = await ended.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (cause instanceof McpBuildError) throw cause;
    if (!isFault(error, 'not-mcp') && !isFault(error, 'offer-failed')) throw error;
    const said = wrote.text();
    if (said === '') throw error;
    throw new McpBuildError({
      code: error.code,
      message: `${error.message}. It wrote: ${said}`,
      input: error.input ?? verified.server.name,
      fix: error.code === 'offer-failed' && error.fix ? error.fix : startFix(said),
      cause: error,
    });
  } finally {
    stdin.end();
    end.abort();
    await failed;
  }
}

/** What to do about a server that fails to start. @param said the last that it wrote to stderr */
export function startFix(said: string): string {
  if (wantsOldSdk(said)) {
    return 'It was written for version 1 of the package mcp, without saying so, and got version 2. Paste into its entry in mcp-build.yaml, and lock it again: `overrides: [{package: mcp, version: "<2", reason: written for mcp 1}]`.';
  }
  return 'Give it what it needs to start: `test: {env: …, args: […]}` of its entry in mcp-build.yaml, or --env NAME=value and arguments after -- of `mcp-build test`. Where a package of it is too new or too old for it, take another version under `overrides`.';
}

/** Of Python's SDK: version 2 has no `mcp.server.fastmcp`, and its `Server` other methods. With version 1 the folder of that name is in the traceback. */
function wantsOldSdk(said: string): boolean {
  if (said.includes('/mcp/server/fastmcp/')) return false;
  return said.includes('mcp.server.fastmcp') || said.includes("'Server' object has no attribute");
}

/**
 * Tools that a server defined in more than one way: by what its clients can do, which is fine, or by chance, as where a default is a set in
 * Python, whose order is another one in each process. Then hardly any start is like those that were recorded.
 */
export function toldInSeveralWays({ tools }: Pick<Offer, 'tools'>): readonly string[] {
  return [...digestsOf(tools)].flatMap(([name, digests]) => (digests.size > 1 ? [name] : []));
}

/** Tools and prompts that are new, gone, or say something else than before; one line each. */
export function offerChanges(
  before: Pick<Offer, 'tools' | 'prompts'>,
  after: Pick<Offer, 'tools' | 'prompts'>,
): string[] {
  const changes: string[] = [];
  for (const kind of ['tools', 'prompts'] as const) {
    // One name may stand there several times: with the definitions of several starts, or of a server that tells it twice.
    const old = digestsOf(before[kind] ?? []);
    const what = kind.slice(0, -1);
    for (const [name, digests] of digestsOf(after[kind])) {
      const known = old.get(name);
      if (known === undefined) changes.push(`new ${what}: ${name}`);
      else if (!isDeepStrictEqual(digests, known)) changes.push(`changed ${what}: ${name}`);
      old.delete(name);
    }
    for (const name of old.keys()) changes.push(`${what} gone: ${name}`);
  }
  return changes;
}

function digestsOf(items: readonly { readonly name: string; readonly digest: string }[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { name, digest } of items) found.set(name, (found.get(name) ?? new Set()).add(digest));
  return found;
}
