import { isAbsolute, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { loadConfig } from '../gateway/index.ts';
import { splitConfig } from './line/deploy/split.ts';
import { SYSTEMD_STEPS, systemdFiles } from './line/deploy/systemd.ts';
import { shown, writeTree } from './line/deploy/tree.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Flags {
  readonly config: string;
  readonly to?: string;
  readonly replace?: boolean;
  readonly program: readonly string[];
  readonly backups?: string;
  readonly locked?: boolean;
  readonly json?: boolean;
}

export function deploySystemdCommand(): Command {
  return new Command('systemd')
    .summary('units for a machine: a daemon that holds Docker’s socket, a gateway that doesn’t')
    .description(
      'Takes a gateway’s config.json apart (what is started, and who may call it) and writes a socket and two hardened services around it, their users, and a timer for backups. Without --to they are only printed, without the configurations, which may hold secrets.',
    )
    .requiredOption('--config <file>', 'the configuration of a gateway, as for `serve`')
    .option('--to <folder>', 'write them below this folder; / for this machine')
    .option('--replace', 'write anew what is there and differs')
    .addOption(
      new Option('--program <command>', 'how mcp-build is started: absolute')
        .default(['/usr/local/bin/mcp-build'], '/usr/local/bin/mcp-build')
        .argParser((value: string) => {
          const words = value.split(' ').filter((word) => word !== '');
          if (words[0] && isAbsolute(words[0])) return words;
          throw new InvalidArgumentError('Give an absolute path.');
        }),
    )
    .addOption(
      new Option('--backups <folder>', 'back up into this folder every day').argParser((value: string) => {
        if (isAbsolute(value)) return value;
        throw new InvalidArgumentError('Give an absolute path.');
      }),
    )
    .option('--locked', 'the daemon locks nothing new')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build deploy systemd --config config.json', 'look at them'],
        ['mcp-build deploy systemd --config config.json --to / --backups /backups/mcp', 'write them, as root'],
      ),
    )
    .action(async (flags: Flags) => {
      const out = terminal(flags);
      const { program, backups, locked = false } = flags;
      const file = resolve(flags.config);
      const halves = splitConfig(await loadConfig(file), file, { ...process.env });
      const files = systemdFiles({ halves, program, backups, locked });
      if (flags.to === undefined) {
        const open = files.filter(({ mode }) => mode === 0o644);
        await out.result({ files: open.map(({ path, text }) => ({ path, text })) }, shown(open));
        return;
      }
      const written = await writeTree(resolve(flags.to), files, flags.replace === true);
      await out.result(
        { written, steps: SYSTEMD_STEPS },
        [
          ...written.map((path) => `wrote ${path}`),
          '',
          'then, as root:',
          ...SYSTEMD_STEPS.map((step) => `  ${step}`),
        ].join('\n'),
      );
    });
}
