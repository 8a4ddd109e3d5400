import { stat } from 'node:fs/promises';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded } from '../../files/index.ts';

/** In bytes. */
const LIMIT = 8 * 1024 * 1024;
const TIMEOUT = 30_000;

/** A text that may hold a token: what others on this machine must not read. */
const SECRET = /"(?:authTokens|globalAuthTokens|env|headers|oauth)"\s*:/;

/**
 * The text of a configuration, from a file or an http(s) URL.
 * @throws McpBuildError `config-unreadable`, `config-readable-by-others`, `too-large`
 */
export async function loadConfig(place: string): Promise<string> {
  return /^https?:\/\//.test(place) ? fromUrl(place) : fromFile(place);
}

async function fromFile(path: string): Promise<string> {
  try {
    const { mode } = await stat(path);
    const text = (await readBounded(path, LIMIT)).toString('utf8');
    if (process.platform !== 'win32' && (mode & 0o044) !== 0 && SECRET.test(text)) throw readable(path, mode);
    return text;
  } catch (error) {
    if (error instanceof McpBuildError) throw error;
    throw unreadable(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
}

async function fromUrl(url: string): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT), redirect: 'error' });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of response.body ?? []) {
      size += part.length;
      if (size > LIMIT) throw new Error(`it has more than ${LIMIT} bytes`);
      parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
  } catch (cause) {
    const inner = (cause as Error).cause;
    throw unreadable(withoutSecrets(url), inner instanceof Error ? inner.message : (cause as Error).message, 5);
  }
}

/** A user, a password and a query may be secrets, and errors end up in logs. */
function withoutSecrets(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

function readable(path: string, mode: number): McpBuildError {
  return new McpBuildError({
    code: 'config-readable-by-others',
    message: `${path} may hold tokens or keys, and others on this machine may read it (mode ${(mode & 0o777).toString(8)})`,
    input: path,
    fix: `Run \`chmod 600 ${path}\`.`,
    exit: 2,
  });
}

function unreadable(input: string, why: string, exit: 2 | 5 = 2): McpBuildError {
  return new McpBuildError({
    code: 'config-unreadable',
    message: `The configuration ${input} can't be read: ${why}`,
    input,
    fix: 'Check the path or the address.',
    exit,
  });
}
