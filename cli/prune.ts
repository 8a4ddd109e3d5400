import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { isDigest } from '../digest/index.ts';
import { type LayoutStore, openLayout } from '../registry/index.ts';
import { type Home, homeOf } from './line/home.ts';
import { examples, jsonOption } from './options.ts';
import { bytes, terminal } from './terminal.ts';

interface Options {
  readonly downloads?: boolean;
  readonly grace: string;
  readonly json?: boolean;
}

export function pruneCommand(): Command {
  return new Command('prune')
    .summary('free the space of images and downloads that nothing needs')
    .description(
      'Removes superseded builds (those that no name of a server points at any more) from the local store, and every blob that no tag reaches. Safe while other commands run: what was written or used within the grace time stays.',
    )
    .option('--downloads', 'remove the cached downloads, too; the next build fetches them again')
    .option('--grace <minutes>', 'spare what is younger', '60')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(['mcp-build prune', 'old builds'], ['mcp-build prune --downloads', 'and all downloads']),
    )
    .action(async (options: Options) => {
      const out = terminal(options);
      const home = homeOf({ ...process.env });
      const store = await openLayout(home.store);
      const untagged = await dropSuperseded(store);
      const pruned = await store.prune({ grace: minutes(options.grace) });
      await dropRecords(store, home);
      const downloads = options.downloads ? await dropDownloads(home) : 0;
      await out.result(
        { untagged, removed: pruned.removed, bytes: pruned.bytes + downloads },
        `removed ${untagged.length} superseded builds, ${pruned.removed.length} blobs, ${bytes(pruned.bytes + downloads)}`,
      );
    });
}

function minutes(text: string): number {
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 ? value * 60_000 : 3_600_000;
}

/** A build is superseded when the tag with its server's bare name points at another one. */
async function dropSuperseded(store: LayoutStore): Promise<string[]> {
  const tags = await store.list();
  const current = new Map(
    tags.filter(({ tag }) => !tag.includes(':')).map(({ tag, descriptor }) => [tag, descriptor.digest]),
  );
  const dropped: string[] = [];
  for (const { tag, descriptor } of tags) {
    const name = tag.split(':')[0] ?? tag;
    const now = current.get(name);
    if (tag === name || now === undefined || now === descriptor.digest) continue;
    await store.untag(tag);
    dropped.push(tag);
  }
  return dropped;
}

/** Records of layers whose blob is gone would only cost a look-up each. */
async function dropRecords(store: LayoutStore, home: Home): Promise<void> {
  const folder = join(home.cache, 'layers');
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const record = (await readFile(path, 'utf8')
      .then(JSON.parse)
      .catch(() => undefined)) as { digest?: string; size?: number } | undefined;
    const digest = record?.digest ?? '';
    if (!isDigest(digest) || !(await stat(store.pathOf(digest)).catch(() => undefined)))
      await rm(path, { force: true });
  }
}

async function dropDownloads(home: Home): Promise<number> {
  const folder = join(home.cache, 'artifacts');
  let freed = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    freed += (await stat(path).catch(() => undefined))?.size ?? 0;
    await rm(path, { force: true });
  }
  return freed;
}
