import { isFault, McpBuildError } from '../../errors/index.ts';
import type { ResolveOptions } from '../adapter.ts';
import { run } from './process.ts';
import { findPrograms } from './search-path.ts';

const NAMES = ['python3', 'python3.13', 'python3.14', 'python3.12', 'python3.11', 'python'];
const OLDEST = 8;
const MOST = 12;

/**
 * Some Python 3 of this machine, for uv to ask about environment markers; which version doesn't matter, the resolution is for the
 * image's. `UV_PYTHON` is taken when it is a path.
 * @throws McpBuildError `python-missing`
 */
export async function findPython(
  options: Pick<ResolveOptions, 'environment' | 'signal'>,
  folder: string,
): Promise<string> {
  const { environment, signal } = options;
  const own = environment.UV_PYTHON;
  const candidates = [
    ...(own?.startsWith('/') ? [own] : []),
    ...(await findPrograms(NAMES, environment.PATH)).slice(0, MOST),
  ];
  for (const candidate of candidates) {
    const found = await ask(candidate, environment.PATH ?? '', folder, signal);
    if (found !== undefined) return found;
  }
  throw new McpBuildError({
    code: 'python-missing',
    message: 'Locking a PyPI server needs a Python 3 on this machine, of any version, and PATH has none',
    fix: 'Install one (as package python3 of your system), or lock on another machine: building from the lock needs no Python.',
  });
}

/** Its real path: uv asks the interpreter more than once, and each call of a version manager's shim is slow. */
async function ask(
  candidate: string,
  path: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const script = 'import sys; print(sys.version_info[0], sys.version_info[1], sys.executable)';
  try {
    const { code, stdout } = await run(candidate, ['-I', '-S', '-c', script], {
      environment: { PATH: path },
      folder,
      timeout: 30_000,
      limit: 64 * 1024,
      signal,
    });
    const match = /^3 ([0-9]+) (\/.*)$/.exec(stdout.trim());
    return code === 0 && match && Number(match[1]) >= OLDEST ? match[2] : undefined;
  } catch (error) {
    if (isFault(error, 'program-failed')) return undefined;
    throw error;
  }
}
