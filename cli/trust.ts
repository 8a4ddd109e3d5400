import { realpath } from 'node:fs/promises';
import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { homeOf } from './line/home.ts';
import { admit, admittedFolders, dismiss } from './line/policy.ts';
import { examples, jsonOption } from './options.ts';
import { table, terminal } from './terminal.ts';

export function trustCommand(): Command {
  return new Command('trust')
    .summary('let a folder’s policy count for run and verify')
    .description(
      'Clients start servers inside folders that strangers wrote, so what such a folder says counts for nothing. This admits one folder’s policy.yaml with the keys it names, as they are now: when they change, they need admitting again.',
    )
    .argument('[folder]', 'lists what is trusted without one')
    .option('--remove', 'trust it no longer')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(['mcp-build trust .', 'after reading its policy.yaml'], ['mcp-build trust --remove .', 'no longer']),
    )
    .action(async (folder: string | undefined, options: { readonly remove?: boolean; readonly json?: boolean }) => {
      const out = terminal(options);
      const home = homeOf({ ...process.env });
      if (folder === undefined) {
        const folders = await admittedFolders(home);
        await out.result({ folders }, table(Object.entries(folders)) || 'no folder is trusted');
        return;
      }
      const path = await realpath(folder).catch(() => {
        throw new McpBuildError({
          code: 'not-found',
          message: `There is no folder ${folder}`,
          input: folder,
          fix: 'Check the path.',
          exit: 2,
        });
      });
      if (options.remove) {
        const found = await dismiss(home, path);
        await out.result(
          { folder: path, removed: found },
          found ? `${path} is no longer trusted` : `${path} was not trusted`,
        );
        return;
      }
      const digest = await admit(home, path);
      await out.result({ folder: path, digest }, `trusted ${path} as it is now (${digest.slice(0, 19)})`);
    });
}
