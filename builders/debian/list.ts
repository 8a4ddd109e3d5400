import { isFault } from '../../errors/index.ts';
import type { Artifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import type { ImagesFolders } from './images.ts';
import { type BaseLock, baseLockFile, parseBaseLock, readRecipe, recipeFile, recipes, textOf } from './recipe.ts';

/** A base as it would be used now. */
export interface BaseSummary {
  readonly name: string;
  /** Path of the recipe. */
  readonly recipe: string;
  /** Path of its lock; undefined where it was never locked. */
  readonly lock: string | undefined;
  /** The date of each suite's release it was locked from. */
  readonly releases: Readonly<Record<string, string>>;
  readonly platforms: Readonly<Partial<Record<Platform, readonly Pick<Artifact, 'kind' | 'name' | 'version'>[]>>>;
}

/** Every base of the folders, by name. @throws McpBuildError `recipe-invalid`, `base-lock-invalid` */
export async function listBases(folders: ImagesFolders): Promise<readonly BaseSummary[]> {
  const found: BaseSummary[] = [];
  for (const name of await recipes(folders)) {
    await readRecipe(name, folders);
    const { file: recipe } = await recipeFile(name, folders);
    const lock = await baseLockFile(name, folders).catch((error: unknown) => {
      if (isFault(error, 'base-not-locked')) return undefined;
      throw error;
    });
    if (!lock) {
      found.push({ name, recipe, lock: undefined, releases: {}, platforms: {} });
      continue;
    }
    const parsed = parseBaseLock(await textOf(lock.file), lock.file);
    found.push({ name, recipe, lock: lock.file, releases: parsed.releases, platforms: packagesOf(parsed) });
  }
  return found;
}

function packagesOf({ platforms }: BaseLock): BaseSummary['platforms'] {
  return Object.fromEntries(
    Object.entries(platforms).map(([platform, { layers }]) => [
      platform,
      layers.flatMap(({ files }) => files.map(({ kind, name, version }) => ({ kind, name, version }))),
    ]),
  );
}
