import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { McpBuildError } from '../../errors/index.ts';

/** Folders with recipes, their locks and archive keys: of a file that two of them have, the first one's counts. */
export type ImagesFolders = readonly string[];

/** Where the recipes that come with mcp-build are: beside the sources in a checkout, beside `dist` in the published package. */
export async function imagesFolder(): Promise<string> {
  const candidates = ['../../images', '../../../images'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  for (const candidate of candidates) if (await isThere(join(candidate, 'keys'))) return candidate;
  throw new McpBuildError({
    code: 'images-missing',
    message: 'The folder "images" with the base recipes is not where mcp-build is installed',
    input: candidates[0]!,
    fix: 'Install mcp-build again.',
  });
}

/**
 * The user's own folder, where `MCP_BUILD_IMAGES` names one, and then the one that comes with mcp-build. Which keys may sign a base is
 * decided here, so the folder is the user's configuration: it never depends on the working directory.
 * @throws McpBuildError `images-invalid`, `images-missing`
 */
export async function imagesFolders(environment: Readonly<Record<string, string | undefined>>): Promise<ImagesFolders> {
  const own = environment.MCP_BUILD_IMAGES;
  if (own === undefined || own === '') return [await imagesFolder()];
  if (!isAbsolute(own)) throw invalid(own, 'is not an absolute path', 'Set it to an absolute path, or unset it.');
  if (!(await isThere(own))) throw invalid(own, 'is not there', `Make it (\`mkdir -p ${own}\`), or unset it.`);
  return [own, await imagesFolder()];
}

/** The first of the folders that has the file, by its place among them. */
export async function findFile(folders: ImagesFolders, file: string): Promise<number | undefined> {
  for (const [at, folder] of folders.entries()) if (await isThere(join(folder, file))) return at;
  return undefined;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function invalid(input: string, reason: string, fix: string): McpBuildError {
  return new McpBuildError({
    code: 'images-invalid',
    message: `MCP_BUILD_IMAGES "${input}" ${reason}`,
    input,
    fix,
    exit: 2,
  });
}
