import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded, writeAtomic } from '../../files/index.ts';
import { lockSchema } from '../lock.ts';
import { findFile, type ImagesFolders, imagesFolder } from './images.ts';

const LIMIT = 4 * 1024 * 1024;

const name = z.string().regex(/^[a-z][a-z0-9-]{0,63}$/);
const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]{1,127}$/);
const omit = z.record(packageName, z.string().min(1));

const recipeSchema = z.strictObject({
  /** Newer versions win; of equal ones the suite that stands first. */
  suites: z
    .array(
      z.strictObject({
        name,
        /** Files under `keys`, without their ending: any one of them may sign this suite. */
        keys: z.array(name).min(1).readonly(),
      }),
    )
    .min(1)
    .readonly(),
  /** What the base is for; all that these depend on comes with them. */
  packages: z.array(packageName).min(1).readonly(),
  /** Dependencies that are left out, each with the reason. */
  omit: omit.default({}),
  /** A language runtime that Debian stable doesn't have in the version wanted; a layer of its own. */
  runtime: z.strictObject({ node: z.string().min(1).max(100) }).optional(),
});

const omissionsSchema = z.strictObject({
  /** Left out whoever depends on it, each with the reason. */
  always: omit,
  /** Left out where this package depends on it. */
  of: z.record(packageName, omit),
});

const baseLockSchema = z.strictObject({
  lockVersion: z.literal(1),
  recipe: name,
  /** The date of each suite's release that was read; an older one is never accepted again. */
  releases: z.record(name, z.iso.datetime()),
  /** The layers `base` and, where the recipe has one, `runtime`, as a server's lock takes them over. */
  platforms: lockSchema.shape.platforms,
});

export type Recipe = z.infer<typeof recipeSchema> & { readonly name: string };
export type BaseLock = z.infer<typeof baseLockSchema>;
/** What packages that are added to a base do without. */
export type Omissions = z.infer<typeof omissionsSchema>;

export function isPackageName(text: string): boolean {
  return packageName.safeParse(text).success;
}

/** The names of all recipes, sorted. */
export async function recipes(folders?: ImagesFolders): Promise<readonly string[]> {
  const names = new Set<string>();
  for (const folder of folders ?? [await imagesFolder()]) {
    for (const file of await readdir(folder)) if (file.endsWith('.yaml')) names.add(file.slice(0, -'.yaml'.length));
  }
  return [...names].sort();
}

/** @throws McpBuildError `recipe-unknown`, `recipe-invalid` */
export async function readRecipe(recipe: string, folders?: ImagesFolders): Promise<Recipe> {
  const { file } = await recipeFile(recipe, folders);
  return { name: recipe, ...parse(recipeSchema, await textOf(file), file) };
}

/**
 * What the recipe was last resolved to.
 * @throws McpBuildError `recipe-unknown`, `base-not-locked`, `base-lock-invalid`
 */
export async function readBaseLock(recipe: string, folders?: ImagesFolders): Promise<BaseLock> {
  const { file } = await baseLockFile(recipe, folders);
  return parseBaseLock(await textOf(file), file);
}

/** Where a recipe's lock is. @throws McpBuildError `recipe-unknown`, `base-not-locked` */
export async function baseLockFile(recipe: string, folders?: ImagesFolders): Promise<{ readonly file: string }> {
  const { at, folders: all } = await recipeFile(recipe, folders);
  // A lock from further down was made from another recipe of the same name.
  const found = await findFile(all.slice(0, at + 1), `${recipe}.lock.json`);
  if (found !== undefined) return { file: join(all[found]!, `${recipe}.lock.json`) };
  throw new McpBuildError({
    code: 'base-not-locked',
    message: `The base "${recipe}" has a recipe and no lock`,
    input: recipe,
    fix: `Lock it with \`mcp-build base update ${recipe}\`.`,
    exit: 2,
  });
}

