import { Command } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import { openLayout } from '../registry/index.ts';
import { homeOf } from './line/home.ts';
import { findImage, parsePlace } from './line/image.ts';
import { type Transferred, tagsOf, transfer } from './line/transfer.ts';
import { examples, jsonOption } from './options.ts';
import { certificatesOption, plainHttpOption, type RegistryFlags, registryOptions } from './registry.ts';
import { bytes, terminal } from './terminal.ts';

export function pushCommand(): Command {
  return new Command('push')
    .summary('copy an image with its signatures to a registry')
    .description(
      'Copies an image of the local store, with everything that is said about it, to a registry. Tags are set when all they point at is there: the version with its lock, which never moves, then the version.',
    )
    .argument('<name>', 'an image of the local store')
    .requiredOption('--to <reference>', 'registry.example/team/server[:tag]')
    .addOption(plainHttpOption())
    .addOption(certificatesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build push server-memory --to registry.example/mcp/server-memory', 'under its own tags'],
        ['mcp-build push server-memory --to localhost:5000/memory:stable', 'under one more'],
      ),
    )
    .action(async (name: string, options: RegistryFlags & { readonly to: string }) => {
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const found = await findImage(name, home, { environment });
      const place = parsePlace(options.to);
      if (place.kind !== 'remote') {
        throw new McpBuildError({
          code: 'reference-invalid',
          message: `"${options.to}" does not name a registry`,
          input: options.to,
          fix: 'Write registry.example/team/server; for a folder or a file use `mcp-build copy`.',
          exit: 2,
        });
      }
      const own =
        found.place.kind === 'local' ? await tagsOf(await openLayout(home.store), found.server, found.image) : [];
      const tags = [...new Set([...own, ...(place.tag === undefined ? [] : [place.tag])])];
      const done = await transfer(found, options.to, tags.length > 0 ? tags : ['latest'], {
        home,
        environment,
        progress: out.progress,
        ...registryOptions(options),
      });
      await out.result(done, transferText('pushed', done));
    });
}

/** @param way what became of the bytes, as the user sees it */
export function transferText(verb: string, done: Transferred, way: 'sent' | 'fetched' = 'sent'): string {
  const moved =
    done.sent + done.mounted === 0
      ? 'everything was there'
      : `${bytes(done.bytes)} ${way}, ${done.mounted} mounted, ${done.present} there, ${done.referrers} attached`;
  return `${verb} ${done.to}@${done.digest} (${moved})\ntags: ${done.tags.join(', ') || 'none'}`;
}
