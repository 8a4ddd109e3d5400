import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded, writeAtomic } from '../../files/index.ts';

/** What is kept of a login at a server elsewhere. */
export interface Login {
  /** Of the server, without query: to no other is anything of this sent. */
  readonly server: string;
  /** Of the authorization server, by its own metadata: no other gets the client's secret or a refresh token. */
  readonly issuer: string;
  /** Registered by this program, where the configuration names no client. */
  readonly client?: OAuthClient | undefined;
  readonly tokens?: OAuthTokens | undefined;
}

export interface OAuthClient {
  readonly id: string;
  readonly secret?: string | undefined;
  readonly authMethod?: string | undefined;
}

export interface OAuthTokens {
  readonly access: string;
  readonly type: string;
  readonly refresh?: string | undefined;
  readonly scope?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly expires?: number | undefined;
}

/** Where a login is kept. */
export interface LoginStore {
  read(): Promise<Login | undefined>;
  write(login: Login): Promise<void>;
}

const text = z
  .string()
  .min(1)
  .max(64 * 1024);
const schema = z.strictObject({
  version: z.literal(1),
  server: text,
  issuer: text,
  client: z.strictObject({ id: text, secret: text.optional(), authMethod: text.optional() }).optional(),
  tokens: z
    .strictObject({
      access: text,
      type: text,
      refresh: text.optional(),
      scope: z
        .string()
        .max(64 * 1024)
        .optional(),
      expires: z.number().optional(),
    })
    .optional(),
});

/** In bytes. */
const LIMIT = 1024 * 1024;

/** A file of its owner alone. `read` and `write` throw McpBuildError `login-invalid` for what isn't one of these. */
export function loginFile(path: string): LoginStore {
  return {
    async read() {
      let given: string;
      try {
        given = (await readBounded(path, LIMIT)).toString('utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
      try {
        const { version: _version, ...login } = schema.parse(JSON.parse(given));
        return login;
      } catch {
        // Neither the cause, which would show a piece of it.
        throw new McpBuildError({
          code: 'login-invalid',
          message: `${path} does not hold a login of this program`,
          input: path,
          fix: 'Remove it, and log in again with `mcp-build serve --login`.',
        });
      }
    },
    write: (login) => writeAtomic(path, `${JSON.stringify({ version: 1, ...login }, undefined, 2)}\n`, 0o600),
  };
}

/** For one run. */
export function loginMemory(): LoginStore {
  let kept: Login | undefined;
  return {
    read: async () => kept,
    async write(login) {
      kept = login;
    },
  };
}
