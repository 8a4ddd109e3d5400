import { setTimeout as sleep } from 'node:timers/promises';
import { type Digest, sha256 } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { MANIFEST_LIMIT, parseManifest } from '../manifest.ts';
import { bareType, isIndexType, MEDIA } from '../media.ts';
import { inOrder, referrersTag, withReferrer } from '../referrers.ts';
import type { Descriptor } from '../store.ts';
import { protocolFault } from './fault.ts';
import type { Session } from './session.ts';
import { type Incoming, onceOf, readBody } from './wire.ts';

/** Pages and referrers of one subject that are read: more is somebody's attempt to keep us busy. */
const PAGES = 100;
const REFERRERS = 10_000;
/** Rounds of reading, merging and writing one list against other writers. */
const ROUNDS = 40;

// Some registries send the request on to their web pages (303), or know no such path in other words than 404.
const NO_API = [301, 302, 303, 307, 308, 400, 404, 405, 406, 410, 501];

/**
 * The referrers API (distribution-spec, "Listing Referrers"), all pages of it. Undefined where the registry doesn't have it.
 * @throws McpBuildError what `session.call` throws; `registry-unavailable` for an answer that isn't a list
 */
export async function listByApi(
  session: Session,
  repository: string,
  subject: Digest,
): Promise<readonly Descriptor[] | undefined> {
  const found: Descriptor[] = [];
  let to: string | URL = `${repository}/referrers/${subject}`;
  for (let page = 0; page < PAGES; page++) {
    const answer = await session.call({
      method: 'GET',
      to,
      headers: { accept: MEDIA.index },
      scopes: [`repository:${repository}:pull`],
      expect: page === 0 ? [200, ...NO_API] : [200],
    });
    if (answer.status !== 200) {
      await answer.discard();
      return undefined;
    }
    const list = parseManifest(
      await readBody(answer, MANIFEST_LIMIT),
      contentType(answer),
      `the referrers of ${subject}`,
    );
    if (list.kind !== 'index') throw protocolFault(session.registry, 'gives no list of referrers');
    found.push(...list.manifests);
    if (found.length > REFERRERS) throw protocolFault(session.registry, `lists more than ${REFERRERS} referrers`);
    const next = await nextPage(session, answer);
    if (!next) return found;
    to = next;
  }
  throw protocolFault(session.registry, `lists referrers on more than ${PAGES} pages`);
}

/**
 * Our own path only: a Link to elsewhere would carry our credentials there, or take another host's word for who has signed.
 * @throws McpBuildError `registry-unavailable`
 */
async function nextPage(session: Session, answer: Incoming): Promise<URL | undefined> {
  const { link } = answer.headers;
  if (link === undefined) return undefined;
  const match = /<([^>]{1,4096})>\s*;[^,]*\brel\s*=\s*"?next"?/i.exec(String(link));
  if (!match) return undefined;
  const target = match[1]!;
  if (!URL.canParse(target, answer.url)) throw protocolFault(session.registry, 'names no URL for the next page');
  const url = new URL(target, answer.url);
  if (!(await session.own(url)))
    throw protocolFault(session.registry, 'continues its list of referrers on another host');
  return url;
}

interface TagList {
  readonly referrers: readonly Descriptor[];
  /** For a conditional write; undefined where the registry gives none. */
  readonly etag?: string | undefined;
  /** There is no list yet. */
  readonly missing: boolean;
}

/** The list at the referrers tag (distribution-spec, "Referrers Tag Schema"). @throws as `listByApi` */
export async function listByTag(session: Session, repository: string, subject: Digest): Promise<TagList> {
  const answer = await session.call({
    method: 'GET',
    to: `${repository}/manifests/${referrersTag(subject)}`,
    headers: { accept: MEDIA.index },
    scopes: [`repository:${repository}:pull`],
    expect: [200, 404],
  });
  if (answer.status === 404) {
    await answer.discard();
    return { referrers: [], missing: true };
  }
  const bytes = await readBody(answer, MANIFEST_LIMIT);
  // Some registries read `sha256-…` as the digest it spells, and answer with the subject: an index's own images would be its referrers.
  if (sha256(bytes) === subject) return { referrers: [], missing: true };
  const list = parseManifest(bytes, contentType(answer), `the referrers of ${subject}`);
  if (list.kind !== 'index')
    throw protocolFault(session.registry, `has no list of referrers at ${referrersTag(subject)}`);
  return { referrers: list.manifests, etag: answer.headers.etag, missing: false };
}

