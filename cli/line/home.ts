import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where the user's state lives. Nothing in it comes from the working directory. */
export interface Home {
  readonly root: string;
  /** OCI layout with every image built or pulled here. */
  readonly store: string;
  /** Downloads by hash, and metadata caches of the resolvers. */
  readonly cache: string;
  /** Locks that `run <source>` made. */
  readonly locks: string;
  readonly keys: string;
  /** Sockets and records of running servers; 0700. */
  readonly run: string;
}

/** `MCP_BUILD_HOME`, else the XDG data folder. @throws McpBuildError `home-invalid` */
export function homeOf(environment: Environment): Home {
  const root = environment.MCP_BUILD_HOME || join(dataHome(environment), 'mcp-build');
  if (!isAbsolute(root)) {
    throw new McpBuildError({
      code: 'home-invalid',
      message: `MCP_BUILD_HOME "${root}" is not an absolute path`,
      input: root,
      fix: 'Set MCP_BUILD_HOME to an absolute path, or unset it.',
      exit: 2,
    });
  }
  return {
    root,
    store: join(root, 'store'),
    cache: join(root, 'cache'),
    locks: join(root, 'locks'),
    keys: join(root, 'keys'),
    run: join(root, 'run'),
  };
}

function dataHome(environment: Environment): string {
  const configured = environment.XDG_DATA_HOME;
  // The XDG specification says to ignore a relative one.
  if (configured && isAbsolute(configured)) return configured;
  return join(environment.HOME || homedir(), '.local', 'share');
}
