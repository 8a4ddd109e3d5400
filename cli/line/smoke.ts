import { join } from 'node:path';
import { PassThrough } from 'node:stream';
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
  type Permissions,
  runContainer,
} from '../../runner/index.ts';
import { buildLock, descriptor } from './build.ts';
import { lockFolderOf, readLockFolder, writeOutputs } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { sessionOptions, type Verified } from './start.ts';

export interface SmokeOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
  readonly permissions: Permissions;
  readonly values: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly progress: (line: string) => void;
  readonly say: (line: string) => void;
}

export interface Smoke {
  readonly offer: Offer;
  readonly file: string;
  readonly digest: Digest;
  /** How the offer differs from the one that was recorded before. */
  readonly changes: readonly string[];
}

/** In bytes, of what a failing server's stderr says last. */
const STDERR_TAIL = 2000;

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
  const offers: Offer[] = [];
  let refusal: unknown;
  for (const generation of GENERATIONS) {
    progress(`asking in MCP ${generation}`);
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
  const offer = mergeOffers(offers);
  const text = `${JSON.stringify(offer, null, 2)}\n`;
  const file = join(folder, 'tools.json');
  const before = await readBounded(file, 64 * 1024 * 1024).catch(() => undefined);
  await writeAtomic(file, text);
  const digest = sha256(text);
  await writeOutputs(folder, { ...built.lock, tools: digest });
  return { offer, file, digest, changes: before ? changesOf(parseOffer(before.toString('utf8')), offer) : [] };
}

async function ask(
  verified: Verified,
  generation: Generation,
  capable: boolean,
  options: SmokeOptions,
): Promise<Offer> {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  let tail = '';
  stderr.on('data', (chunk: Buffer) => {
    tail = (tail + chunk.toString('utf8')).slice(-STDERR_TAIL);
  });
  const end = new AbortController();
  const session = await sessionOptions({ verified, ...options, say: () => undefined, signal: end.signal });
  const ended = runContainer({ ...session, streams: { stdin, stdout, stderr }, inputGrace: 2000 });
  const failed = ended.then(
    () => stdout.end(),
    () => stdout.end(),
  );
  try {
    return await askOffer({ stdin, stdout }, generation, { capable });
  } catch (error) {
    end.abort();
    // A start that failed says more than the silence that followed it.
    await ended;
    if (!isFault(error, 'not-mcp') || tail.trim() === '') throw error;
    throw new McpBuildError({
      code: 'not-mcp',
      message: `${error.message}. It wrote: ${tail.trim().split('\n').slice(-5).join(' / ')}`,
      input: verified.server.name,
      fix: 'Give it the variables it requires as --env NAME=value and its arguments after --.',
      cause: error,
    });
  } finally {
    stdin.end();
    end.abort();
    await failed;
  }
}

function parseOffer(text: string): Pick<Offer, 'tools' | 'prompts'> | undefined {
  try {
    return JSON.parse(text) as Offer;
  } catch {
    return undefined;
  }
}

function changesOf(before: Pick<Offer, 'tools' | 'prompts'> | undefined, after: Offer): string[] {
  const changes: string[] = [];
  for (const kind of ['tools', 'prompts'] as const) {
    const old = new Map((before?.[kind] ?? []).map((item) => [item.name, item.digest]));
    const what = kind.slice(0, -1);
    for (const { name, digest } of after[kind]) {
      const known = old.get(name);
      if (known === undefined) changes.push(`new ${what}: ${name}`);
      else if (known !== digest) changes.push(`changed ${what}: ${name}`);
      old.delete(name);
    }
    for (const name of old.keys()) changes.push(`${what} gone: ${name}`);
  }
  return changes;
}
