import { McpBuildError } from '../../errors/index.ts';
import { exotic } from './artifacts.ts';
import { oneLine } from './names.ts';

/** The errors npm's libraries throw, as far as they are read. */
interface NpmError extends Error {
  readonly code?: string;
  readonly name: string;
  readonly wanted?: string;
  /** Folder of the package that asked, relative to the tree's root; `.` for the root itself. */
  readonly requiredBy?: string;
  readonly package?: string;
  readonly versions?: readonly string[];
}

/** What went wrong while npm made the tree, in this project's terms. `tooNew` finds out whether a missing version is only too young. */
export async function treeFault(
  error: unknown,
  source: string,
  tooNew: (name: string, wanted: string) => Promise<McpBuildError | undefined>,
): Promise<unknown> {
  if (error instanceof McpBuildError || !(error instanceof Error)) return error;
  const failed = error as NpmError;
  const by = folderName(failed.requiredBy) ?? source;
  switch (failed.code) {
    case 'ETARGET':
    case 'ENOVERSIONS': {
      const name = oneLine(failed.name);
      const wanted = oneLine(failed.wanted ?? '');
      return (await tooNew(name, failed.wanted ?? '')) ?? versionNotFound(name, wanted, by, error);
    }
    case 'EALLOWGIT':
    case 'EALLOWREMOTE':
    case 'EALLOWFILE':
    case 'EALLOWDIRECTORY': {
      const [, name, spec] = /^(.[^@]*)@(.*)$/s.exec(failed.package ?? '') ?? [];
      return exotic(
        name ?? failed.package ?? 'a dependency',
        spec ?? failed.code.slice('EALLOW'.length).toLowerCase(),
        by,
      );
    }
    case 'EUNSUPPORTEDPROTOCOL':
    case 'EINVALIDTAGNAME':
    case 'EINVALIDPACKAGENAME':
      return exotic('a dependency', error.message, by);
    case 'ERESOLVE':
      return new McpBuildError({
        code: 'dependency-conflict',
        message: `The dependencies of ${source} contradict each other: ${oneLine(error.message)}`,
        input: source,
        fix: 'Take another version of it.',
        cause: error,
      });
    default:
      // A system error (a full disk) says more by itself; what else npm's libraries throw is about what the registry sent.
      if ('syscall' in error) return error;
      return new McpBuildError({
        code: 'resolution-failed',
        message: `npm can't make a tree of ${source}: ${oneLine(error.message)}`,
        input: source,
        fix: 'Try another version; if all fail so, report it with the output of `npm install --package-lock-only` for it.',
        cause: error,
      });
  }
}

export function versionNotFound(name: string, wanted: string, by: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'version-not-found',
    message: `${name} has no version ${wanted || 'at all'}, which ${by} ${by === 'you' ? 'ask' : 'asks'} for`,
    input: `${name}@${wanted}`,
    fix: 'See `npm view` for the versions there are.',
    cause,
  });
}

function folderName(location: string | undefined): string | undefined {
  if (location === undefined || location === '' || location === '.') return undefined;
  return oneLine(location.slice(location.lastIndexOf('node_modules/') + 'node_modules/'.length));
}
