import { Command } from 'commander';
import { openLayout, parseManifest, readDocument, treeOf } from '../registry/index.ts';
import { homeOf } from './line/home.ts';
import { examples, jsonOption } from './options.ts';
import { bytes, table, terminal } from './terminal.ts';

export function listCommand(): Command {
  return new Command('list')
    .summary('show the images in the local store')
    .description('Lists the images that were built or pulled here, with their tags, platforms and sizes.')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build list', 'a table'], ['mcp-build list --json', 'for scripts']))
    .action(async (options: { readonly json?: boolean }) => {
      const out = terminal(options);
      const store = await openLayout(homeOf({ ...process.env }).store);
      const images = [];
      for (const { tag, descriptor } of await store.list()) {
        const { nodes, blobs } = await treeOf(store, descriptor);
        const root = parseManifest(await readDocument(store, descriptor), descriptor.mediaType, descriptor.digest);
        const platforms =
          root.kind === 'index'
            ? root.manifests.map(({ platform }) => `${platform?.os}/${platform?.architecture}`)
            : [];
        const signatures = (await store.referrers(descriptor.digest)).length;
        images.push({
          tag,
          digest: descriptor.digest,
          platforms,
          manifests: nodes.length,
          size: blobs.reduce((sum, blob) => sum + blob.size, 0),
          referrers: signatures,
        });
      }
      const rows = images.map(({ tag, digest, platforms, size, referrers }) => [
        tag,
        digest.slice(0, 19),
        platforms.join(','),
        bytes(size),
        referrers > 0 ? `${referrers} attached` : 'unsigned',
      ]);
      await out.result(
        { store: store.folder, images },
        rows.length > 0 ? table(rows) : 'no images yet: mcp-build build npm:<package>',
      );
    });
}
