import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lock, parseLock } from '../../builders/index.ts';
import { cli, cliDone, type Workplace, workplace } from '../e2e/harness/cli.ts';

/**
 * What images of several servers have in common, and what an upgrade of one moves: each server in its newest release and in the one
 * before, for one platform. Prints the tables of docs/layers.md.
 */
const SERVERS = (
  process.env.BENCH_SERVERS ??
  [
    'npm:@modelcontextprotocol/server-memory',
    'npm:@modelcontextprotocol/server-filesystem',
    'npm:@upstash/context7-mcp',
    'npm:@notionhq/notion-mcp-server',
    'npm:tavily-mcp',
    'npm:firecrawl-mcp',
    'npm:exa-mcp-server',
    'npm:@supabase/mcp-server-supabase',
    'npm:@stripe/mcp',
    'npm:figma-developer-mcp',
    'npm:@brave/brave-search-mcp-server',
    'npm:@playwright/mcp',
    'npm:@modelcontextprotocol/server-sequential-thinking',
    'pypi:mcp-server-time',
    'pypi:mcp-server-fetch',
    'pypi:arxiv-mcp-server',
    'pypi:duckduckgo-mcp-server',
    'pypi:mcp-server-git',
    'pypi:awslabs.aws-documentation-mcp-server',
    'pypi:mcp-server-sqlite',
    'pypi:mcp-server-qdrant',
    'pypi:wikipedia-mcp',
  ].join(' ')
).split(' ');

interface Layer {
  readonly name: string;
  readonly digest: string;
  readonly size: number;
}

let place: Workplace;
beforeAll(async () => {
  place = await workplace();
});
afterAll(() => place?.[Symbol.asyncDispose]());

async function built(source: string, name: string): Promise<{ lock: Lock; layers: readonly Layer[] } | undefined> {
  const locked = await cli(['lock', source, '--name', name, '--platform', 'linux/amd64'], place);
  if (locked.code !== 0) return undefined;
  const { layers } = (await cliDone(['build', name, '--json'], place)).json<{ layers: readonly Layer[] }>();
  const file = join(place.cwd, 'lockfiles', name, 'image.lock.json');
  return { lock: parseLock(await readFile(file, 'utf8'), file), layers };
}

const sum = (layers: Iterable<Layer>) => [...layers].reduce((total, { size }) => total + size, 0) / 1e6;
const mb = (value: number) => value.toFixed(1);

test('images share what they have in common, and an upgrade moves what has changed', async () => {
  const distinct = new Map<string, Layer>();
  const rows: string[] = [];
  let whole = 0;
  for (const [at, source] of SERVERS.entries()) {
    const newest = await built(source, `newest-${at}`);
    if (!newest) continue;
    const { version } = newest.lock.source;
    const before = await built(`${source}${source.startsWith('npm:') ? '@' : ''}<${version}`, `before-${at}`);
    whole += sum(newest.layers);
    const shared = sum(newest.layers.filter(({ digest }) => distinct.has(digest)));
    for (const layer of newest.layers) distinct.set(layer.digest, layer);
    const known = new Set(before?.layers.map(({ digest }) => digest));
    const moved = before ? newest.layers.filter(({ digest }) => !known.has(digest)) : [];
    if (before) expect(moved.map(({ name }) => name)).not.toContain('base');
    const upgrade = before
      ? `${before.lock.source.version} → ${version} | ${moved.map(({ name }) => name).join(', ')} | ${sum(moved).toFixed(2)}`
      : `${version} | – | –`;
    rows.push(`| \`${source}\` | ${mb(sum(newest.layers))} | ${mb(shared)} | ${upgrade} |`);
  }
  console.log(
    [
      '| server | MB | of it there already | upgrade | layers that move | MB |',
      '| --- | --- | --- | --- | --- | --- |',
      ...rows,
      `${mb(whole)} MB of images in ${mb(sum(distinct.values()))} MB of layers`,
    ].join('\n'),
  );
});
