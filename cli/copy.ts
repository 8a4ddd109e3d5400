import { Command } from 'commander';
import { homeOf } from './line/home.ts';
import { findImage, parsePlace } from './line/image.ts';
import { transfer } from './line/transfer.ts';
import { examples, jsonOption } from './options.ts';
import { transferText } from './push.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { terminal } from './terminal.ts';

export function copyCommand(): Command {
  return new Command('copy')
    .summary('copy an image with its signatures between registries, folders and files')
    .description(
      'Copies an image with everything that is said about it. A place is registry.example/team/server[:tag], oci:FOLDER[:tag], oci-archive:FILE[:tag] (one file, for machines without a network) or a name in the local store.',
    )
    .argument('<from>', 'where it is')
    .argument('<to>', 'where it goes')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build copy server-memory oci-archive:memory.tar', 'into one file'],
        ['mcp-build copy oci-archive:memory.tar registry.example/mcp/memory:1', 'and from there to a registry'],
      ),
    )
    .action(async (from: string, to: string, options: RegistryFlags) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const registry = { environment, ...registryOptions(options) };
      const found = await findImage(from, home, registry);
      const place = parsePlace(to);
      const fromTag = 'tag' in found.place ? found.place.tag : undefined;
      const tag =
        place.kind === 'local'
          ? `${place.name}${place.tag ? `:${place.tag}` : ''}`
          : (place.tag ?? fromTag ?? found.server);
      const done = await transfer(found, to, [tag], { home, ...registry, progress: out.progress });
      await out.result(done, transferText('copied to', done));
    });
}
