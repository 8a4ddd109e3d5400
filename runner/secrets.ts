import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { McpBuildError } from '../errors/index.ts';
import { readBounded } from '../files/index.ts';

/** In bytes. A secret is a token or a key, not a database. */
const LIMIT = 64 * 1024;
/** For a command to answer, in milliseconds: a password manager may ask its user first. */
const TIMEOUT = 60_000;

export interface SecretSources {
  /** The user's own variables. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly platform?: NodeJS.Platform;
  readonly signal?: AbortSignal;
}

/**
 * The value behind a reference, in the place where the user keeps it:
 * `env:NAME`, `file:/path`, `keyring:service/account`, `op://vault/item/field` (1Password), `exec:command argument…` (its standard output).
 * References come from the user's command line and own configuration only, as `exec:` is what it says.
 * @throws McpBuildError `secret-unavailable`, `secret-invalid`; neither holds anything of a value
 */
export async function resolveSecret(reference: string, sources: SecretSources): Promise<string> {
  if (reference.startsWith('op://')) return command(reference, ['op', 'read', '--no-newline', reference], sources);
  const colon = reference.indexOf(':');
  const rest = reference.slice(colon + 1);
  switch (colon < 0 ? '' : reference.slice(0, colon)) {
    case 'env':
      return checked(reference, sources.environment[rest]);
    case 'file':
      return fromFile(reference, rest);
    case 'keyring':
      return command(reference, keyring(reference, rest, sources.platform ?? process.platform), sources);
    case 'exec':
      return command(reference, words(reference, rest), sources);
    default:
      throw invalid(reference, 'names no source of secrets');
  }
}

async function fromFile(reference: string, path: string): Promise<string> {
  if (!isAbsolute(path)) throw invalid(reference, 'needs an absolute path');
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      throw new McpBuildError({
        code: 'secret-exposed',
        message: `Others may read ${path}`,
        input: reference,
        fix: `Run: chmod 600 ${path}`,
      });
    }
    return checked(reference, (await readBounded(path, LIMIT)).toString('utf8').replace(/\r?\n$/, ''));
  } catch (cause) {
    if (cause instanceof McpBuildError) throw cause;
    throw unavailable(reference, (cause as NodeJS.ErrnoException).code ?? 'it could not be read', cause);
  }
}

function keyring(reference: string, entry: string, platform: NodeJS.Platform): readonly string[] {
  const slash = entry.indexOf('/');
  const [service, account] = [entry.slice(0, slash), entry.slice(slash + 1)];
  if (slash <= 0 || account === '') throw invalid(reference, 'needs a service and an account');
  return platform === 'darwin'
    ? ['security', 'find-generic-password', '-s', service, '-a', account, '-w']
    : ['secret-tool', 'lookup', 'service', service, 'account', account];
}

/** Words with spaces between, or in quotes. There is no shell: nothing is expanded. */
function words(reference: string, text: string): readonly string[] {
  const list = [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
  if (list.length === 0 || /^["']|["']$/.test(list.at(-1) ?? '')) throw invalid(reference, 'is not a command');
  return list;
}

async function command(reference: string, argv: readonly string[], sources: SecretSources): Promise<string> {
  const [program = '', ...args] = argv;
  const { spawn } = await import('node:child_process');
  const output = await new Promise<Buffer>((resolve, reject) => {
    const child = spawn(program, args, {
      // What it asks goes to the terminal of the user; what it complains of may hold half a secret, and stays there, too.
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...sources.environment },
      timeout: TIMEOUT,
      killSignal: 'SIGKILL',
      ...(sources.signal ? { signal: sources.signal } : {}),
    });
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > LIMIT) child.kill('SIGKILL');
      else chunks.push(chunk);
    });
    child.once('error', (cause: NodeJS.ErrnoException) =>
      reject(unavailable(reference, cause.code === 'ENOENT' ? `${program} is not installed` : cause.message, cause)),
    );
    child.once('close', (code, signal) => {
      if (size > LIMIT) reject(unavailable(reference, `${program} printed more than ${LIMIT} bytes`));
      else if (code !== 0) reject(unavailable(reference, `${program} ended with ${signal ?? code}`));
      else resolve(Buffer.concat(chunks));
    });
  });
  return checked(reference, output.toString('utf8').replace(/\r?\n$/, ''));
}

function checked(reference: string, value: string | undefined): string {
  if (value === undefined || value === '') throw unavailable(reference, 'there is nothing in it');
  if (value.includes('\0')) throw unavailable(reference, 'it holds a NUL, which no variable can');
  return value;
}

function unavailable(reference: string, reason: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'secret-unavailable',
    message: `Secret ${shown(reference)} is not to be had: ${reason}`,
    input: shown(reference),
    fix: 'Store it there, or name another place: env:NAME, file:/path, keyring:service/account, op://vault/item/field, exec:command.',
    ...(cause === undefined ? {} : { cause }),
  });
}

function invalid(reference: string, reason: string): McpBuildError {
  return new McpBuildError({
    code: 'secret-invalid',
    message: `Secret reference "${shown(reference)}" ${reason}`,
    input: shown(reference),
    fix: 'Write env:NAME, file:/absolute/path, keyring:service/account, op://vault/item/field or exec:command argument.',
    exit: 2,
  });
}

/** Someone may have written the secret itself where its reference belongs, or put a token among a command's arguments. */
function shown(reference: string): string {
  const known = /^(env:[A-Za-z0-9_]+|file:\S+|keyring:\S+|op:\/\/\S+)$/.exec(reference);
  if (known) return reference;
  const program = /^exec:(\S+)/.exec(reference)?.[1];
  return program ? `exec:${program} …` : '(not shown)';
}
