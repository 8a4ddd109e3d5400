import { Command } from 'commander';
import { hostPlatform, parseSource } from '../builders/index.ts';
import { homeOf } from './line/home.ts';
import { prepare } from './line/prepare.ts';
import { examples, jsonOption, usage } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly bin?: string;
  readonly json?: boolean;
}

export function prepareCommand(): Command {
  return new Command('prepare')
    .summary('lock, build and sign a server ahead, so that `run` starts it at once')
    .description(
      'Does what the first `run` of a source would do before it starts anything. A client that gives a server only seconds to start never has to\nwait for a build. `run` does it by itself, in a process that goes on when the client hangs up.',
    )
    .argument('<source>', 'npm:<package>[@range] or pypi:<project>[specifier]', (text) => {
      usage(() => parseSource(text));
      return text;
    })
    .option('--bin <name>', 'which command of the package, where it has several')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build prepare npm:@modelcontextprotocol/server-memory', 'before a client needs it'],
        ['mcp-build prepare pypi:mcp-server-fetch --json', 'in a script'],
      ),
    )
    .action(async (source: string, options: Options) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const { server, image } = await prepare(source, {
        home: homeOf(environment),
        environment,
        bin: options.bin,
        progress: out.progress,
        say: out.note,
      });
      await out.result(
        { name: server.name, version: server.version, platform: hostPlatform(), image: image.digest },
        `${server.name} ${server.version ?? ''} is ready: ${image.digest}`,
      );
    });
}
