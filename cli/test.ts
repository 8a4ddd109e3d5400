import { relative } from 'node:path';
import { Command, Option } from 'commander';
import { hostPlatform, parseServerName } from '../builders/index.ts';
import { GENERATIONS, parsePermissions } from '../runner/index.ts';
import { homeOf } from './line/home.ts';
import { smokeTest } from './line/smoke.ts';
import { environmentValues } from './line/start.ts';
import { examples, jsonOption, usage } from './options.ts';
import { terminal } from './terminal.ts';

interface Options {
  readonly env?: readonly string[];
  readonly arg?: readonly string[];
  readonly json?: boolean;
}

export function testCommand(): Command {
  const repeatable = (value: string, previous: readonly string[] | undefined) => [...(previous ?? []), value];
  return new Command('test')
    .summary('start a built server without network and record what it offers')
    .description(
      `Starts the exact image that was built from ./lockfiles/<name>/, without network, speaks MCP ${GENERATIONS.join(' and ')} to it, and\nwrites its tools, prompts, resources and instructions, with a digest each, to tools.json beside the lock.`,
    )
    .argument('<name>', 'a folder of ./lockfiles/', (value) => usage(() => parseServerName(value)))
    .argument('[args...]', 'the server’s own arguments, after --')
    .addOption(
      new Option('--env <NAME=value>', 'a dummy for a variable it requires; may be repeated').argParser(repeatable),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build test server-memory', 'most servers need nothing'],
        ['mcp-build test weather --env API_KEY=dummy', 'one that wants a key'],
        ['mcp-build test server-filesystem -- /tmp', 'one that wants arguments'],
      ),
    )
    .action(async (name: string, args: readonly string[], options: Options) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const values = environmentValues(options.env ?? [], environment);
      const result = await smokeTest(name, {
        home: homeOf(environment),
        environment,
        workspace: process.cwd(),
        permissions: parsePermissions({ environment: Object.keys(values) }),
        values,
        args,
        progress: out.progress,
        say: out.note,
      });
      const { offer, file, changes, digest, several } = result;
      const tools = [...new Set(offer.tools.map((tool) => tool.name))];
      for (const change of changes) out.note(change);
      if (several.length > 0) {
        out.note(
          `told in several ways: ${several.join(', ')}. If that is by chance, publish and run will meet others (tools-drift); a server in Python that shows sets keeps to one order with --env PYTHONHASHSEED=0, and \`env: {PYTHONHASHSEED: "0"}\` of its entry in mcp-build.yaml`,
        );
      }
      await out.result(
        {
          name,
          platform: hostPlatform(),
          server: offer.server,
          protocols: offer.protocols,
          tools,
          prompts: offer.prompts.length,
          resources: offer.resources.length,
          digest,
          file,
        },
        [
          `${offer.server.name} ${offer.server.version} speaks MCP ${offer.protocols.join(' and ')}`,
          `tools: ${tools.join(', ') || 'none'}`,
          `prompts: ${offer.prompts.length}, resources: ${offer.resources.length + offer.resourceTemplates.length} → ${relative(process.cwd(), file)}`,
        ].join('\n'),
      );
    });
}
