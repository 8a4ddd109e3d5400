import { Command, Option } from 'commander';
import { parseSource } from '../builders/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { parseNetwork } from '../runner/index.ts';
import type { Planned } from './clients/index.ts';
import { homeOf } from './line/home.ts';
import {
  type Ahead,
  addToManifest,
  buildAhead,
  type ImportOptions,
  importClient,
  manifestNames,
  rewriteClient,
} from './line/import.ts';
import { MANIFEST } from './line/manifest/index.ts';
import { examples, jsonOption, repeated, usage } from './options.ts';
import { table, terminal } from './terminal.ts';

interface Options {
  readonly write?: boolean;
  readonly build: boolean;
  readonly manifest: boolean;
  readonly dryRun?: boolean;
  readonly only?: readonly string[];
  readonly source?: readonly (readonly [string, string])[];
  readonly allowNet?: readonly string[] | 'all' | 'none';
  readonly json?: boolean;
}

export function importCommand(): Command {
  return new Command('import')
    .summary('take over the servers of an MCP client')
    .description(
      'Reads the file in which a client lists its servers (Claude, Cursor, VS Code, Windsurf, Zed, Codex, Goose, a TBXark mcp-proxy, a docker mcp\ncatalogue), puts each into the manifest of this folder and tells what it could not take over. With --write every server is also built, then\nthe client’s file starts it through mcp-build; a backup stays beside it, and every other byte of it stays as it is. Secrets stay where they are.',
    )
    .argument('<file>', 'the client’s file')
    .option('--write', 'build the servers, then let the client start them through mcp-build')
    .option('--no-build', 'with --write: leave building to the first start')
    .option('--no-manifest', `leave ${MANIFEST} alone`)
    .option('--dry-run', 'only tell what would become of each server')
    .addOption(repeated('--only <name>', 'only this server of the file', (word) => word))
    .addOption(
      repeated(
        '--source <name=source>',
        'the package of a server whose command doesn’t tell it, as in db=npm:some-server',
        parseAssignment,
      ),
    )
    .addOption(
      new Option(
        '--allow-net <where>',
        'what they may reach (host:port,…, all or none); by default the hosts of URLs they are given',
      ).argParser((value) => usage(() => parseNetwork(value))),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build import --dry-run ~/.cursor/mcp.json', 'what would become of each server'],
        ['mcp-build import ~/.cursor/mcp.json', `put them into ${MANIFEST}`],
        ['mcp-build import --write --no-manifest ~/.cursor/mcp.json', 'let the client start them through mcp-build'],
        ['mcp-build import --write .vscode/mcp.json --only github --allow-net api.github.com:443', 'one of them'],
        ['mcp-build import config.json --source db=pypi:mcp-server-sqlite', 'one that runs a program of its own'],
      ),
    )
    .action(async (file: string, options: Options) => {
      process.exitCode = await importFile(file, options);
    });
}

async function importFile(file: string, options: Options): Promise<number> {
  const out = terminal(options);
  const environment = { ...process.env };
  const settings: ImportOptions = {
    home: homeOf(environment),
    environment,
    sources: Object.fromEntries(options.source ?? []),
    only: options.only ?? [],
    taken: options.manifest ? await manifestNames(process.cwd()) : new Map(),
    ...(options.allowNet === undefined ? {} : { network: options.allowNet }),
  };
  const imported = await importClient(file, settings);
  const { planned } = imported;
  for (const one of planned) {
    if (one.kind === 'server') for (const note of one.notes) out.note(`${one.name}: ${note}`);
  }
  const servers = planned.filter((one) => one.kind === 'server');
  const write = options.write === true && options.dryRun !== true;
  const ahead: Ahead =
    write && options.build
      ? await buildAhead(planned, { ...settings, progress: out.progress, say: out.note })
      : { ready: new Set(servers.map(({ name }) => name)), failed: new Map() };
  const listed =
    options.manifest && !options.dryRun
      ? await addToManifest(
          process.cwd(),
          servers.flatMap(({ name, server }) => (ahead.ready.has(name) ? [server] : [])),
        )
      : undefined;
  const written = write ? await rewriteClient(imported, ahead.ready, settings) : undefined;
  const rows = planned.map((one) => describe(one, ahead, listed, written?.names));
  await out.result(
    { file, manifest: listed ? MANIFEST : null, backup: written?.backup ?? null, servers: rows },
    [
      table(rows.map((row) => [row.name, row.state, row.source ?? '', row.reason ?? ''])),
      ...(listed ? [`${MANIFEST} has ${listed.added.length} servers more`] : []),
      ...(written
        ? [`${file} starts ${written.names.length} of them through mcp-build; before: ${written.backup}`]
        : []),
      ...rows.flatMap((row) => (row.fix === undefined ? [] : [`${row.name}: ${row.fix}`])),
    ].join('\n'),
  );
  return rows.some(({ state }) => state === 'refused' || state === 'failed') ? 1 : 0;
}

interface Row {
  readonly name: string;
  /** `skipped` needs nothing: it runs through mcp-build already, or is reached by a URL. */
  readonly state: 'found' | 'listed' | 'moved' | 'left' | 'skipped' | 'refused' | 'failed';
  readonly source?: string;
  readonly code?: string;
  readonly reason?: string;
  readonly fix?: string;
}

function describe(
  one: Planned,
  { failed }: Ahead,
  listed: Awaited<ReturnType<typeof addToManifest>> | undefined,
  written: readonly string[] | undefined,
): Row {
  const { name } = one;
  switch (one.kind) {
    case 'already':
      return { name, state: 'skipped', reason: 'is started by mcp-build already' };
    case 'refused':
      if (one.code === 'remote-server') return { name, state: 'skipped', code: one.code, reason: one.reason };
      return { name, state: 'refused', code: one.code, reason: one.reason, fix: one.fix };
    case 'server': {
      const { source } = one.server;
      const error = failed.get(name) ?? listed?.failed.get(one.server.name);
      if (error)
        return {
          name,
          source,
          state: 'failed',
          code: error.code,
          reason: error.message,
          ...(error.fix ? { fix: error.fix } : {}),
        };
      if (written === undefined) return { name, source, state: listed ? 'listed' : 'found' };
      return { name, source, state: written.includes(name) ? 'moved' : 'left' };
    }
  }
}

function parseAssignment(word: string): readonly [string, string] {
  const at = word.indexOf('=');
  const [name, source] = [word.slice(0, at), word.slice(at + 1)];
  if (at > 0) {
    parseSource(source);
    return [name, source];
  }
  throw new McpBuildError({
    code: 'source-invalid',
    message: `"${word}" names no server`,
    input: word,
    fix: 'Write NAME=npm:package or NAME=pypi:project.',
    exit: 2,
  });
}
