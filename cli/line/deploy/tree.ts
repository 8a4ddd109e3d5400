import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { McpBuildError } from '../../../errors/index.ts';
import { readBounded, writeAtomic } from '../../../files/index.ts';

/** A file that a deployment consists of. */
export interface DeployFile {
  /** Below the folder that it is written to. */
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

const LIMIT = 8 * 1024 * 1024;

/**
 * Writes them all, or none where one is there already and differs. @returns the paths of those that were written
 * @throws McpBuildError `deploy-differs`
 */
export async function writeTree(
  folder: string,
  files: readonly DeployFile[],
  replace: boolean,
): Promise<readonly string[]> {
  const wanted: DeployFile[] = [];
  for (const file of files) {
    const path = join(folder, file.path);
    const found = await lstat(path).catch(() => undefined);
    const same = found?.isFile() && (await readBounded(path, LIMIT)).toString('utf8') === file.text;
    if (found && !same && !replace) throw differs(path);
    if (!same) wanted.push(file);
  }
  for (const { path, text, mode } of wanted) await writeAtomic(join(folder, path), text, mode);
  return wanted.map(({ path }) => join(folder, path));
}

/** For somebody who looks first. */
export function shown(files: readonly DeployFile[]): string {
  return files.map(({ path, text }) => `# ${path}\n${text.trimEnd()}\n`).join('\n');
}

function differs(path: string): McpBuildError {
  return new McpBuildError({
    code: 'deploy-differs',
    message: `${path} is there already, and says something else`,
    input: path,
    fix: 'Look at the difference without --to, which only prints; --replace writes it anew.',
  });
}
