import { Command } from 'commander';
import {
  baseChanges,
  imagesFolders,
  listBases,
  readBaseLock,
  readRecipe,
  recipes,
  updateBase,
  writeBaseLock,
} from '../builders/debian/index.ts';
import { PLATFORMS, type Platform } from '../builders/index.ts';
import { isFault } from '../errors/index.ts';
import { homeOf } from './line/home.ts';
import { examples, jsonOption, platformOption } from './options.ts';
import { table, terminal } from './terminal.ts';

export function baseCommand(): Command {
  return new Command('base')
    .summary('the base images that servers are built on')
    .description(
      'Bases are assembled from signed Debian packages. Their recipes and locks come with mcp-build; those in the folder that MCP_BUILD_IMAGES names come first.',
    )
    .addCommand(listCommand())
    .addCommand(updateCommand());
}

function listCommand(): Command {
  return new Command('list')
    .summary('the bases there are, and what is in them')
    .description(
      'Lists every base with its packages, the dates of the releases it was locked from, and where its lock is.',
    )
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build base list', 'which bases there are, and how old']))
    .action(async (options: { readonly json?: boolean }) => {
      const out = terminal(options);
      const bases = await listBases(await imagesFolders({ ...process.env }));
      await out.result(
        { bases },
        table([
          ['BASE', 'PACKAGES', 'PLATFORMS', 'RELEASES OF', 'LOCK'],
          ...bases.map(({ name, lock, releases, platforms }) => [
            name,
            String(Math.max(0, ...Object.values(platforms).map((packages) => packages.length))),
            Object.keys(platforms).join(', ') || '–',
            newest(releases) ?? '–',
            lock ?? `none: mcp-build base update ${name}`,
          ]),
        ]),
      );
    });
}

function updateCommand(): Command {
  return new Command('update')
    .summary('lock a base anew from today’s signed indices')
    .description(
      'Reads the signed indices of Debian stable from this machine’s apt sources, or from MCP_BUILD_DEBIAN_MIRROR, and locks the newest versions of what a base holds: into the folder that MCP_BUILD_IMAGES names, else where mcp-build is. Servers take a new base when they are locked again.',
    )
    .argument('[base...]', 'names of recipes; all by default')
    .addOption(platformOption(`platforms to lock; ${PLATFORMS.join(' and ')} by default`))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build base update', 'all of them'],
        ['mcp-build base update node24', 'one'],
        ['MCP_BUILD_IMAGES=$HOME/bases mcp-build base update', 'into a folder of your own'],
      ),
    )
    .action(
      async (
        names: readonly string[],
        options: { readonly platform?: readonly Platform[]; readonly json?: boolean },
      ) => {
        const out = terminal(options);
        const environment = { ...process.env };
        const home = homeOf(environment);
        const images = await imagesFolders(environment);
        const updated = [];
        const lines: string[] = [];
        for (const name of names.length > 0 ? names : await recipes(images)) {
          const recipe = await readRecipe(name, images);
          const previous = await readBaseLock(name, images).catch((error: unknown) => {
            if (isFault(error, 'base-not-locked')) return undefined;
            throw error;
          });
          const lock = await updateBase(recipe, options.platform ?? PLATFORMS, {
            previous,
            now: new Date(),
            cache: home.cache,
            before: undefined,
            workspace: undefined,
            environment,
            images,
            progress: out.progress,
          });
          const file = await writeBaseLock(lock, images);
          const changes = baseChanges(previous, lock);
          updated.push({ name, lock: file, changes });
          lines.push(`${name}: ${changes.length === 0 ? 'unchanged' : `${changes.length} changes`} → ${file}`);
          for (const { platform, name: of, from, to } of changes)
            lines.push(`  ${platform}  ${of}  ${from ?? '–'} → ${to ?? '–'}`);
        }
        await out.result({ updated }, lines.join('\n'));
      },
    );
}

/** The day of the newest release, which says how old a base is. */
function newest(releases: Readonly<Record<string, string>>): string | undefined {
  return Object.values(releases).sort().at(-1)?.slice(0, 10);
}
