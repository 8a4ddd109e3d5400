import { McpBuildError } from '../errors/index.ts';

/** Whatever was thrown as something to tell a user; what nobody foresaw is `unexpected`. */
export function explain(error: unknown): { fault: McpBuildError; stack: string | undefined } {
  const stack = error instanceof Error ? error.stack : undefined;
  if (error instanceof McpBuildError) return { fault: error, stack };
  const system = error as NodeJS.ErrnoException | undefined;
  if (system?.code === 'ENOSPC' || system?.code === 'EDQUOT') {
    return {
      fault: new McpBuildError({
        code: 'disk-full',
        message: 'The disk is full; nothing half-written was kept',
        fix: 'Free some space (`mcp-build prune` removes images that no lock needs), then try again.',
      }),
      stack,
    };
  }
  if (system?.code === 'EACCES' || system?.code === 'EROFS' || system?.code === 'EPERM' || system?.code === 'ENOTDIR') {
    return {
      fault: new McpBuildError({
        code: 'not-writable',
        message: `${system.path ?? 'A file'} can't be ${system.syscall === 'open' ? 'opened' : 'written'}: ${system.code}`,
        fix: 'Check its owner and mode, or point MCP_BUILD_HOME to a folder of your own.',
      }),
      stack,
    };
  }
  return {
    fault: new McpBuildError({
      code: 'unexpected',
      message: `Something that should not happen did: ${error instanceof Error ? error.message : String(error)}`,
      fix: 'Run it again with MCP_BUILD_DEBUG=1 and report what is printed.',
    }),
    stack,
  };
}
