import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded, writeAtomic } from '../../files/index.ts';
import { lockSchema } from '../lock.ts';

const LIMIT = 4 * 1024 * 1024;

const name = z.string().regex(/^[a-z][a-z0-9-]{0,63}$/);
const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]{1,127}$/);

const recipeSchema = z.strictObject({
  /** Newer versions win; of equal ones the suite that stands first. */
  suites: z
    .array(
      z.strictObject({
        name,
        /** Files under `images/keys`, without their ending: any one of them may sign this suite. */
        keys: z.array(name).min(1).readonly(),
      }),
    )
    .min(1)
    .readonly(),
  /** What the base is for; all that these depend on comes with them. */
  packages: z.array(packageName).min(1).readonly(),
  /** Dependencies that are left out, each with the reason. */
  omit: z.record(packageName, z.string().min(1)).default({}),
  /** A language runtime that Debian stable doesn't have in the version wanted; a layer of its own. */
  runtime: z.strictObject({ node: z.string().min(1).max(100) }).optional(),
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

/** Where the recipes that come with mcp-build are: beside the sources in a checkout, beside `dist` in the published package. */
export async function imagesFolder(): Promise<string> {
  const candidates = ['../../images', '../../../images'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  for (const candidate of candidates) {
    const found = await access(join(candidate, 'keys')).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  throw new McpBuildError({
    code: 'images-missing',
    message: 'The folder "images" with the base recipes is not where mcp-build is installed',
    input: candidates[0]!,
    fix: 'Install mcp-build again.',
  });
}

/** The names of all recipes, sorted. */
export async function recipes(folder?: string): Promise<readonly string[]> {
  const names = await readdir(folder ?? (await imagesFolder()));
  return names
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/** @throws McpBuildError `recipe-unknown`, `recipe-invalid` */
export async function readRecipe(recipe: string, folder?: string): Promise<Recipe> {
  const file = await pathOf(recipe, '.yaml', folder);
  const text = await textOf(recipe, file, folder);
  let value: unknown;
  try {
    value = parseYaml(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw invalid('recipe-invalid', file, 'is not YAML', cause);
  }
  const result = recipeSchema.safeParse(value);
  if (!result.success) throw invalid('recipe-invalid', file, issueOf(result.error), result.error);
  return { name: recipe, ...result.data };
}

/** What the recipe was last resolved to. @throws McpBuildError `recipe-unknown`, `base-lock-invalid` */
export async function readBaseLock(recipe: string, folder?: string): Promise<BaseLock> {
  const file = await pathOf(recipe, '.lock.json', folder);
  return parseBaseLock(await textOf(recipe, file, folder), file);
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

/** Writes the whole lock or nothing, and says where. */
export async function writeBaseLock(lock: BaseLock, folder?: string): Promise<string> {
  const file = await pathOf(lock.recipe, '.lock.json', folder);
  await writeAtomic(file, formatBaseLock(lock));
  return file;
}

/** The armoured public keys that may sign a suite. @throws McpBuildError `recipe-invalid` when one isn't there */
export async function readKeys(names: readonly string[], folder?: string): Promise<readonly string[]> {
  const images = folder ?? (await imagesFolder());
  return Promise.all(
    names.map(async (key) => {
      const file = join(images, 'keys', `${key}.asc`);
      return readBounded(file, LIMIT).then(String, (cause: unknown) => {
        throw invalid('recipe-invalid', file, "is named by a recipe and can't be read", cause);
      });
    }),
  );
}

async function pathOf(recipe: string, ending: string, folder: string | undefined): Promise<string> {
  if (!name.safeParse(recipe).success) throw await unknown(recipe, folder);
  return join(folder ?? (await imagesFolder()), `${recipe}${ending}`);
}

async function textOf(recipe: string, file: string, folder: string | undefined): Promise<string> {
  try {
    return (await readBounded(file, LIMIT)).toString('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw await unknown(recipe, folder);
    throw error;
  }
}

function issueOf(error: z.ZodError): string {
  const issue = error.issues[0];
  return `at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'does not fit the schema'}`;
}

async function unknown(recipe: string, folder: string | undefined): Promise<McpBuildError> {
  return new McpBuildError({
    code: 'recipe-unknown',
    message: `There is no base "${recipe}", or it isn't locked yet`,
    input: recipe,
    fix: `Use one of ${(await recipes(folder)).join(', ')}; \`mcp-build base update\` locks a new one.`,
    exit: 2,
  });
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
