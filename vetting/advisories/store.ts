import { createHash } from 'node:crypto';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type RandomAccess, readZip } from '../../builders/archive/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { makeFolders, readBounded, temporaryBeside, withFileLock, writeAtomic } from '../../files/index.ts';
import type { Package } from '../tree.ts';
import type { Advisories } from './advisories.ts';
import { cvss } from './cvss.ts';
import { type Identity, identityOf, matching } from './match.ts';
import { type Advisory, advisorySchema } from './record.ts';
import { type Reduced, reduce } from './reduce.ts';

/** The exports that are kept, as OSV calls their folders. */
export const EXPORTS = ['npm', 'PyPI', 'Debian'] as const;
export type Export = (typeof EXPORTS)[number];

/** Increased whenever what is kept of a record changes. */
const FORMAT = 1;
/** In bytes: one record, and one file of what is kept. */
const RECORD = 8 * 1024 * 1024;
const SHARD = 64 * 1024 * 1024;
/** An export has a file a record: npm's has a few hundred thousand, most of them malware. */
const FILES = 3_000_000;

const metaSchema = z.object({
  format: z.literal(FORMAT),
  /** When the newest record was changed: an export that nobody refreshes any more shows its age, however often it is fetched. */
  collected: z.iso.datetime(),
  imported: z.iso.datetime(),
  records: z.int(),
  unread: z.int(),
  /** SHA-256 of the export. */
  digest: z.string(),
});

export type ExportMeta = Omit<z.infer<typeof metaSchema>, 'format'> & { readonly name: Export };

const shardSchema = z.record(z.string(), z.array(advisorySchema));

/**
 * Takes in an export: a zip with one OSV record a file. What was kept before stays until the new one is whole.
 * @throws McpBuildError `advisories-invalid` where nothing in it is a record of that ecosystem; `archive-unsafe`, `archive-invalid`
 */
export async function importExport(
  folder: string,
  name: Export,
  archive: RandomAccess,
  options: { readonly now: Date; readonly digest: string; readonly progress?: (line: string) => void },
): Promise<ExportMeta> {
  const rate = await cvss();
  const shards = new Map<string, Map<string, Advisory[]>>();
  let records = 0;
  let unread = 0;
  let newest = 0;
  const limits = { files: FILES, bytes: 64 * 1024 ** 3 };
  for await (const member of readZip(archive, { name: `${name} advisories`, limits })) {
    if (member.type !== 'file' || !member.path.endsWith('.json')) continue;
    const value = member.size > RECORD ? undefined : parse(await textOf(member.content));
    const reduced = reduce(value, rate);
    if (!reduced) {
      unread += 1;
      continue;
    }
    records += 1;
    if (records % 5000 === 0) options.progress?.(`read ${records} advisories for ${name}`);
    newest = Math.max(newest, modifiedAt(value, options.now));
    for (const one of reduced) if (one.ecosystem.split(':')[0] === name) put(shards, one);
  }
  if (records === 0 || shards.size === 0)
    throw invalid(name, `has no record for ${name} packages (${unread} could not be read)`);
  const meta = {
    format: FORMAT,
    collected: new Date(newest).toISOString(),
    imported: options.now.toISOString(),
    records,
    unread,
    digest: options.digest,
  } as const;
  await replace(join(folder, name), async (fresh) => {
    await makeFolders(join(fresh, 'by-name'));
    for (const [key, names] of shards) {
      await writeFile(join(fresh, 'by-name', `${key}.json`), JSON.stringify(Object.fromEntries(names)));
    }
    await writeAtomic(join(fresh, 'meta.json'), `${JSON.stringify(meta, null, 2)}\n`);
  });
  const { format: _format, ...rest } = meta;
  return { ...rest, name };
}

/** What is kept, with its age; nothing where nothing was ever taken in. @throws McpBuildError `advisories-invalid` */
export async function listExports(folder: string): Promise<readonly ExportMeta[]> {
  const found: ExportMeta[] = [];
  for (const name of EXPORTS) {
    const text = await readBounded(join(folder, name, 'meta.json'), 64 * 1024).catch(() => undefined);
    if (!text) continue;
    const { success, data } = metaSchema.safeParse(parse(text.toString('utf8')));
    if (!success) throw invalid(name, 'as it is kept was written by another version or damaged');
    const { format: _format, ...rest } = data;
    found.push({ ...rest, name });
  }
  return found;
}

/**
 * What is kept about the given packages, read once; undefined where nothing was ever taken in.
 * @throws McpBuildError `advisories-invalid` where something is damaged: half a list would read as good news
 */