/** Referrers that are to be in a list. Others may be added to it until it is closed. */
export interface Batch {
  readonly referrers: Descriptor[];
  closed: boolean;
}

/** In milliseconds: how long to look for others who overwrite the list, at least; with signs of others, and without. */
const QUIET = { alone: 100, contended: 1000 };

/**
 * Adds to the list at the referrers tag, and stays until it is seen there: another writer who has read the list before us may put
 * it back without ours. `If-Match` forbids that where registries heed it. Where they don't, we look again after longer than we
 * took from reading to writing ourselves, since that is what others take too, and much longer once there is a sign of others.
 * @throws McpBuildError `referrers-busy`, and as `listByApi`
 */
export async function addToTag(session: Session, repository: string, subject: Digest, batch: Batch): Promise<void> {
  const budget = session.budget();
  let contended = false;
  let quiet = 0;
  let expected: ReadonlySet<string> | undefined;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const started = performance.now();
      const list = await listByTag(session, repository, subject);
      if (expected) contended ||= !sameDigests(expected, list.referrers);
      const more = merged(list.referrers, batch.referrers);
      if (!more) {
        if (!expected || quiet >= (contended ? QUIET.contended : QUIET.alone)) return;
        await sleep(QUIET.contended);
        quiet += QUIET.contended;
        continue;
      }
      expected = new Set([...list.referrers, ...batch.referrers].map((one) => one.digest));
      try {
        // Not repeated by itself: the longer a write comes after the read it is based on, the more it may undo.
        if (!(await writeList(session, repository, subject, list, more))) contended = true;
      } catch (error) {
        await budget.wait(error);
        contended = true;
      }
      const window = performance.now() - started;
      quiet = Math.min(Math.max(QUIET.alone, 3 * window), 3000);
      // Spread out, or writers who met once would meet each time.
      await sleep(quiet + (contended ? Math.random() * 50 * Math.min(round + 1, 20) : 0));
    }
    throw busy(session, repository, subject);
  } finally {
    // In the same turn as the last look at the batch: what is added afterwards is another batch's.
    batch.closed = true;
  }
}

function sameDigests(expected: ReadonlySet<string>, list: readonly Descriptor[]): boolean {
  return expected.size === list.length && list.every((one) => expected.has(one.digest));
}

/** False when the list has changed since it was read. */
async function writeList(
  session: Session,
  repository: string,
  subject: Digest,
  read: TagList,
  bytes: Uint8Array,
): Promise<boolean> {
  const answer = await session.call({
    method: 'PUT',
    to: `${repository}/manifests/${referrersTag(subject)}`,
    headers: {
      'content-type': MEDIA.index,
      ...(read.missing ? { 'if-none-match': '*' } : read.etag ? { 'if-match': read.etag } : {}),
    },
    body: { size: bytes.length, open: () => onceOf(bytes) },
    scopes: [`repository:${repository}:pull,push`],
    expect: [200, 201, 412],
    once: true,
  });
  await answer.discard();
  return answer.status !== 412;
}

function busy(session: Session, repository: string, subject: Digest): McpBuildError {
  return new McpBuildError({
    code: 'referrers-busy',
    message: `Others keep changing the list of what refers to ${subject} in ${session.registry}/${repository}`,
    input: subject,
    fix: 'Try again in a moment: what was pushed before stays.',
    exit: 5,
  });
}

function merged(list: readonly Descriptor[], referrers: readonly Descriptor[]): Uint8Array | undefined {
  let bytes: Uint8Array | undefined;
  let all = list;
  for (const referrer of referrers) {
    const more = withReferrer(all, referrer);
    if (!more) continue;
    bytes = more.bytes;
    all = inOrder([...all, referrer]);
  }
  return bytes;
}

/** @throws McpBuildError `registry-unavailable` for a page of HTML that came with status 200 */
function contentType(answer: Incoming): string {
  const type = bareType(answer.headers['content-type'] ?? MEDIA.index);
  if (isIndexType(type) || type === MEDIA.manifest) return type;
  if (type === 'application/json') return MEDIA.index;
  throw protocolFault(answer.url.host, `answers with ${type} where a list of referrers belongs`);
}
