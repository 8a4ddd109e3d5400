import { readBounded } from '../../../files/index.ts';

/** Where configuration is looked for. */
export interface Surroundings {
  /** The user's variables; never `process.env` itself. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** As Node names it: `linux`, `darwin`. */
  readonly system: string;
  /** Folder whose `uv.toml` or `pyproject.toml` counts too. */
  readonly workspace: string | undefined;
}

const LIMIT = 1024 * 1024;

/** A configuration file's text; undefined when there is none. */
export async function readOptional(path: string): Promise<string | undefined> {
  try {
    return (await readBounded(path, LIMIT)).toString('utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** The words of a list as variables and ini files write them. */
export function listOf(text: string | undefined, separator: string | RegExp = /\s+/): string[] {
  return (text ?? '').split(separator).filter((word) => word !== '');
}
