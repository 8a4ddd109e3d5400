import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { imagesFolders, readBaseLock } from '../../builders/debian/index.ts';
import type { Lock } from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { type Descriptor, openLayout, type Store } from '../../registry/index.ts';
import { failures } from '../../trust/index.ts';
import { type Decision, decide, type Finding, finding } from '../../vetting/index.ts';
import { type AuditOptions, auditLock } from './audit.ts';
import { toolsAt } from './audit-target.ts';
import { hasLock, readLockFolder } from './folder.ts';
import { type Applied, policyOf } from './policy.ts';
import { verifyImage } from './verify.ts';

export interface WatchOptions extends AuditOptions {
  readonly workspace: string;
}

export interface Watched extends Decision {
  readonly name: string;
  /** Of the image that was built from its lock. */
  readonly digest?: string | undefined;
  /** What was looked at of what its lock names: silence about the rest is no reason to let anything start again. */
  readonly looked?: { readonly files: boolean; readonly advisories: boolean } | undefined;
}

/** The names under `./lockfiles/` that have a lock. */
export async function lockedNames(workspace: string): Promise<readonly string[]> {
  const folder = join(workspace, 'lockfiles');
  const names = await readdir(folder).catch(() => []);
  const locked = await Promise.all(names.map(async (name) => ((await hasLock(join(folder, name))) ? [name] : [])));
  return locked.flat().sort();
}

/**
 * One server as it is judged today: its lock by today's indexes and advisories, its built image by today's policy and keys. What can't be read
 * is a finding: a watch that stops at the first broken server watches none of the others.
 */
export function watchServer(name: string, options: WatchOptions): Promise<Watched> {
  return watchFolder(name, join(options.workspace, 'lockfiles', name), options);
}

/** As `watchServer`, for a lock that lies elsewhere. */
export async function watchFolder(name: string, path: string, options: WatchOptions): Promise<Watched> {
  try {
    const folder = await readLockFolder(path);
    const tools = await toolsAt(join(path, 'tools.json'));
    const audited = await auditLock(folder, { ...options, tools, unfetched: 'named' });
    const image = folder.lock.index ? await judged(name, folder.lock.index, options) : [];
    const verdict = decide([...image, ...(await baseUpdate(folder.lock, options))], options.rules, options.now);
    return {
      name,
      digest: folder.lock.index,
      findings: [...verdict.findings, ...audited.findings],
      refused: [...verdict.refused, ...audited.refused],
      looked: {
        files: !options.offline && audited.unfetched.size === 0,
        advisories: audited.advisories !== undefined && audited.advisories.unread === 0,
      },
    };
  } catch (error) {
    if (!(error instanceof McpBuildError)) throw error;
    const broken = finding('not-checked', name, `${error.message} [${error.code}]`, { severity: 'high' });
    return { name, ...decide([broken], options.rules, options.now) };
  }
}

/** Whether the base that this program would take today is another than the one that the lock has: most of it are security updates. */
async function baseUpdate(lock: Lock, { environment }: WatchOptions): Promise<readonly Finding[]> {
  if (lock.base.kind !== 'recipe') return [];
  const today = await readBaseLock(lock.base.recipe, await imagesFolders(environment)).catch(() => undefined);
  const debs = (platforms: Lock['platforms']) =>
    new Map(
      Object.values(platforms).flatMap(({ layers }) =>
        layers.flatMap(({ name, files }) =>
          name === 'base' ? files.map((file) => [file.name, file.version] as const) : [],
        ),
      ),
    );
  const now = today ? debs(today.platforms) : new Map<string, string>();
  const changed = [...debs(lock.platforms)].filter(([name, version]) => (now.get(name) ?? version) !== version);
  if (changed.length === 0) return [];
  return [
    finding('base-update', lock.name, `${changed.length} packages of its base are newer by now`, {
      evidence: changed.slice(0, 40).map(([name, version]) => `${name} ${version} → ${now.get(name)}`),
    }),
  ];
}

/** Keys are revoked and policies narrowed after an image was signed. An image that isn't here any more can't be started from here either. */
export async function judged(
  name: string,
  digest: string,
  { home, environment, workspace, now }: WatchOptions,
): Promise<readonly Finding[]> {
  const store = await openLayout(home.store);
  const image = await store.resolve(digest).catch(() => undefined);
  // What was never signed was never allowed to start: nothing has changed for it.
  if (!image || (await store.referrers(image.digest)).length === 0) return [];
  return judgeImage(store, image, name, { home, environment, workspace, now });
}

/** What the policy in force says of an image, wherever it is; nothing where there is neither a policy nor a key. */
export async function judgeImage(
  store: Store,
  image: Descriptor,
  name: string,
  { home, environment, workspace, now }: Pick<WatchOptions, 'home' | 'environment' | 'workspace' | 'now'>,
): Promise<readonly Finding[]> {
  let applied: Applied;
  try {
    applied = await policyOf(home, { ...environment }, workspace);
  } catch (error) {
    if (error instanceof McpBuildError && error.code === 'key-missing') return [];
    throw error;
  }
  const { verdict } = await verifyImage(store, image, {
    policy: applied.policy,
    now,
    layers: false,
    platforms: 'all',
    asked: { image: name },
  });
  if (verdict.verdict === 'pass') return [];
  return [
    finding('not-allowed-any-more', name, 'Its image would not be started today', {
      evidence: failures(verdict).map(({ id, detail }) => `${id}: ${detail}`),
    }),
  ];
}

/** Tells a webhook. @throws McpBuildError `webhook-failed` */
export async function tell(url: string, document: object): Promise<void> {
  const { default: makeFetch } = await import('make-fetch-happen');
  try {
    const response = await makeFetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(document),
      timeout: 30_000,
      redirect: 'error',
    });
    if (response.ok) return;
    throw new Error(`it answers ${response.status}`);
  } catch (cause) {
    // Its address often holds a secret: only the host is named.
    const host = URL.canParse(url) ? new URL(url).host : 'the webhook';
    throw new McpBuildError({
      code: 'webhook-failed',
      message: `${host} could not be told: ${cause instanceof Error ? cause.message.replaceAll(url, host) : 'no answer'}`,
      input: host,
      fix: 'Check the address given with --webhook.',
      exit: 5,
      cause,
    });
  }
}
