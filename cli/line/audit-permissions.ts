import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readAuditLog } from '../../gateway/index.ts';
import { NO_PERMISSIONS, type Permissions } from '../../runner/index.ts';
import {
  type Called,
  describePermissions,
  type Needed,
  neededBy,
  packagesOf,
  type Review,
  reviewPermissions,
  type Used,
} from '../../vetting/index.ts';
import { readLock } from './audit.ts';
import { hasLock, type LockFolder, lockFolderOf, readLockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { findManifest, type ServerEntry } from './manifest/index.ts';
import { auditFolder } from './serve.ts';
import { recordedOffer } from './smoke.ts';
import { usedBy, usedServers } from './usage.ts';
import { lockedNames } from './watch.ts';

export interface PermissionsOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
  /** Where the gateway's log is. */
  readonly log?: string | undefined;
  readonly days: number;
  readonly now: Date;
}

/** What every server may do, did and needs. @param names all that are known here by default */
export async function reviewServers(names: readonly string[], options: PermissionsOptions): Promise<readonly Review[]> {
  const { home, workspace, days, now } = options;
  const manifest = await findManifest(workspace);
  const entries = new Map((manifest?.servers ?? []).map((entry) => [entry.name, entry] as const));
  const known = [
    ...new Set([...entries.keys(), ...(await lockedNames(workspace)), ...(await usedServers(home))]),
  ].sort();
  const since = new Date(now.getTime() - days * 86_400_000);
  const calls = await callsSince(options.log ?? auditFolder(home), since);
  const reviews: Review[] = [];
  for (const name of names.length > 0 ? names : known) {
    const place = await lockOf(name, options);
    const used = await usedBy(home, name, since);
    const called = calls.get(name) ?? (place?.folder.lock.index ? calls.get(place.folder.lock.index) : undefined);
    const offered = place ? await recordedOffer(place.path) : undefined;
    reviews.push(
      reviewPermissions({
        server: name,
        ...mayDo(entries.get(name), used),
        used,
        called,
        needed: place ? await needs(place.folder, options) : undefined,
        tools: offered?.offer.tools.map((one) => one.name),
        days,
        now,
      }),
    );
  }
  return reviews;
}

/** By the manifest, which people review; else as whoever started it last gave it. */
function mayDo(entry: ServerEntry | undefined, { starts }: Used): { permissions: Permissions; from: string } {
  if (entry) return { permissions: entry.permissions, from: 'mcp-build.yaml' };
  const last = starts.at(-1);
  return last
    ? { permissions: last.permissions, from: `its start of ${last.at.slice(0, 10)}` }
    : { permissions: NO_PERMISSIONS, from: 'default: none was ever given' };
}

/** What the code names, as far as it was read before or is at hand: nothing is fetched for a review. */
async function needs(folder: LockFolder, options: PermissionsOptions): Promise<Needed | undefined> {
  const contents = await readLock(folder, { ...options, offline: true }).catch(() => undefined);
  if (!contents) return undefined;
  const { launch } = folder.lock;
  const asked = [...(launch?.environment ?? []), ...(launch?.wanted ?? [])].map(({ name }) => name);
  return neededBy(packagesOf(folder.lock, folder.files, contents), contents, asked);
}

/** The gateway knows a server by its entry and by the digest of its image. */
async function callsSince(folder: string, since: Date): Promise<ReadonlyMap<string, Called>> {
  const found = new Map<string, { targets: Map<string, number>; last: string }>();
  for await (const { kind, server, digest, target, at } of readAuditLog(folder, since)) {
    if (kind !== 'call' || target === undefined) continue;
    for (const key of new Set([server, digest])) {
      if (key === undefined) continue;
      const one = found.get(key) ?? { targets: new Map<string, number>(), last: at };
      one.targets.set(target, (one.targets.get(target) ?? 0) + 1);
      if (at > one.last) one.last = at;
      found.set(key, one);
    }
  }
  return found;
}

interface Place {
  readonly path: string;
  readonly folder: LockFolder;
}

/** The committed lock of that name, else one that `run` keeps for it. */
async function lockOf(name: string, { home, workspace }: PermissionsOptions): Promise<Place | undefined> {
  const own = lockFolderOf(workspace, name);
  if (await hasLock(own)) return { path: own, folder: await readLockFolder(own) };
  const kept = await readdir(home.locks, { recursive: true }).catch(() => []);
  for (const file of kept.filter((one) => one.endsWith('image.lock.json')).sort()) {
    const path = dirname(join(home.locks, file));
    const folder = await readLockFolder(path).catch(() => undefined);
    if (folder?.lock.name === name) return { path, folder };
  }
  return undefined;
}

/** An entry's permissions as `mcp-build.yaml` has them. JSON strings are YAML, whatever they hold. */
export function pasteable({ network, volumes }: Permissions): readonly string[] {
  return [
    'permissions:',
    `  network: ${typeof network === 'string' ? network : `[${network.map((one) => JSON.stringify(one)).join(', ')}]`}`,
    ...(volumes.length > 0
      ? ['  volumes:', ...volumes.map(({ path, mode }) => `    - { path: ${JSON.stringify(path)}, mode: ${mode} }`)]
      : []),
  ];
}

/** For a person: may, did, needs, what is unused, and what to paste. */
export function reviewText(review: Review): string {
  const { server, permissions, from, used, called, needed, findings, narrower, unknown, days } = review;
  const may = describePermissions(permissions);
  const reached = [...used.reached].map(([where, at]) => `${where} (last ${at.slice(0, 10)})`).sort();
  const refused = [...used.refused.keys()].sort();
  const asked = [...(called?.targets ?? [])].sort((a, b) => b[1] - a[1]);
  const did = [
    used.starts.length > 0
      ? `started ${used.starts.length === 1 ? 'once' : `${used.starts.length} times`} in ${days} days; recorded since ${used.since?.slice(0, 10)}`
      : `not seen running in ${days} days`,
    ...(reached.length > 0 ? [`reached ${reached.slice(0, 20).join(', ')}`] : []),
    ...(refused.length > 0 ? [`was refused ${refused.slice(0, 20).join(', ')}`] : []),
    ...(asked.length > 0
      ? [
          `was called for ${asked
            .slice(0, 20)
            .map(([name, count]) => `${name} ${count}`)
            .join(', ')}`,
        ]
      : []),
  ];
  const names = needed
    ? [
        `variables ${needed.variables.slice(0, 20).join(', ') || 'none'}`,
        `hosts ${needed.hosts.slice(0, 10).join(', ') || 'none'}`,
      ]
    : ['not known: its archives are not at hand (`mcp-build audit` reads them)'];
  const removed = narrower ? permissions.environment.filter((name) => !narrower.environment.includes(name)) : [];
  return [
    `${server}  (by ${from})`,
    ...labelled('may', may.length > 0 ? may : ['nothing beyond computing']),
    ...labelled('did', did),
    ...labelled('names', names),
    ...findings.map(({ message, evidence }) => `  · unused: ${message}: ${evidence.slice(0, 20).join(', ')}`),
    ...unknown.map((line) => `  ? ${line}`),
    ...(narrower ? ['  enough would have been:', ...pasteable(narrower).map((line) => `    ${line}`)] : []),
    ...(removed.length > 0 ? [`    # and without the variables ${removed.join(', ')}`] : []),
  ].join('\n');
}

function labelled(label: string, lines: readonly string[]): readonly string[] {
  return lines.map((line, at) => `  ${(at === 0 ? `${label}:` : '').padEnd(7)}${line}`);
}
