import { checked } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import type { Descriptor } from '../store.ts';
import { protocolFault } from './fault.ts';
import type { Session } from './session.ts';
import { type Incoming, onceOf } from './wire.ts';

export interface UploadOptions {
  readonly repository: string;
  /** Another repository of the same registry that may have the blob: it is mounted from there instead of sent. */
  readonly mountFrom?: string | undefined;
  /** In bytes; 0 sends a blob whole, and in pieces only when the registry won't have it whole (413). */
  readonly chunk: number;
}

/** In bytes: what a registry that refuses whole blobs is likely to take. */
const CHUNK = 8 * 1024 * 1024;

/**
 * Sends a blob, or has it mounted. Repeated from the start when it fails on the way, for which `bytes` must be one that can be
 * iterated again; the registry never gets the last chunk of bytes that aren't the descriptor's.
 * @throws McpBuildError `integrity`, `not-replayable`, and what `session.call` throws
 */
export async function upload(
  session: Session,
  descriptor: Descriptor,
  bytes: AsyncIterable<Uint8Array>,
  options: UploadOptions,
): Promise<'mounted' | 'sent'> {
  const open = replays(descriptor, bytes);
  const budget = session.budget();
  let chunk = options.chunk;
  let mountFrom = options.mountFrom;
  for (;;) {
    try {
      const answer = await begin(session, descriptor, options.repository, mountFrom);
      if (answer.status === 201) return 'mounted';
      if (chunk === 0) await whole(session, descriptor, options.repository, answer, open);
      else await pieces(session, descriptor, options.repository, answer, open, chunk);
      return 'sent';
    } catch (error) {
      if (chunk === 0 && error instanceof TooLarge) chunk = CHUNK;
      else await budget.wait(error);
      mountFrom = undefined;
    }
  }
}

/** Only within `upload`: the registry, or a proxy before it, has a limit on one request. */
class TooLarge extends Error {}

async function begin(
  session: Session,
  descriptor: Descriptor,
  repository: string,
  from: string | undefined,
): Promise<Incoming> {
  const mount =
    from === undefined ? '' : `?mount=${encodeURIComponent(descriptor.digest)}&from=${encodeURIComponent(from)}`;
  const scopes = [push(repository), ...(from === undefined ? [] : [`repository:${from}:pull`])];
  const call = { method: 'POST', to: `${repository}/blobs/uploads/${mount}`, expect: [201, 202], once: true } as const;
  const none = { size: 0, open: () => onceOf(NOTHING) };
  try {
    const answer = await session.call({ ...call, scopes, body: none });
    await answer.discard();
    if (answer.status === 201 && from === undefined)
      throw protocolFault(session.registry, 'has taken a blob that was not sent yet');
    return answer;
  } catch (error) {
    // Not being allowed to read the other repository is no reason not to send.
    if (from === undefined || !isFault(error, 'unauthorized')) throw error;
    return begin(session, descriptor, repository, undefined);
  }
}

const NOTHING = new Uint8Array();

async function whole(
  session: Session,
  descriptor: Descriptor,
  repository: string,
  begun: Incoming,
  open: () => AsyncIterable<Uint8Array>,
): Promise<void> {
  const answer = await session.call({
    method: 'PUT',
    to: withDigest(await session.location(begun), descriptor),
    headers: { 'content-type': 'application/octet-stream' },
    body: { size: descriptor.size, open },
    scopes: [push(repository)],
    expect: [201, 204, 413],
    once: true,
  });
  await finish(answer, descriptor, session.registry);
}

async function pieces(
  session: Session,
  descriptor: Descriptor,
  repository: string,
  begun: Incoming,
  open: () => AsyncIterable<Uint8Array>,
  chunk: number,
): Promise<void> {
  const least = Number(begun.headers['oci-chunk-min-length'] ?? 0);
  const length = Math.max(chunk, Number.isSafeInteger(least) ? least : 0);
  const source = open()[Symbol.asyncIterator]();
  const carry: { rest: Uint8Array | undefined } = { rest: undefined };
  let location = await session.location(begun);
  try {
    for (let at = 0; at < descriptor.size; at += length) {
      const size = Math.min(length, descriptor.size - at);
      let opened = false;
      const answer = await session.call({
        method: 'PATCH',
        to: location,
        headers: { 'content-type': 'application/octet-stream', 'content-range': `${at}-${at + size - 1}` },
        body: {
          size,
          open: () => {
            // A piece is read from a source that has gone on since: only the whole upload can be repeated.
            if (opened) throw notReplayable(descriptor);
            opened = true;
            return take(source, size, carry);
          },
        },
        scopes: [push(repository)],
        expect: [202, 204],
        once: true,
      });
      await answer.discard();
      location = await session.location(answer);
    }
    // The source says only at its end whether the bytes were the right ones.
    for (let next = await source.next(); !next.done; next = await source.next());
  } finally {
    await source.return?.();
  }
  const answer = await session.call({
    method: 'PUT',
    to: withDigest(location, descriptor),
    body: { size: 0, open: () => onceOf(NOTHING) },
    scopes: [push(repository)],
    expect: [201, 204],
    once: true,
  });
  await finish(answer, descriptor, session.registry);
}

async function* take(
  source: AsyncIterator<Uint8Array>,
  size: number,
  carry: { rest: Uint8Array | undefined },
): AsyncGenerator<Uint8Array> {
  for (let left = size; left > 0; ) {
    const next = carry.rest ?? (await source.next()).value;
    // Shorter than its descriptor: `checked` has thrown before this.
    if (!next) return;
    const chunk = next.subarray(0, left);
    carry.rest = chunk.length < next.length ? next.subarray(chunk.length) : undefined;
    left -= chunk.length;
    yield chunk;
  }
}

async function finish(answer: Incoming, descriptor: Descriptor, registry: string): Promise<void> {
  await answer.discard();
  if (answer.status === 413) throw new TooLarge();
  const digest = answer.headers['docker-content-digest'];
  if (digest === undefined || digest === descriptor.digest) return;
  throw new McpBuildError({
    code: 'integrity',
    message: `${registry} says that it has stored ${String(digest)} where ${descriptor.digest} was sent`,
    input: descriptor.digest,
    fix: 'Push again; nothing points at what was stored.',
  });
}

/** The query of a Location is the registry's own, often signed: it is not parsed and written anew. */
function withDigest(location: URL, descriptor: Descriptor): URL {
  const url = new URL(location);
  url.search = `${url.search === '' ? '?' : `${url.search}&`}digest=${encodeURIComponent(descriptor.digest)}`;
  return url;
}

function push(repository: string): string {
  return `repository:${repository}:pull,push`;
}

function replays(descriptor: Descriptor, bytes: AsyncIterable<Uint8Array>): () => AsyncIterable<Uint8Array> {
  let last: AsyncIterator<Uint8Array> | undefined;
  return () => {
    const iterator = bytes[Symbol.asyncIterator]();
    if (iterator === last) throw notReplayable(descriptor);
    last = iterator;
    return checked(
      { [Symbol.asyncIterator]: () => iterator },
      {
        name: descriptor.digest,
        integrity: descriptor.digest,
        size: descriptor.size,
        fix: 'Nothing was stored. Check where the bytes come from, then try again.',
      },
    );
  };
}

function notReplayable(descriptor: Descriptor): McpBuildError {
  return new McpBuildError({
    code: 'not-replayable',
    message: `The upload of ${descriptor.digest} failed on the way, and its bytes can't be read a second time`,
    input: descriptor.digest,
    fix: 'Try again.',
    exit: 5,
  });
}
