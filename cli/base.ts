import { Command } from 'commander';
import { baseChanges, readBaseLock, readRecipe, recipes, updateBase, writeBaseLock } from '../builders/debian/index.ts';
import { PLATFORMS, type Platform } from '../builders/index.ts';
import { isFault } from '../errors/index.ts';
import { homeOf } from './line/home.ts';
import { examples, jsonOption, platformOption } from './options.ts';
import { terminal } from './terminal.ts';

export function baseCommand(): Command {
  return new Command('base')
    .summary('the base images that servers are built on')
    .description('Bases are assembled from signed Debian packages; their recipes and locks are in images/.')
    .addCommand(updateCommand());
}

function updateCommand(): Command {
  return new Command('update')
    .summary('lock a base anew from today’s signed indices')
    .description(
      'Reads the signed indices of Debian stable from this machine’s apt sources, or from MCP_BUILD_DEBIAN_MIRROR, and locks the newest versions of what a base holds. Servers take a new base when they are locked again.',
    )
    .argument('[base...]', 'recipes under images/; all by default')
    .addOption(platformOption(`platforms to lock; ${PLATFORMS.join(' and ')} by default`))
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build base update', 'all of them'], ['mcp-build base update node24', 'one']))
    .action(
      async (
        names: readonly string[],
        options: { readonly platform?: readonly Platform[]; readonly json?: boolean },
      ) => {
        const out = terminal(options);
        const environment = { ...process.env };
        const home = homeOf(environment);
        const updated = [];
        const lines: string[] = [];
        for (const name of names.length > 0 ? names : await recipes()) {
          const recipe = await readRecipe(name);
          const previous = await readBaseLock(name).catch((error: unknown) => {
            if (isFault(error, 'recipe-unknown')) return undefined;
            throw error;
          });
          const lock = await updateBase(recipe, options.platform ?? PLATFORMS, {
            previous,
            now: new Date(),
            cache: home.cache,
            before: undefined,
            workspace: undefined,
            environment,
            progress: out.progress,
          });
          const folder = await writeBaseLock(lock);
          const changes = baseChanges(previous, lock);
          updated.push({ name, folder, changes });
          lines.push(`${name}: ${changes.length === 0 ? 'unchanged' : `${changes.length} changes`}`);
          for (const { platform, name: of, from, to } of changes)
            lines.push(`  ${platform}  ${of}  ${from ?? '–'} → ${to ?? '–'}`);
        }
        await out.result({ updated }, lines.join('\n'));
      },
    );
}