/** @param file where the text comes from, for the error. @throws McpBuildError `base-lock-invalid` */
export function parseBaseLock(text: string, file: string): BaseLock {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid('base-lock-invalid', file, 'is not JSON', cause);
  }
  const result = baseLockSchema.safeParse(value);
  if (!result.success) throw invalid('base-lock-invalid', file, issueOf(result.error), result.error);
  return result.data;
}

/** The same lock is always the same bytes. */
export function formatBaseLock(lock: BaseLock): string {
  return `${JSON.stringify(baseLockSchema.parse(lock), null, 2)}\n`;
}

/** Writes the whole lock or nothing into the first folder, and says where. @throws McpBuildError `images-read-only` */
export async function writeBaseLock(lock: BaseLock, folders?: ImagesFolders): Promise<string> {
  const file = join(folders?.[0] ?? (await imagesFolder()), `${lock.recipe}.lock.json`);
  try {
    await writeAtomic(file, formatBaseLock(lock));
  } catch (cause) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
    throw readOnly(file, cause);
  }
  return file;
}

/** The armoured public keys that may sign a suite. @throws McpBuildError `recipe-invalid` when one isn't there */
export async function readKeys(names: readonly string[], folders?: ImagesFolders): Promise<readonly string[]> {
  const all = folders ?? [await imagesFolder()];
  return Promise.all(
    names.map(async (key) => {
      const at = (await findFile(all, `keys/${key}.asc`)) ?? 0;
      const file = join(all[at]!, 'keys', `${key}.asc`);
      return textOf(file).catch((cause: unknown) => {
        throw invalid('recipe-invalid', file, "is named by a recipe and can't be read", cause);
      });
    }),
  );
}

/** @throws McpBuildError `recipe-invalid` */
export async function readOmissions(folders?: ImagesFolders): Promise<Omissions> {
  const all = folders ?? [await imagesFolder()];
  const at = await findFile(all, OMISSIONS);
  if (at === undefined) return { always: {}, of: {} };
  const file = join(all[at]!, OMISSIONS);
  return parse(omissionsSchema, await textOf(file), file);
}

const OMISSIONS = 'system/omit.yaml';

/** Where a recipe is, and in which of the folders. @throws McpBuildError `recipe-unknown` */
export async function recipeFile(
  recipe: string,
  folders?: ImagesFolders,
): Promise<{ readonly at: number; readonly folders: ImagesFolders; readonly file: string }> {
  const all = folders ?? [await imagesFolder()];
  const at = name.safeParse(recipe).success ? await findFile(all, `${recipe}.yaml`) : undefined;
  if (at !== undefined) return { at, folders: all, file: join(all[at]!, `${recipe}.yaml`) };
  throw new McpBuildError({
    code: 'recipe-unknown',
    message: `There is no base "${recipe}"`,
    input: recipe,
    fix: `Use one of ${(await recipes(all)).join(', ')}, or put a recipe of your own into the folder that MCP_BUILD_IMAGES names.`,
    exit: 2,
  });
}

function readOnly(input: string, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'images-read-only',
    message: `${input} can't be written`,
    input,
    fix: 'Make a folder for bases of your own, set MCP_BUILD_IMAGES to its absolute path, and run this again.',
    cause,
  });
}

export async function textOf(file: string): Promise<string> {
  return (await readBounded(file, LIMIT)).toString('utf8');
}

function parse<T extends z.ZodType>(schema: T, text: string, file: string): z.infer<T> {
  let value: unknown;
  try {
    value = parseYaml(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw invalid('recipe-invalid', file, 'is not YAML', cause);
  }
  const result = schema.safeParse(value);
  if (!result.success) throw invalid('recipe-invalid', file, issueOf(result.error), result.error);
  return result.data;
}

function issueOf(error: z.ZodError): string {
  const issue = error.issues[0];
  return `at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit the schema'}`;
}

function invalid(code: 'recipe-invalid' | 'base-lock-invalid', input: string, reason: string, cause?: unknown) {
  return new McpBuildError({
    code,
    message: `${input} ${reason}`,
    input,
    fix: 'Restore it from version control, or install mcp-build again.',
    ...(cause === undefined ? {} : { cause }),
  });
}
