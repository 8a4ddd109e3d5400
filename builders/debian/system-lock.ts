import { McpBuildError } from '../../errors/index.ts';
import type { ResolveOptions } from '../adapter.ts';
import type { Artifact, LayerLock } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { closure, type Installed } from './closure.ts';
import type { ImagesFolders } from './images.ts';
import { artifactOf, readIndices } from './indices.ts';
import type { MirrorOptions } from './mirror.ts';
import type { PackageIndex } from './packages.ts';
import { type BaseLock, isPackageName, type Omissions, readBaseLock, readOmissions, readRecipe } from './recipe.ts';

export const SYSTEM_TRANSFORM = 'debian-system/1';

export interface SystemOptions
  extends Pick<ResolveOptions, 'environment' | 'progress' | 'signal'>,
    Pick<MirrorOptions, 'apt'> {
  /** The recipe of the base that the packages are added to. */
  readonly base: string;
  readonly now: Date;
  /** What was locked before: a package that stays the same keeps its date. */
  readonly previous?: Readonly<Partial<Record<Platform, readonly Artifact[]>>>;
  readonly images?: ImagesFolders;
}

/** @throws McpBuildError `package-name-invalid` */
export function parsePackageName(text: string): string {
  if (isPackageName(text)) return text;
  throw new McpBuildError({
    code: 'package-name-invalid',
    message: `"${text}" is not the name of a Debian package`,
    input: text,
    fix: 'Write a name such as git; its version is the one of the suite.',
    exit: 2,
  });
}

/**
 * Resolves Debian packages on top of a base: they and what they need, as far as the base doesn't have it, from the same signed indices as
 * the base and none older than those it was locked from. A platform whose base has it all gets no layer.
 * @throws McpBuildError what `readBaseLock`, `readIndices` and `closure` throw
 */
export async function lockSystem(
  names: readonly string[],
  platforms: readonly Platform[],
  options: SystemOptions,
): Promise<Readonly<Partial<Record<Platform, LayerLock>>>> {
  const { images } = options;
  const recipe = await readRecipe(options.base, images);
  const base = await readBaseLock(options.base, images);
  const omissions = await readOmissions(images);
  const indices = await readIndices(recipe.suites, { ...options, seen: base.releases });
  const layers: Partial<Record<Platform, LayerLock>> = {};
  for (const platform of platforms) {
    const index = await indices.packages(platform);
    const installed = installedOf(base, platform, index);
    const chosen = closure(names, index, installed, (owner, dependency) => omits(omissions, owner, dependency));
    if (chosen.length === 0) continue;
    const before = options.previous?.[platform] ?? [];
    const files = chosen.map((one) => artifactOf(one, indices, before));
    layers[platform] = { name: 'system', transform: SYSTEM_TRANSFORM, files };
  }
  return layers;
}

/** The base's packages; what they provide is not in its lock, and today's index says it even where it has a newer one. */
function installedOf(base: BaseLock, platform: Platform, index: PackageIndex): readonly Installed[] {
  const files = base.platforms[platform]?.layers.flatMap((layer) => layer.files) ?? [];
  return files
    .filter((file) => file.kind === 'deb')
    .map(({ name, version }) => ({ name, version, provides: index.packages.get(name)?.provides ?? '' }));
}

function omits({ always, of }: Omissions, owner: string, dependency: string): boolean {
  return Object.hasOwn(always, dependency) || (Object.hasOwn(of, owner) && Object.hasOwn(of[owner]!, dependency));
}
