import { Argument, Command } from 'commander';
import { CLIENTS, type Client, fileFor } from './clients/index.ts';
import { startedFrom, writeExport } from './line/export.ts';
import { programFor } from './line/import.ts';
import { MANIFEST, readManifest, selectServers } from './line/manifest/index.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly write?: string;
  readonly portable?: boolean;
  readonly json?: boolean;
}

export function exportCommand(): Command {
  return new Command('export')
    .summary(`print or write what a client needs to start the servers of ${MANIFEST}`)
    .description(
      `Prints the servers of this folder's ${MANIFEST} as a client writes them: the published image of the locked version where the manifest\nnames a registry, else the source. With --write they go into the client's own file, and every other byte of it stays as it is. Secrets\nare left for the client to ask for, or to take from its environment.\n\nClients: ${Object.entries(
        CLIENTS,
      )
        .map(([name, { title }]) => `${name} (${title})`)
        .join(', ')}.`,
    )
    .addArgument(new Argument('<client>', 'whose form').choices(Object.keys(CLIENTS)))
    .argument('[names...]', 'servers of the manifest; all by default')
    .option('--write <file>', 'put them into this file of the client')
    .option('--portable', 'name mcp-build without its place on this machine, as in a file that is committed')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build export claude', 'print them'],
        ['mcp-build export cursor --write ~/.cursor/mcp.json', 'put them into the client’s file'],
        ['mcp-build export vscode --portable --write .vscode/mcp.json', 'into one that a team shares'],
      ),
    )
    .action(async (client: Client, names: readonly string[], options: Options) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const manifest = await readManifest(process.cwd());
      const program = options.portable ? { command: 'mcp-build', args: [], env: {} } : programFor(environment);
      const servers = await Promise.all(
        selectServers(manifest, names).map((entry) => startedFrom(manifest, entry, { environment, program })),
      );
      if (options.write === undefined) {
        await out.result({ client, servers }, fileFor(client, servers).trimEnd());
        return;
      }
      const backup = await writeExport(options.write, client, servers);
      await out.result(
        { client, servers, file: options.write, backup: backup ?? null },
        `${options.write} starts ${servers.map(({ name }) => name).join(', ')}${backup ? `; before: ${backup}` : ''}`,
      );
    });
}
