import { parseIntegrity } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';
import type { WheelArtifact } from '../lock.ts';
import { normalizeProject } from '../source.ts';
import { type Index, readConfiguration } from './config/index.ts';
import { withKeyring } from './config/keyring.ts';
import { type Client, createClient } from './http.ts';
import { type ListedFile, listFiles } from './simple.ts';

/** Ceiling in bytes for a wheel whose size nobody says; the largest on PyPI are some gigabytes. */
export const WHEEL_LIMIT = 4 * 1024 ** 3;
const RESUMES = 4;
const FRESH = 10 * 60_000;

/** One index as this process sees it: its pages are read once in ten minutes. */
export interface Session {
  readonly client: Client;
  files(index: Index, project: string, signal?: AbortSignal): Promise<readonly ListedFile[] | undefined>;
  /** Where the resolver has just seen the file with this SHA-256 (hex): saves a page for each file of a lock made by this very process. */
  remember(sha256: string, place: SeenPlace): void;
  recall(sha256: string): SeenPlace | undefined;
}

export interface SeenPlace {
  /** The index by its name. */
  readonly index: string;
  readonly url: string;
}

const sessions = new WeakMap<object, Map<string, Promise<Session>>>();

/** Connections and pages are shared by all who come with the same environment and workspace. */
export function sessionFor(options: Pick<FetchOptions, 'environment' | 'workspace'>): Promise<Session> {
  const byWorkspace = sessions.get(options.environment) ?? new Map<string, Promise<Session>>();
  sessions.set(options.environment, byWorkspace);
  const key = options.workspace ?? '';
  let session = byWorkspace.get(key);
  if (!session) {
    session = readConfiguration(options)
      .then((configuration) => withKeyring(configuration, options))
      .then((configuration) => createSession(createClient(configuration)));
    byWorkspace.set(key, session);
    // A configuration that couldn't be read may be corrected: only what worked is kept.
    session.catch(() => byWorkspace.delete(key));
  }
  return session;
}

function createSession(client: Client): Session {
  const pages = new Map<string, { readonly at: number; readonly files: Promise<readonly ListedFile[] | undefined> }>();
  const places = new Map<string, SeenPlace>();
  return {
    client,
    remember: (sha256, place) => places.set(sha256, place),
    recall: (sha256) => places.get(sha256),
    files(index, project, signal) {
      const key = `${index.url} ${project}`;
      const known = pages.get(key);
      if (known && Date.now() - known.at < FRESH) return known.files;
      // No caller's signal: what one of them gives up on, others may be waiting for.
      const files = listFiles(client, index, project);
      pages.set(key, { at: Date.now(), files });
      files.then(
        (list) => list ?? pages.delete(key),
        () => pages.delete(key),
      );
      return signal ? abortable(files, signal) : files;
    },
  };
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/**
 * The bytes of one locked wheel from the user's indexes, unchecked: the index the lock names first, then the others, because
 * another machine may name the same index differently.
 * @throws McpBuildError `artifact-unavailable` when no index has it, `integrity` when the ones that have the name have other bytes,
 * and what the client throws
 */
export async function* fetchWheel(artifact: WheelArtifact, options: FetchOptions): AsyncGenerator<Uint8Array> {
  const session = await sessionFor(options);
  const { hex } = parseIntegrity(artifact.integrity);
  const { indexes } = session.client.configuration;
  const order = [...indexes].sort((a, b) => Number(b.name === artifact.index) - Number(a.name === artifact.index) || 0);
  const place = session.recall(hex);
  const known = place && indexes.find((index) => index.name === place.index);
  if (place && known) {
    yield* download(session.client, known, place.url, artifact, options.signal);
    return;
  }
  let swapped: string | undefined;
  let failure: unknown;
  for (const index of order) {
    let files: readonly ListedFile[] | undefined;
    try {
      files = await session.files(index, normalizeProject(artifact.name), options.signal);
    } catch (error) {
      options.signal?.throwIfAborted();
      failure ??= error;
      continue;
    }
    const named = files?.filter((file) => file.file === artifact.file) ?? [];
    const found = named.find((file) => file.sha256 === hex) ?? named.find((file) => file.sha256 === undefined);
    if (found) {
      yield* download(session.client, index, found.url, artifact, options.signal);
      return;
    }
    if (named.length > 0) swapped ??= index.name;
  }
  if (swapped !== undefined) throw otherBytes(artifact, swapped);
  // An index that can't be asked may be the one that has it: that it is down is the error, not that the file is gone.
  if (failure !== undefined) throw failure;
  throw unavailable(artifact, indexes);
}

/** Streams a file and takes up again where a broken connection left off; what is put together so is hashed like the rest. */
async function* download(
  client: Client,
  index: Index,
  url: string,
  artifact: WheelArtifact,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const limit = artifact.size ?? WHEEL_LIMIT;
  const sameOrigin = new URL(url).origin === new URL(index.url).origin;
  let seen = 0;
  for (let attempt = 0; ; attempt += 1) {
    const response = await client.get(url, {
      accept: '*/*',
      from: seen,
      credentials: sameOrigin ? index.credentials : undefined,
      signal,
    });
    if (response.status !== 200 && response.status !== 206) {
      response.discard();
      throw unavailable(artifact, [index]);
    }
    if (response.status === 206 && response.from !== seen) {
      response.discard();
      throw invalid(artifact, index);
    }
    let skip = response.status === 200 ? seen : 0;
    try {
      for await (const chunk of response.body) {
        const rest = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - rest.length;
        if (rest.length === 0) continue;
        seen += rest.length;
        if (seen > limit) throw tooLong(artifact, limit);
        yield rest;
      }
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const broken = error instanceof McpBuildError && error.code === 'registry-unavailable';
      if (!broken || attempt === RESUMES) throw error;
    }
  }
}

function unavailable(artifact: WheelArtifact, asked: readonly Index[]): McpBuildError {
  return new McpBuildError({
    code: 'artifact-unavailable',
    message: `${artifact.file} is at none of the indexes that are configured here (${asked.map(({ name }) => name).join(', ')})`,
    input: artifact.file,
    fix: 'Configure the index that has it (UV_INDEX, UV_DEFAULT_INDEX, uv.toml or pip.conf), or lock again.',
    exit: 5,
  });
}

function otherBytes(artifact: WheelArtifact, index: string): McpBuildError {
  return new McpBuildError({
    code: 'integrity',
    message: `Index "${index}" has a file ${artifact.file}, but its hash is not the locked one`,
    input: artifact.file,
    fix: 'Files of a release never change: find out who replaced this one before you lock again.',
  });
}

function tooLong(artifact: WheelArtifact, limit: number): McpBuildError {
  return new McpBuildError({
    code: 'integrity',
    message: `${artifact.file} is longer than ${limit} bytes`,
    input: artifact.file,
    fix: 'The bytes are not the locked ones: check the index, then try again.',
  });
}

function invalid(artifact: WheelArtifact, index: Index): McpBuildError {
  return new McpBuildError({
    code: 'registry-invalid',
    message: `Index "${index.name}" sent another part of ${artifact.file} than was asked for`,
    input: artifact.file,
    fix: 'Try again; if it stays so, report it to those who run the index.',
    exit: 5,
  });
}
