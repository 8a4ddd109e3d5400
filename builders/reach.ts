import { McpBuildError } from '../errors/index.ts';

/** A registry of packages that was asked whether it answers. */
export interface Reached {
  /** Which it is to the user: `npm`, a scope, an index's name. */
  readonly name: string;
  /** Without credentials and query. */
  readonly address: string;
  /** Its clock, as HTTP's `Date` has it. */
  readonly date: string | undefined;
  /** Why it is of no use; undefined where it answers. */
  readonly error?: unknown;
}

/** One that refuses us is there and of no use. What it has is not the question, so 404 is an answer. */
export function statusFault(address: string, status: number): McpBuildError | undefined {
  if (status < 400 || status === 404 || status === 410) return undefined;
  const refused = status === 401 || status === 403;
  return new McpBuildError({
    code: refused ? 'registry-unauthorized' : 'registry-unavailable',
    message: `${address} answered ${status}`,
    input: address,
    fix: refused
      ? "Put the credentials for it into npm's, uv's or pip's own configuration."
      : "Check the address in npm's, uv's or pip's configuration.",
    exit: 5,
  });
}
