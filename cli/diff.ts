import { Command } from 'commander';
import { vettingRules } from './line/audit-policy.ts';
import { diff, markdownOf, textOf } from './line/diff/index.ts';
import { homeOf } from './line/home.ts';
import { examples, jsonOption } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { bytes, terminal } from './terminal.ts';

interface Options extends RegistryFlags {
  readonly markdown?: boolean;
  readonly offline?: boolean;
}

export function diffCommand(): Command {
  return new Command('diff')
    .summary('say what is different between two locks or images')
    .description(
      'Compares two servers package by package: what was added, removed and changed, licences, permissions, tools, size, and, between locks, what an audit finds in the second and not in the first. Of images it goes by what their attestations say; verify them first.',
    )
    .argument('<before>', 'a folder of ./lockfiles/ or any lock’s folder, or an image')
    .argument('<after>', 'the same')
    .option('--markdown', 'for the body of a pull request: text from packages can do nothing in it')
    .option('--offline', 'ask nobody: archives from the cache')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build diff old/lockfiles/server-memory server-memory', 'two locks'],
        ['mcp-build diff registry.example/mcp/memory:1.2.3 registry.example/mcp/memory:1.3.0', 'two images'],
        ['mcp-build diff registry.example/mcp/memory:1.2.3 memory --markdown', 'what publishing would change'],
      ),
    )
    .action(async (before: string, after: string, options: Options) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const workspace = process.cwd();
      const found = await diff(before, after, {
        ...{ environment, workspace, home: homeOf(environment), now: new Date(), progress: out.progress },
        rules: (await vettingRules(environment, workspace)).rules,
        offline: options.offline === true,
        registry: registryOptions(options),
      });
      await out.result(found, options.markdown ? markdownOf([found], bytes).trimEnd() : textOf(found, bytes));
    });
}
