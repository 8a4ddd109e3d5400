import { McpBuildError } from '../../errors/index.ts';

/** The wheel breaks the binary distribution format in a way that an installer can't repair without guessing. */
export function wheelInvalid(wheel: string, what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'wheel-invalid',
    message: `${wheel} ${what}`,
    input: wheel,
    fix: 'Use another version of this package, or tell its authors.',
    ...(cause === undefined ? {} : { cause }),
  });
}
