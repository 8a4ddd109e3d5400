import { Command, Option } from 'commander';
import { McpBuildError } from '../errors/index.ts';
import {
  createToken,
  parseDuration,
  ROLE_NAMES,
  type Role,
  readTokens,
  revokeToken,
  type StoredToken,
} from '../gateway/index.ts';
import { homeOf } from './line/home.ts';
import { tokensFile } from './line/serve.ts';
import { examples, jsonOption, repeated, usage } from './options.ts';
import { table, terminal } from './terminal.ts';

export function tokenCommand(): Command {
  return new Command('token')
    .summary('say who may use the gateway')
    .description(
      'Tokens for clients of `mcp-build serve`. They are kept as hashes only, and a running gateway takes over every change at once.',
    )
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand());
}

interface CreateOptions {
  readonly server?: readonly string[];
  readonly tool?: readonly string[];
  readonly role?: readonly Role[];
  readonly expires?: number;
  readonly rotate?: boolean;
  readonly grace: number;
  readonly json?: boolean;
}

function createCommand(): Command {
  return new Command('create')
    .summary('make a token and print it, this once')
    .argument('<name>', 'whose it is: a person or a device')
    .addOption(repeated('--server <name>', 'a server it is good for; all without', (word) => word))
    .addOption(repeated('--tool <server/tool>', 'a tool it may call, or server/*; all without', tool))
    .addOption(
      repeated(
        '--role <role>',
        'caller (calls servers), viewer (sees status and metrics), operator (also stops and restarts) or admin (all of it); without, admin, or caller where there are limits',
        role,
      ),
    )
    .addOption(new Option('--expires <duration>', 'how long it is good for, as in 12h or 30d').argParser(duration))
    .option(
      '--rotate',
      'replace the token of this name by one for the same, which lasts as long; the old one stays good for the time of --grace',
    )
    .addOption(new Option('--grace <duration>', 'see --rotate').default(86_400_000, '24h').argParser(duration))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['mcp-build token create phone', 'for everything'],
        ['mcp-build token create agent --server github --tool github/get_issue --expires 30d', 'for one tool, a month'],
        ['mcp-build token create prometheus --role viewer', 'sees metrics, calls nothing'],
        ['mcp-build token create phone --rotate --grace 1h', 'a new one; the old one ends in an hour'],
      ),
    )
    .action(async (name: string, options: CreateOptions) => {
      const out = terminal(options);
      const { token, stored } = await createToken(tokensFile(homeOf({ ...process.env })), {
        name,
        lifetime: options.expires,
        servers: options.server ?? null,
        tools: options.tool ?? null,
        roles: options.role,
        rotate: options.rotate ? options.grace : undefined,
      });
      const { hash: _hash, ...shown } = stored;
      await out.result({ ...shown, token }, token);
      out.note('it is shown this once; clients send it as Authorization: Bearer …');
    });
}

function listCommand(): Command {
  return new Command('list')
    .summary('list tokens: names and dates, never the tokens')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build token list', 'all there are']))
    .action(async (options: { readonly json?: boolean }) => {
      const tokens = await readTokens(tokensFile(homeOf({ ...process.env })));
      const shown = tokens.map(({ hash: _hash, ...rest }) => rest);
      await terminal(options).result(
        { tokens: shown },
        tokens.length === 0
          ? 'there is no token'
          : table([['ID', 'NAME', 'EXPIRES', 'ROLE', 'FOR'], ...tokens.map(row)]),
      );
    });
}

function revokeCommand(): Command {
  return new Command('revoke')
    .summary('end tokens at once')
    .argument('<id|name>', 'one token by its id, or all of a name')
    .addOption(jsonOption())
    .addHelpText('after', examples(['mcp-build token revoke phone', 'the phone was lost']))
    .action(async (which: string, options: { readonly json?: boolean }) => {
      const gone = await revokeToken(tokensFile(homeOf({ ...process.env })), which);
      const ids = gone.map(({ id }) => id);
      await terminal(options).result({ revoked: ids }, `revoked ${ids.join(', ')}`);
    });
}

function row({ id, name, expires, servers, tools, roles }: StoredToken): readonly string[] {
  const ended = expires !== null && Date.parse(expires) <= Date.now();
  const good = tools?.join(' ') ?? servers?.join(' ') ?? 'everything';
  const role = roles?.join(' ') ?? (servers === null && tools === null ? 'admin' : 'caller');
  return [id, name, expires === null ? 'never' : ended ? 'expired' : expires.slice(0, 16), role, good];
}

function duration(word: string): number {
  return usage(() => {
    const milliseconds = parseDuration(word);
    if (milliseconds !== undefined && milliseconds > 0) return milliseconds;
    throw new McpBuildError({
      code: 'duration-invalid',
      message: `"${word}" is no duration`,
      input: word,
      fix: 'Write it as 30m, 12h or 30d',
      exit: 2,
    });
  });
}

function role(word: string): Role {
  const found = ROLE_NAMES.find((name) => name === word);
  if (found) return found;
  throw new McpBuildError({
    code: 'role-unknown',
    message: `"${word}" is no role`,
    input: word,
    fix: `Write one of ${ROLE_NAMES.join(', ')}`,
    exit: 2,
  });
}

function tool(word: string): string {
  if (/^[\w.-]+\/.+$/.test(word)) return word;
  throw new McpBuildError({
    code: 'tool-invalid',
    message: `"${word}" names no tool`,
    input: word,
    fix: 'Write server/tool, or server/* for all of a server',
    exit: 2,
  });
}
