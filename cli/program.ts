import { Command, CommanderError } from 'commander';
import { COMMANDS, GROUPS, isCommand } from './commands.ts';
import { explain } from './fault.ts';
import { describe } from './terminal.ts';
import { version } from './version.ts';

/** Parses, calls, and turns whatever is thrown into one error and an exit code. */
async function main(argv: readonly string[]): Promise<number> {
  if (process.env.MCP_BUILD_ARCHIVE_LIMITS) {
    const { parseArchiveLimits, useLimits } = await import('../builders/index.ts');
    useLimits(parseArchiveLimits(process.env.MCP_BUILD_ARCHIVE_LIMITS));
  }
  const program = new Command('mcp-build')
    .description(
      'Builds npm and PyPI MCP servers into pinned, signed, minimal images, and starts only images that verify.',
    )
    .enablePositionalOptions()
    .showHelpAfterError(false)
    .showSuggestionAfterError(true)
    .exitOverride();
  program.version(version(), '-V, --version', 'print the version');
  const asked = argv.find((word) => !word.startsWith('-'));
  if (asked && isCommand(asked)) {
    program.addCommand(inherit(await COMMANDS[asked].load()));
  } else if (argv[0] !== '-V' && argv[0] !== '--version') {
    for (const [group, names] of Object.entries(GROUPS)) {
      for (const name of names) program.addCommand(inherit(await COMMANDS[name].load()).helpGroup(group));
    }
    const help = new Command('help').argument('[command]').description('display help for command');
    program.addHelpCommand(help.helpGroup('Help:'));
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}

/** A subcommand added ready-made doesn't take over its parent's settings by itself. */
function inherit(command: Command): Command {
  command.exitOverride().showSuggestionAfterError(true);
  for (const child of command.commands) inherit(child);
  return command;
}

/** Runs the command line; what is thrown becomes one error on stderr and an exit code. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  // A reader that went away (`| head`) is not a failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  try {
    process.exitCode = await main(argv);
  } catch (error) {
    const { fault, stack } = explain(error);
    process.stderr.write(describe(fault));
    if (stack && process.env.MCP_BUILD_DEBUG) process.stderr.write(`${stack}\n`);
    process.exitCode = fault.exit;
  }
}
