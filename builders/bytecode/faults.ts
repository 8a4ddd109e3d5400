import { McpBuildError } from '../../errors/index.ts';

/** This machine can't make byte-code; another could. */
export function unavailable(reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'bytecode-unavailable',
    message: `The lock has Python byte-code, and this machine can't compile it: ${reason}`,
    input: reason,
    fix: 'Pull an image that was built from this lock elsewhere, build it on Linux, or lock again with --no-bytecode.',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The compiler gave up on a source: it takes too long, or brought it down. */
export function failed(path: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'bytecode-failed',
    message: `Python's compiler ${reason} at /${path}`,
    input: path,
    fix: 'Look at that file: no ordinary source does this. `mcp-build lock --no-bytecode` does without the compiler.',
    ...(cause === undefined ? {} : { cause }),
  });
}
