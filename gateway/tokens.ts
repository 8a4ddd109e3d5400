import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { McpBuildError } from '../errors/index.ts';
import { readBounded, withFileLock, writeAtomic } from '../files/index.ts';
import { type Identity, powersOf, ROLE_NAMES, type Role } from './identity.ts';

/** What is kept of a token: never itself. 256 random bits need no slow hash. */
export interface StoredToken {
  readonly id: string;
  readonly name: string;
  /** SHA-256 of the token, in hex. */
  readonly hash: string;
  readonly created: string;
  readonly expires: string | null;
  readonly servers: readonly string[] | null;
  readonly tools: readonly string[] | null;
  /** Without: a caller, or where there are no limits, an admin. */
  readonly roles?: readonly Role[] | undefined;
}

const PREFIX = 'mcpb_';
const name = z.string().regex(/^[\w.-]{1,64}$/);
const date = z.iso.datetime();
const schema = z.strictObject({
  version: z.literal(1),
  tokens: z
    .array(
      z.strictObject({
        id: z.string().regex(/^[0-9a-f]{8}$/),
        name,
        hash: z.string().regex(/^[0-9a-f]{64}$/),
        created: date,
        expires: date.nullable(),
        servers: z.array(z.string().max(200)).max(200).nullable(),
        tools: z.array(z.string().max(400)).max(2000).nullable(),
        roles: z.array(z.enum(ROLE_NAMES)).max(ROLE_NAMES.length).optional(),
      }),
    )
    .max(10_000),
});

/** In bytes. */
const LIMIT = 16 * 1024 * 1024;

/** @throws McpBuildError `tokens-invalid` */
export async function readTokens(path: string): Promise<readonly StoredToken[]> {
  let text: string;
  try {
    text = (await readBounded(path, LIMIT)).toString('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  try {
    return schema.parse(JSON.parse(text)).tokens;
  } catch (cause) {
    throw new McpBuildError({
      code: 'tokens-invalid',
      message: `${path} does not hold this program's tokens`,
      input: path,
      fix: 'Restore it from a backup, or remove it and make new tokens.',
      cause,
    });
  }
}

export interface NewToken {
  readonly name: string;
  /** In milliseconds from now; undefined for never. */
  readonly lifetime: number | undefined;
  readonly servers: readonly string[] | null;
  readonly tools: readonly string[] | null;
  readonly roles?: readonly Role[] | undefined;
  /**
   * Replaces the token of this name, which ends after so many milliseconds: what isn't given is as it was there. Undefined for a token that replaces
   * none.
   */
  readonly rotate: number | undefined;
}

/**
 * Makes a token; the text is given out this once.
 * @throws McpBuildError `token-name-invalid`, `token-exists`, `token-unknown` where none is to be replaced, `tokens-invalid`
 */
export async function createToken(
  path: string,
  given: NewToken,
  now = new Date(),
): Promise<{ readonly token: string; readonly stored: StoredToken }> {
  if (!name.safeParse(given.name).success) {
    throw new McpBuildError({
      code: 'token-name-invalid',
      message: `"${given.name}" can't be a token's name`,
      input: given.name,
      fix: 'Use up to 64 letters, digits, dots, hyphens and underscores.',
      exit: 2,
    });
  }
  const token = PREFIX + randomBytes(32).toString('base64url');
  let stored = storedToken(token, given, now);
  await change(path, (tokens) => {
    const kept = tokens.filter(({ expires }) => expires === null || Date.parse(expires) > now.getTime());
    if (given.rotate === undefined) {
      if (kept.some((each) => each.name === given.name)) throw exists(given.name);
      return [...kept, stored];
    }
    // The last one made is the one that isn't on its way out.
    const replaced = kept.findLast((each) => each.name === given.name);
    if (!replaced) throw unknown(given.name, 'Make it without --rotate.');
    stored = storedToken(token, asBefore(given, replaced), now);
    const end = new Date(now.getTime() + given.rotate).toISOString();
    const ending = kept.map((each) =>
      each.name === given.name && (each.expires === null || each.expires > end) ? { ...each, expires: end } : each,
    );
    return [...ending, stored];
  });
  return { token, stored };
}

function storedToken(
  token: string,
  { name: whose, lifetime, servers, tools, roles }: NewToken,
  now: Date,
): StoredToken {
  return {
    id: randomBytes(4).toString('hex'),
    name: whose,
    hash: hashToken(token),
    created: now.toISOString(),
    expires: lifetime === undefined ? null : new Date(now.getTime() + lifetime).toISOString(),
    servers,
    tools,
    ...(roles ? { roles } : {}),
  };
}

/** What replaces a token may do what that one may, and no more, unless it is said. */
function asBefore(given: NewToken, { created, expires, servers, tools, roles }: StoredToken): NewToken {
  const limits =
    given.servers === null && given.tools === null && given.roles === undefined ? { servers, tools, roles } : {};
  const before = expires === null ? undefined : Date.parse(expires) - Date.parse(created);
  return { ...given, ...limits, lifetime: given.lifetime ?? before };
}

/** Ends tokens at once, by id or name. @returns what was ended. @throws McpBuildError `token-unknown`, `tokens-invalid` */
export async function revokeToken(path: string, which: string): Promise<readonly StoredToken[]> {
  let gone: readonly StoredToken[] = [];
  await change(path, (tokens) => {
    gone = tokens.filter((each) => each.id === which || each.name === which);
    return tokens.filter((each) => !gone.includes(each));
  });
  if (gone.length > 0) return gone;
  throw unknown(which, 'See those there are with `mcp-build token list`.');
}

export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

export function identityOf(stored: StoredToken): Identity {
  const { roles, servers, tools } = stored;
  return {
    id: stored.id,
    name: stored.name,
    expires: stored.expires === null ? undefined : Date.parse(stored.expires),
    servers: servers === null ? undefined : new Set(servers),
    tools: tools === null ? undefined : new Set(tools),
    ...(roles ? { powers: powersOf(roles, servers ?? undefined, tools ?? undefined) } : {}),
  };
}

async function change(path: string, edit: (tokens: readonly StoredToken[]) => readonly StoredToken[]): Promise<void> {
  await withFileLock(`${path}.lock`, async () => {
    const tokens = edit(await readTokens(path));
    await writeAtomic(path, `${JSON.stringify({ version: 1, tokens }, undefined, 2)}\n`, 0o600);
  });
}

function unknown(which: string, fix: string): McpBuildError {
  return new McpBuildError({
    code: 'token-unknown',
    message: `There is no token ${which}`,
    input: which,
    fix,
    exit: 2,
  });
}

function exists(given: string): McpBuildError {
  return new McpBuildError({
    code: 'token-exists',
    message: `There is a token named ${given} already`,
    input: given,
    fix: `Give another name, or replace it with \`mcp-build token create ${given} --rotate\`.`,
    exit: 2,
  });
}
