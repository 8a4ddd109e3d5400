import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { readBounded } from '../../files/index.ts';
import type { Decision, Permissions } from '../../runner/index.ts';
import type { Used } from '../../vetting/index.ts';
import type { Home } from './home.ts';

/** In bytes, of each of two files a server: when one is full it takes the place of the older. */
const SIZE = 1024 * 1024;
/** The same destination is written again after this, in milliseconds: for a review, when it was last reached matters, not how often. */
const AGAIN = 3_600_000;
/** Destinations of one session that are told apart: a server may invent names without end. */
const DESTINATIONS = 1000;

/** What a server that is started may do, and by which image. */
export interface Start {
  readonly server: { readonly name: string };
  readonly image: { readonly digest: string };
  readonly permissions: Permissions;
}

/**
 * Keeps what a server was given and what it reached for, so that `audit permissions` can say what it never needed: destinations only, nothing
 * of what was sent. What the disk doesn't take is lost: it is no reason to end a run. @returns what is to be told of each decision
 */
export function recordUse(home: Home, { server, image, permissions }: Start, now = Date.now): (one: Decision) => void {
  const path = pathOf(home, server.name);
  const write = (line: z.infer<typeof lineSchema>) => {
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > SIZE) renameSync(path, `${path}.old`);
      // One write of one line: several processes may have this file open.
      appendFileSync(path, `${JSON.stringify(line)}\n`, { mode: 0o600 });
    } catch {
      // See above.
    }
  };
  const at = () => new Date(now()).toISOString();
  write({ kind: 'given', at: at(), digest: image.digest, ...permissions });
  const told = new Map<string, number>();
  return ({ host, port, allowed }) => {
    if (host === '') return;
    const key = `${host}:${port} ${allowed}`;
    const last = told.get(key);
    if ((last !== undefined && now() - last < AGAIN) || (last === undefined && told.size >= DESTINATIONS)) return;
    told.set(key, now());
    write({ kind: allowed ? 'reached' : 'refused', at: at(), host: host.slice(0, 255), port });
  };
}

const at = z.iso.datetime();
const lineSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('given'),
    at,
    digest: z.string().max(200),
    network: z.union([z.literal('none'), z.literal('all'), z.array(z.string().max(300)).readonly()]),
    volumes: z.array(z.object({ path: z.string(), mode: z.enum(['ro', 'rw']) })).readonly(),
    environment: z.array(z.string()).readonly(),
  }),
  z.object({ kind: z.enum(['reached', 'refused']), at, host: z.string().max(300), port: z.number() }),
]);

/** What was recorded of a server since a day. Lines that can't be read are counted, and say nothing. */
export async function usedBy(home: Home, server: string, since: Date): Promise<Used> {
  const path = pathOf(home, server);
  let first: string | undefined;
  let unread = 0;
  const starts: Used['starts'][number][] = [];
  const reached = new Map<string, string>();
  const refused = new Map<string, string>();
  for (const file of [`${path}.old`, path]) {
    const text = await readBounded(file, 8 * SIZE).catch(() => undefined);
    for (const line of text?.toString('utf8').split('\n') ?? []) {
      if (line === '') continue;
      const read = lineSchema.safeParse(parsed(line)).data;
      if (!read) {
        unread += 1;
        continue;
      }
      first = first === undefined || read.at < first ? read.at : first;
      if (Date.parse(read.at) < since.getTime()) continue;
      if (read.kind === 'given') {
        const { network, volumes, environment } = read;
        starts.push({ at: read.at, permissions: { network, volumes, environment } });
      } else {
        const seen = read.kind === 'reached' ? reached : refused;
        const key = `${read.host}:${read.port}`;
        if ((seen.get(key) ?? '') < read.at) seen.set(key, read.at);
      }
    }
  }
  return { since: first, starts, reached, refused, unread };
}

/** The servers of which anything was recorded. */
export async function usedServers(home: Home): Promise<readonly string[]> {
  const names = await readdir(join(home.root, 'usage')).catch(() => []);
  return names
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => decodeURIComponent(name.slice(0, -'.jsonl'.length)))
    .sort();
}

function pathOf(home: Home, server: string): string {
  return join(home.root, 'usage', `${encodeURIComponent(server).replace(/^\./, '%2E').slice(0, 200)}.jsonl`);
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
