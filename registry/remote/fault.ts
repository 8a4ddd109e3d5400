import { McpBuildError } from '../../errors/index.ts';

/** A failure that may be gone in a moment: after the last attempt it is thrown as the `registry-unavailable` that it is. */
export class TransientError extends McpBuildError {
  /** What the registry asked to wait, in milliseconds. */
  readonly retryAfter: number | undefined;

  constructor(message: string, input: string, retryAfter?: number, cause?: unknown) {
    super({
      code: 'registry-unavailable',
      message,
      input,
      fix: 'Check that the registry is up and can be reached from here (HTTPS_PROXY, NO_PROXY), then try again.',
      exit: 5,
      ...(cause === undefined ? {} : { cause }),
    });
    this.retryAfter = retryAfter;
  }
}

/** A registry that answers, but not in its protocol. */
export function protocolFault(input: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'registry-unavailable',
    message: `${input} ${reason}`,
    input,
    fix: 'Check that this is a container registry, and that nothing between here and there answers in its place.',
    exit: 5,
    ...(cause === undefined ? {} : { cause }),
  });
}

export function unauthorized(name: string, registry: string, details: string, known: boolean): McpBuildError {
  return new McpBuildError({
    code: 'unauthorized',
    message: `${name} refused ${known ? 'the credentials that are kept for it' : 'a request without credentials'}${details}`,
    input: name,
    fix: known
      ? `Check that this account may do that, or log in to ${registry} again.`
      : `Log in first: \`mcp-build login ${registry}\`. What Docker, skopeo and credential helpers keep is used as well.`,
    exit: 5,
  });
}

export function plainHttpRefused(host: string): McpBuildError {
  return new McpBuildError({
    code: 'plain-http-refused',
    message: `${host} speaks plain HTTP, and it is not on this machine`,
    input: host,
    fix: 'Give the registry a certificate, or allow plain HTTP for it where that is meant (--plain-http).',
    exit: 5,
  });
}

export function addressRefused(host: string, registry: string): McpBuildError {
  return new McpBuildError({
    code: 'address-refused',
    message: `${registry} sends its clients to ${host}, an address inside this network`,
    input: host,
    fix: 'A public registry has no reason to name private addresses: report it to whoever runs it.',
    exit: 5,
  });
}

/** One line of text from outside, fit for a terminal: without what moves a cursor or turns the direction of writing. */
export function oneLine(text: string, length = 200): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, length);
}
