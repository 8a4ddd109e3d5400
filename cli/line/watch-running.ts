import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  askKeeper,
  type Denied,
  listKept,
  listServers,
  type RunningServer,
  type Runtime,
  readDenied,
  stopKeeper,
  stopServer,
  writeDenied,
} from '../../runner/index.ts';
import { DEFAULT_VETTING } from '../../trust/index.ts';
import { decide, FINDINGS, type Finding, printed } from '../../vetting/index.ts';
import { readLockFolder } from './folder.ts';
import type { Home } from './home.ts';
import { keptFolder } from './kept.ts';
import { judged, type Watched, type WatchOptions, watchFolder } from './watch.ts';

/** One image of which servers run, as it is judged today. */
export interface RunningWatched extends Watched {
  readonly digest: string;
  readonly containers: readonly string[];
  /** Those that were stopped. */
  readonly stopped: readonly string[];
}

export interface Running {
  readonly servers: readonly RunningWatched[];
  /** What may not start here any more, whoever wants it. */
  readonly denied: Denied;
}

/**
 * What runs on this machine, judged by today's policy and keys and, where its lock is known, by today's advisories and indexes. Images with a
 * refused finding of a kind that the policy names under `vetting.stop` are stopped, and denied: a gateway would start them again.
 * @param watched what was found of the locks of this folder
 */
export async function watchRunning(
  runtime: Runtime,
  watched: readonly Watched[],
  options: WatchOptions,
): Promise<Running> {
  const servers = (await listServers(runtime)).filter(({ digest, state }) => digest !== '' && state !== 'exited');
  const groups = Map.groupBy(servers, ({ digest }) => digest);
  const known = new Map(watched.flatMap((one) => (one.digest === undefined ? [] : [[one.digest, one] as const])));
  const found: RunningWatched[] = [];
  const before = await readDenied(options.home.root);
  // What isn't looked at this time stays denied.
  const denied: Record<string, Denied[string]> = { ...before };
  const release = (digest: string, { looked }: Watched): void => {
    const why = denied[digest]?.why;
    if (why !== undefined && looked?.files && (looked.advisories || !isByAdvisory(why))) delete denied[digest];
  };
  for (const [digest, one] of known) release(digest, one);
  const stop = new Set((options.rules ?? DEFAULT_VETTING).stop);
  for (const [digest, running] of groups) {
    const [first] = running;
    if (!first) continue;
    const place = known.has(digest) ? undefined : await stateLockOf(digest, options.home);
    const one = known.get(digest) ?? (await judgeRunning(first, place, options));
    known.set(digest, one);
    // Without its lock less is known than what it may have been denied for.
    if (place) release(digest, one);
    found.push({
      ...one,
      name: first.server,
      digest,
      containers: running.map(({ container }) => container),
      stopped: [],
    });
  }
  for (const [digest, one] of known) {
    const reasons = one.refused.filter(({ code }) => stop.has(code));
    if (reasons.length === 0) continue;
    denied[digest] = before[digest] ?? { at: options.now.toISOString(), why: whyOf(reasons) };
  }
  // Denied first: whoever keeps it going must not bring it back in between.
  if (JSON.stringify(denied) !== JSON.stringify(before)) await writeDenied(options.home.root, denied);
  const done = await Promise.all(
    found.map(async (one) => {
      const running = groups.get(one.digest) ?? [];
      return Object.hasOwn(denied, one.digest)
        ? { ...one, stopped: await stopAll(runtime, running, options.home) }
        : one;
    }),
  );
  return { servers: done, denied };
}

async function judgeRunning(
  { server, digest }: RunningServer,
  place: string | undefined,
  options: WatchOptions,
): Promise<Watched> {
  if (place) return { ...(await watchFolder(server, place, options)), name: server };
  return { name: server, digest, ...decide(await judged(server, digest, options), options.rules, options.now) };
}

/** The lock that `run` keeps, of which the image with that digest was built. */
async function stateLockOf(digest: string, { locks }: Home): Promise<string | undefined> {
  const files = await readdir(locks, { recursive: true }).catch(() => []);
  for (const file of files.filter((one) => one.endsWith('image.lock.json'))) {
    const path = dirname(join(locks, file));
    const folder = await readLockFolder(path).catch(() => undefined);
    if (folder?.lock.index === digest) return path;
  }
  return undefined;
}

/** Kept ones by their keeper, which would replace them. */
async function stopAll(runtime: Runtime, servers: readonly RunningServer[], home: Home): Promise<readonly string[]> {
  const folder = keptFolder(home);
  const containers = new Set(servers.map(({ container }) => container));
  for (const record of await listKept(folder)) {
    const keeper = await askKeeper(folder, record).catch(() => undefined);
    if (keeper && [...keeper.ready, ...keeper.used].some((one) => containers.has(one))) await stopKeeper(keeper);
  }
  await Promise.all(servers.map((server) => stopServer(runtime, server)));
  return [...containers].sort();
}

/** Whether advisories may have been a reason, as `whyOf` wrote it; where there are more than it names, nobody knows. */
function isByAdvisory(why: string): boolean {
  return why.split(', ').some((reason) => !Object.hasOwn(FINDINGS, reason.split(' ')[0] ?? ''));
}

function whyOf(reasons: readonly Finding[]): string {
  const text = reasons.slice(0, 3).map(({ code, id, subject }) => `${id ?? code} ${subject}`);
  return printed(`${text.join(', ')}${reasons.length > 3 ? `, and ${reasons.length - 3} more` : ''}`, 1000);
}
