import { Command } from 'commander';
import { formatSource } from '../builders/index.ts';
import { MANIFEST, manifestJsonSchema, readManifest } from './line/manifest/index.ts';
import { examples, jsonOption } from './options.ts';
import { table, terminal } from './terminal.ts';

export function manifestCommand(): Command {
  return new Command('manifest')
    .summary(`check ${MANIFEST}, and print its schema`)
    .description(`${MANIFEST} lists the MCP servers that a team allows; docs/manifest.md says what it can hold.`)
    .addCommand(check())
    .addCommand(schema());
}

function check(): Command {
  return new Command('check')
    .summary(`read ${MANIFEST} and report everything that is wrong with it`)
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build manifest check', 'before it is committed']))
    .action(async (options: { readonly json?: boolean }) => {
      const { file, servers } = await readManifest(process.cwd());
      await terminal(options).result(
        { file, servers: servers.map(({ name, source }) => ({ name, source: formatSource(source) })) },
        servers.length === 0
          ? `${file}: no servers`
          : table(servers.map(({ name, source }) => [name, formatSource(source)])),
      );
    });
}

function schema(): Command {
  return new Command('schema')
    .summary('print the JSON Schema of manifests, for editors')
    .addHelpText('after', examples(['mcp-build manifest schema > mcp-build.schema.json', 'beside your manifest']))
    .action(async () => {
      await terminal({ json: true }).result(manifestJsonSchema(), '');
    });
}
