import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { type TakeFlags, takeOptions, takeWords } from './backup-flags.ts';
import { cronLine, EVERY, type Every, scheduleUnits } from './line/backup/schedule.ts';
import { shown, writeTree } from './line/deploy/tree.ts';
import { homeOf } from './line/home.ts';
import { mainProgram } from './line/program.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

interface Flags extends TakeFlags {
  readonly every: Every;
  readonly install?: boolean;
  readonly replace?: boolean;
}

/** Without them a scheduled backup would find another state, or another configuration, than the one by hand. */
const VARIABLES = ['MCP_BUILD_HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME'] as const;

export function scheduleCommand(): Command {
  return takeOptions(new Command('schedule'))
    .summary('print or install what takes backups regularly')
    .description(
      'Prints a systemd service with its timer, and the same as a line for cron: each takes a backup and then reads every byte of it. With --install the units are written where systemd looks for them: the machine’s for root, else your own. Take the first backup by hand: it settles who can open them, and needs no secret from then on.',
    )
    .addOption(new Option('--every <period>', 'how often').choices(EVERY).default('daily'))
    .option('--install', 'write the units, rather than print them')
    .option('--replace', 'write anew what is there and differs')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build backup schedule --to /backups/mcp', 'look at it'],
        ['mcp-build backup schedule --to /backups/mcp --keep-daily 7 --keep-weekly 5 --install', 'every night'],
      ),
    )
    .action(async (flags: Flags) => {
      const out = terminal(flags);
      if (flags.to === undefined) throw missing('It isn’t said where the backups go', 'Add --to <folder>.');
      const environment = { ...process.env };
      const to = resolve(flags.to);
      const { recipientsOf } = await import('./line/backup/take.ts');
      if (!flags.recipient && !(await recipientsOf(homeOf(environment), to))) {
        throw missing(
          `Nobody has backed up to ${to} from here yet, so it would wait for a passphrase every night`,
          `Run \`mcp-build backup --to ${to}\` once, or name a --recipient.`,
        );
      }
      const { command, args } = mainProgram();
      const found = VARIABLES.flatMap((name) => (environment[name] ? [[name, environment[name]] as const] : []));
      const options = {
        program: [command, ...args],
        to,
        words: takeWords(flags),
        every: flags.every,
        environment: Object.fromEntries(found),
      };
      const files = scheduleUnits(options);
      const cron = cronLine(options);
      const root = process.getuid?.() === 0;
      if (!flags.install) {
        const units = files.map(({ path, text }) => ({ path, text }));
        await out.result({ files: units, cron }, `${shown(files)}\n# or for \`crontab -e\`\n${cron}`);
        return;
      }
      const config = environment.XDG_CONFIG_HOME || join(environment.HOME || homedir(), '.config');
      const folder = root ? '/etc/systemd/system' : join(config, 'systemd/user');
      const written = await writeTree(folder, files, flags.replace === true);
      const step = `systemctl ${root ? '' : '--user '}enable --now mcp-build-backup.timer`;
      await out.result(
        { written, steps: [step] },
        [...written.map((path) => `wrote ${path}`), `then: ${step}`].join('\n'),
      );
    });
}

function missing(message: string, fix: string): McpBuildError {
  return new McpBuildError({ code: 'backup-place-missing', message, fix, exit: 2 });
}
