import { realpath } from 'node:fs/promises';
import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { PUBLIC_GOOD } from '../trust/index.ts';
import { homeOf } from './line/home.ts';
import { admit, admittedFolders, dismiss } from './line/policy.ts';
import { forgetRoot, listRoots, updateRoot } from './line/roots.ts';
import { examples, jsonOption } from './options.ts';
import { table, terminal } from './terminal.ts';

export function trustCommand(): Command {
  return new Command('trust')
    .summary('let a folder’s policy count for run and verify; follow trusted roots')
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
        const [folders, roots] = await Promise.all([admittedFolders(home), listRoots(home)]);
        const rows = roots.map(({ name, updated, mirror }) => [
          `root ${name}`,
          `as of ${updated.slice(0, 10)}`,
          mirror,
        ]);
        await out.result(
          { folders, roots },
          [table(Object.entries(folders)) || 'no folder is trusted', table(rows)].filter(Boolean).join('\n'),
        );
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
    })
    .addCommand(updateCommand());
}

function updateCommand(): Command {
  return new Command('update')
    .summary('follow a Sigstore TUF repository to the trusted root it publishes now')
    .description(
      'Fetches, verifies and keeps the trusted root that a TUF repository publishes today. `public-good` in a policy is then this one instead of the one that mcp-build ships; any other is written `root: tuf:NAME`. Nothing else asks the network whom to trust, and whatever doesn’t verify, is older than what was known or has expired changes nothing.',
    )
    .argument('[name]', 'what policies call it', PUBLIC_GOOD)
    .option('--mirror <url>', 'where the repository is, kept for the next time; of public-good, a copy of it')
    .option('--root <file>', 'the root.json to begin with, which you got in a way that you trust')
    .option('--remove', 'forget it; public-good is the shipped one again')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build trust update', 'the public Sigstore instance, from the root that mcp-build ships'],
        ['mcp-build trust update acme --mirror https://tuf.example.test --root root.json', 'for `root: tuf:acme`'],
      ),
    )
    .action(async (name: string, options: UpdateOptions, command: Command) => {
      // `--remove` and `--json` are the parent's options, too, and it takes them first.
      const { mirror, root, remove, json } = command.optsWithGlobals<UpdateOptions>();
      const out = terminal({ ...options, ...(json ? { json } : {}) });
      const home = homeOf({ ...process.env });
      if (remove) {
        const found = await forgetRoot(home, name);
        await out.result({ name, removed: found }, found ? `${name} is forgotten` : `${name} was not followed`);
        return;
      }
      const { changed, ...kept } = await updateRoot(home, name, {
        ...(mirror === undefined ? {} : { mirror }),
        ...(root === undefined ? {} : { root }),
        now: new Date(),
      });
      await out.result(
        { ...kept, changed },
        `${name} is ${changed ? 'now' : 'still'} ${kept.digest.slice(0, 19)}, by version ${kept.version} of its repository’s root`,
      );
    });
}

interface UpdateOptions {
  readonly mirror?: string;
  readonly root?: string;
  readonly remove?: boolean;
  readonly json?: boolean;
}
