import { Command, Option } from 'commander';
import { type Lock, looksLikeSource, type Platform } from '../builders/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { openLayout } from '../registry/index.ts';
import { buildLock } from './line/build.ts';
import { lockFolderOf, readLockFolder, writeOutputs } from './line/folder.ts';
import { homeOf } from './line/home.ts';
import { type Output, parseOutput, writeOutput } from './line/output.ts';
import { stateLock } from './line/source.ts';
import { localPlaces } from './line/wanted.ts';
import {
  examples,
  jsonOption,
  packageOption,
  platformOption,
  repeated,
  type Transport,
  transportOption,
  usage,
} from './options.ts';
import { bytes, table, terminal } from './terminal.ts';

interface Options {
  readonly platform?: readonly Platform[];
  readonly package?: string;
  readonly file?: readonly string[];
  readonly locked?: boolean;
  readonly layerCache: boolean;
  readonly transport?: Transport;
  readonly output?: Output;
  readonly json?: boolean;
}

export function buildCommand(): Command {
  return new Command('build')
    .summary('bake a lock into an image')
    .description(
      'Bakes a lock into an OCI image in the local store: no Docker daemon, no root, no package code. The same lock always gives the same image. A source is locked first, in your state folder. No byte is used before its hash is checked.',
    )
    .argument('<name|source>', 'a folder of ./lockfiles/, or npm:…, pypi:…, a .tgz or .whl, or a server.json')
    .addOption(platformOption('platforms to build; all that are locked by default'))
    .addOption(packageOption())
    .addOption(
      repeated('--file <path>', 'a locked file that no index has, where it is not beside the lock', (word) => word),
    )
    .option('--locked', 'fail when a digest differs from the one in the lock')
    .addOption(transportOption())
    .option('--no-layer-cache', 'make the layers of the server anew')
    .addOption(
      new Option('--output <where>', 'oci:DIR, docker-archive:FILE or docker, beside the store').argParser((value) =>
        usage(() => parseOutput(value)),
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build build server-memory', 'from ./lockfiles/server-memory/'],
        ['mcp-build build npm:@modelcontextprotocol/server-memory', 'lock and build in one go'],
        ['mcp-build build npm:@modelcontextprotocol/server-memory --transport http', 'served over HTTP, for a cluster'],
        ['mcp-build build server-memory --output docker-archive:memory.tar', 'for `docker load`'],
      ),
    )
    .action(async (target: string, options: Options) => {
      const started = performance.now();
      const out = terminal(options);
      const environment = { ...process.env };
      const home = homeOf(environment);
      const workspace = process.cwd();
      const folder = looksLikeSource(target)
        ? await stateLock(target, {
            home,
            environment,
            platforms: options.platform,
            package: options.package,
            transport: options.transport === 'http' ? 'http' : undefined,
            progress: out.progress,
          })
        : lockFolderOf(workspace, target);
      const { lock } = await readLockFolder(folder);
      if (options.transport !== undefined && options.transport !== (lock.transport ?? 'stdio'))
        throw otherTransport(lock, options.transport);
      const store = await openLayout(home.store);
      const built = await buildLock(lock, {
        platforms: options.platform ?? (Object.keys(lock.platforms) as Platform[]),
        home,
        environment,
        workspace,
        store,
        files: [...(options.file ?? []), ...localPlaces(target), folder],
        layerCache: options.layerCache ? 'all' : 'base',
        locked: options.locked === true,
        progress: out.progress,
      });
      await writeOutputs(folder, built.lock);
      if (options.output) await writeOutput(options.output, { built, store, environment, progress: out.progress });
      const manifests = Object.fromEntries(built.images.map(({ platform, manifest }) => [platform, manifest.digest]));
      const seconds = Math.round(performance.now() - started) / 1000;
      await out.result(
        {
          name: lock.name,
          index: built.index.digest,
          manifests,
          layout: home.store,
          layers: built.layers.map(({ digest, diffId, size, cached, platform, name }) => ({
            digest,
            diffId,
            size,
            cached,
            platform,
            name,
          })),
          seconds,
        },
        [
          table(
            built.layers.map((layer) => [
              layer.platform,
              layer.name,
              bytes(layer.size),
              layer.diffId.slice(0, 19),
              layer.cached ? 'cached' : 'built',
            ]),
          ),
          `built ${lock.name} ${lock.source.version} in ${seconds.toFixed(2)} s: ${built.index.digest}`,
        ].join('\n'),
      );
    });
}

/** How a server is reached is part of its lock: the same lock always gives the same image. */
function otherTransport(lock: Lock, asked: Transport): McpBuildError {
  return new McpBuildError({
    code: 'transport-not-locked',
    message: `${lock.name} is locked for ${lock.transport ?? 'stdio'}, not for ${asked}`,
    input: lock.name,
    fix: `Write transport: ${asked} in the manifest, or give --transport ${asked} to \`mcp-build lock\`, and lock it again.`,
    exit: 2,
  });
}
