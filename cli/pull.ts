import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { isRegistryTag } from '../registry/index.ts';
import { homeOf } from './line/home.ts';
import { findImage } from './line/image.ts';
import { transfer } from './line/transfer.ts';
import { examples, jsonOption } from './options.ts';
import { transferText } from './push.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';

export function pullCommand(): Command {
  return new Command('pull')
    .summary('copy an image with its signatures from a registry')
    .description(
      'Copies an image, with everything that is said about it, into the local store. It is not trusted by that: `run` verifies it\nagainst your keys before each start.',
    )
    .argument('<reference>', 'registry.example/team/server[:tag][@sha256:…]')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build pull registry.example/mcp/server-memory:2026.8.31', 'a version'],
        ['mcp-build pull registry.example/mcp/server-memory@sha256:…', 'one image for ever'],
      ),
    )
    .action(async (reference: string, options: RegistryFlags) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const registry = { environment, ...registryOptions(options) };
      const found = await findImage(reference, home, registry);
      if (found.place.kind !== 'remote') {
        throw new McpBuildError({
          code: 'reference-invalid',
          message: `"${reference}" does not name a registry`,
          input: reference,
          fix: 'Write registry.example/team/server:tag; for a folder or a file use `mcp-build copy`.',
          exit: 2,
        });
      }
      const { tag } = found.place;
      const tags = [...(tag && isRegistryTag(tag) ? [`${found.server}:${tag}`] : []), found.server];
      const done = await transfer(found, found.server, tags, { home, ...registry, progress: out.progress });
      await out.result(done, transferText(`pulled ${found.name} into`, done, 'fetched'));
    });
}
