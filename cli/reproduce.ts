import { Command } from 'commander';
import { homeOf } from './line/home.ts';
import { reproduce } from './line/reproduce.ts';
import { examples, jsonOption } from './options.ts';
import { terminal } from './terminal.ts';

export function reproduceCommand(): Command {
  return new Command('reproduce')
    .summary('build an image again from its lock, and compare')
    .description(
      'Builds an image a second time from its lock alone, in an empty store and with no layer cache, and compares the digests. Where they differ it says which layer, and which file or compressor. Exits with 4 then.',
    )
    .argument('<name|source|image>', 'a folder of ./lockfiles/, npm:… / pypi:…, or an image whose lock is here')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build reproduce server-memory', 'from ./lockfiles/server-memory/'],
        ['mcp-build reproduce server-memory@sha256:…', 'an image in the local store'],
      ),
    )
    .action(async (target: string, options: { readonly json?: boolean }) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const result = await reproduce(target, {
        home: homeOf(environment),
        environment,
        workspace: process.cwd(),
        progress: out.progress,
      });
      const lines: string[] = [];
      for (const { platform, layer, result: how, detail, files } of result.layers) {
        if (how === 'same') continue;
        lines.push(`${platform} ${layer}: ${detail}`);
        for (const file of files) lines.push(`  ${file.what}  ${file.path}  ${file.detail}`);
      }
      for (const difference of result.differences) if (!difference.includes(' layer ')) lines.push(difference);
      lines.push(`${result.same ? 'reproduced' : 'DIFFERS'}  ${result.name}  ${result.found}`);
      await out.result(result, lines.join('\n'));
      if (!result.same) process.exitCode = 4;
    });
}