export async function storedAdvisories(
  folder: string,
  packages: readonly Pick<Package, 'kind' | 'name' | 'version' | 'files'>[],
): Promise<Advisories | undefined> {
  const exports = await listExports(folder);
  if (exports.length === 0) return undefined;
  const known = new Set<string>(exports.map(({ name }) => name));
  const wanted = new Map<string, Identity>();
  for (const one of packages) {
    const identity = identityOf(one);
    if (identity && known.has(exportOf(identity))) wanted.set(keyOf(identity), identity);
  }
  const byShard = new Map<string, Identity[]>();
  for (const identity of wanted.values()) {
    const path = join(folder, exportOf(identity), 'by-name', `${shardOf(keyOf(identity))}.json`);
    byShard.set(path, [...(byShard.get(path) ?? []), identity]);
  }
  const advisories = new Map<string, readonly Advisory[]>();
  await Promise.all(
    [...byShard].map(async ([path, identities]) => {
      const text = await readBounded(path, SHARD).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (!text) return;
      const all = parse(text.toString('utf8'));
      if (typeof all !== 'object' || all === null) throw invalid(path, 'is damaged');
      for (const identity of identities) {
        const key = keyOf(identity);
        if (!Object.hasOwn(all, key)) continue;
        // Only what is needed is checked: a shard has many names.
        const { success, data } = shardSchema.safeParse({ [key]: (all as Record<string, unknown>)[key] });
        if (!success) throw invalid(path, 'is damaged');
        advisories.set(key, data[key] ?? []);
      }
    }),
  );
  return advisoriesOf(advisories, {
    collected: new Map(exports.map(({ name, collected }) => [name, new Date(collected)])),
    from: 'exports',
    unread: exports.reduce((sum, { unread }) => sum + unread, 0),
  });
}

/** Advisories in memory, by `keyOf`. */
export function advisoriesOf(
  byKey: ReadonlyMap<string, readonly Advisory[]>,
  about: Pick<Advisories, 'collected' | 'from' | 'unread'>,
): Advisories {
  return {
    ...about,
    matching(one) {
      const identity = identityOf(one);
      const all = identity && byKey.get(keyOf(identity));
      return all ? matching(all, identity) : [];
    },
  };
}

export function keyOf({ ecosystem, name }: Pick<Reduced, 'ecosystem' | 'name'>): string {
  return `${ecosystem}/${name}`;
}

function exportOf({ ecosystem }: Pick<Identity, 'ecosystem'>): string {
  return ecosystem.split(':')[0] ?? ecosystem;
}

/** 4096 files an ecosystem: an audit of a hundred packages reads a hundred small ones. */
function shardOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 3);
}

function put(shards: Map<string, Map<string, Advisory[]>>, one: Reduced): void {
  const key = keyOf(one);
  const shard = shardOf(key);
  const names = shards.get(shard) ?? new Map<string, Advisory[]>();
  shards.set(shard, names);
  const list = names.get(key) ?? [];
  names.set(key, list);
  list.push(one.advisory);
}

function modifiedAt(value: unknown, now: Date): number {
  const time = Date.parse(String((value as { modified?: unknown }).modified));
  // A date in the future would make the data look fresh for ever.
  return Number.isNaN(time) || time > now.getTime() ? 0 : time;
}

async function textOf(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<string> {
  if (content instanceof Uint8Array) return Buffer.from(content).toString('utf8');
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A folder whole or not at all, under the lock of its neighbours. */
async function replace(folder: string, write: (fresh: string) => Promise<void>): Promise<void> {
  await withFileLock(`${folder}.lock`, async () => {
    const fresh = temporaryBeside(folder);
    const old = temporaryBeside(folder);
    try {
      await makeFolders(fresh);
      await write(fresh);
      await rename(folder, old).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
      await rename(fresh, folder);
    } finally {
      await rm(fresh, { recursive: true, force: true });
      await rm(old, { recursive: true, force: true });
    }
    await removeLeftovers(folder);
  });
}

/** What a run that was killed left behind. */
async function removeLeftovers(folder: string): Promise<void> {
  const parent = join(folder, '..');
  for (const name of await readdir(parent)) {
    if (name.endsWith('.tmp') && name.startsWith(`${folder.slice(folder.lastIndexOf('/') + 1)}.`)) {
      await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

function invalid(what: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'advisories-invalid',
    message: `The export ${what} ${reason}`,
    input: what,
    fix: 'Check where it comes from, then run `mcp-build advisories update` again.',
  });
}
