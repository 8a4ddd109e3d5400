import { Command } from 'commander';
import { EXPORTS, type Export, type ExportMeta, listExports } from '../vetting/index.ts';
import { advisoriesFolder, exportsFrom, updateAdvisories } from './line/advisories.ts';
import { homeOf } from './line/home.ts';
import { examples, jsonOption } from './options.ts';
import { table, terminal } from './terminal.ts';

export function advisoriesCommand(): Command {
  return new Command('advisories')
    .summary('keep what is publicly known of vulnerable and malicious packages')
    .description(
      'Keeps OSV’s exports in your state folder, so that an audit needs no network and tells nobody what you use.',
    )
    .addCommand(updateCommand())
    .addCommand(listCommand());
}

function updateCommand(): Command {
  return new Command('update')
    .summary('take in today’s exports')
    .description(
      `Fetches OSV’s export of each ecosystem (${EXPORTS.join(', ')}), or of the ones you name, and keeps what an audit needs of it. What was kept before stays until the new one is whole.`,
    )
    .argument('[ecosystem...]', `of ${EXPORTS.join(', ')}; all by default`)
    .option(
      '--from <where>',
      'an address or folder with <ecosystem>/all.zip below it, or one zip; MCP_BUILD_ADVISORIES, else OSV’s own',
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build advisories update', 'all three, from OSV'],
        ['mcp-build advisories update npm --from /media/usb/osv', 'from a folder, on a machine without a network'],
      ),
    )
    .action(
      async (
        names: readonly string[],
        options: { readonly from?: string; readonly json?: boolean },
        command: Command,
      ) => {
        const out = terminal(options);
        const environment = { ...process.env };
        const wanted = names.length > 0 ? names.map((name) => ecosystemOf(name, command)) : EXPORTS;
        const kept: ExportMeta[] = [];
        for (const name of wanted) {
          kept.push(
            await updateAdvisories(name, {
              home: homeOf(environment),
              from: exportsFrom(environment, options.from),
              now: new Date(),
              progress: out.progress,
            }),
          );
        }
        await out.result({ exports: kept }, rows(kept));
      },
    );
}

function listCommand(): Command {
  return new Command('list')
    .summary('show what is kept, and how old it is')
    .description('Shows which exports are kept, how many records each has, and when the newest of them was changed.')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build advisories list', 'a table']))
    .action(async (options: { readonly json?: boolean }) => {
      const out = terminal(options);
      const kept = await listExports(advisoriesFolder(homeOf({ ...process.env })));
      await out.result({ exports: kept }, kept.length > 0 ? rows(kept) : 'none yet: mcp-build advisories update');
    });
}

function ecosystemOf(text: string, command: Command): Export {
  const found = EXPORTS.find((name) => name.toLowerCase() === text.toLowerCase());
  if (found) return found;
  return command.error(`error: "${text}" is none of ${EXPORTS.join(', ')}`, { exitCode: 2 });
}

function rows(kept: readonly ExportMeta[]): string {
  return table(
    kept.map(({ name, records, collected, unread }) => [
      name,
      `${records} records`,
      `newest of ${collected.slice(0, 10)}`,
      unread > 0 ? `${unread} unreadable` : '',
    ]),
  );
}
