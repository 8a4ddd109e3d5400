/** 0 done · 1 failed · 2 wrong usage · 3 verification refused · 4 a gate refused · 5 network. */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5;

export interface Fault {
  /** Stable, kebab-case; what tests and callers compare. */
  readonly code: string;
  /** What went wrong, as one sentence that names the input. */
  readonly message: string;
  /** The input that caused it, as the user wrote it or as its index names it. Never a secret. */
  readonly input?: string;
  /** What to do next, as an imperative sentence. */
  readonly fix?: string;
  /** Defaults to 1. */
  readonly exit?: ExitCode;
  readonly cause?: unknown;
}

/** The one error class of the project: everything that a user can meet is one of these. Anything else that reaches `cli/main.ts` is a bug. */
export class McpBuildError extends Error {
  override readonly name = 'McpBuildError';
  readonly code: string;
  readonly input: string | undefined;
  readonly fix: string | undefined;
  readonly exit: ExitCode;

  constructor(fault: Fault) {
    super(fault.message, fault.cause === undefined ? undefined : { cause: fault.cause });
    this.code = fault.code;
    this.input = fault.input;
    this.fix = fault.fix;
    this.exit = fault.exit ?? 1;
  }
}

export function isFault(error: unknown, code?: string): error is McpBuildError {
  return error instanceof McpBuildError && (code === undefined || error.code === code);
}

export { nearest, nearestField } from './nearest.ts';
