import { McpBuildError } from '../../errors/index.ts';
import { jsonc } from './jsonc.ts';
import { type Change, isRecord, SyntaxFault, type Value, valueAt } from './syntax.ts';
import { toml } from './toml.ts';

/** How a client is told to start one server. */
export interface Started {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Variables whose values the user has yet to give. */
  readonly secrets: readonly string[];
}

export const CLIENTS = {
  claude: { title: 'Claude Desktop', section: ['mcpServers'] },
  'claude-code': { title: 'Claude Code (.mcp.json)', section: ['mcpServers'] },
  cursor: { title: 'Cursor', section: ['mcpServers'] },
  windsurf: { title: 'Windsurf', section: ['mcpServers'] },
  vscode: { title: 'VS Code (.vscode/mcp.json)', section: ['servers'] },
  zed: { title: 'Zed', section: ['context_servers'] },
  gemini: { title: 'Gemini CLI', section: ['mcpServers'] },
  codex: { title: 'Codex (config.toml)', section: ['mcp_servers'] },
  proxy: { title: 'TBXark’s mcp-proxy, and mcp-build’s own gateway', section: ['mcpServers'] },
} as const;

export type Client = keyof typeof CLIENTS;

export function isClient(text: string): text is Client {
  return Object.hasOwn(CLIENTS, text);
}

/** What a client's file has in its section of servers. */
export function sectionFor(client: Client, servers: readonly Started[]): Readonly<Record<string, Value>> {
  return Object.fromEntries(servers.map((server) => [server.name, entryFor(client, server)]));
}

function entryFor(client: Client, { name, command, args, env, secrets }: Started): Readonly<Record<string, Value>> {
  const variables = {
    ...env,
    ...Object.fromEntries(secrets.map((secret) => [secret, placeholder(client, name, secret)])),
  };
  return {
    ...(client === 'vscode' || client === 'claude-code' ? { type: 'stdio' } : {}),
    ...(client === 'zed' ? { source: 'custom' } : {}),
    command,
    args,
    ...(Object.keys(variables).length > 0 ? { env: variables } : {}),
  };
}

/** How a client spells "ask for it" or "as in my own environment"; where it can't, a word that says what belongs there. */
function placeholder(client: Client, server: string, secret: string): string {
  switch (client) {
    case 'vscode':
      return `\${input:${inputId(server, secret)}}`;
    case 'cursor':
    case 'windsurf':
      return `\${env:${secret}}`;
    case 'claude-code':
    case 'gemini':
    case 'proxy':
      return `\${${secret}}`;
    default:
      return `<${secret}>`;
  }
}

function inputId(server: string, secret: string): string {
  return `${server}-${secret.toLowerCase()}`;
}

interface Input {
  readonly type: 'promptString';
  readonly id: string;
  readonly description: string;
  readonly password: true;
}

/** VS Code asks for what it doesn't know, once, and keeps it in the system's keyring. */
function inputsFor(servers: readonly Started[]): readonly Input[] {
  return servers.flatMap(({ name, secrets }) =>
    secrets.map((secret) => ({
      type: 'promptString' as const,
      id: inputId(name, secret),
      description: `${secret} of ${name}`,
      password: true as const,
    })),
  );
}

/** A whole file of a client, with a final newline. */
export function fileFor(client: Client, servers: readonly Started[]): string {
  if (client === 'codex') return servers.map(tableFor).join('\n');
  const inputs = client === 'vscode' ? inputsFor(servers) : [];
  const document = {
    ...(inputs.length > 0 ? { inputs } : {}),
    [CLIENTS[client].section[0]]: sectionFor(client, servers),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function tableFor({ name, command, args, env, secrets }: Started): string {
  const key = /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
  const lines = [`[mcp_servers.${key}]`, `command = ${JSON.stringify(command)}`, `args = ${list(args)}`];
  if (Object.keys(env).length > 0)
    lines.push(
      `env = { ${Object.entries(env)
        .map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
        .join(', ')} }`,
    );
  // Codex hands these on from its own environment.
  if (secrets.length > 0) lines.push(`env_vars = ${list(secrets)}`);
  return `${lines.join('\n')}\n`;
}

function list(words: readonly string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(', ')}]`;
}

/**
 * A client's file with these servers in it; those it has under the same name are exchanged, all else is as it was.
 * @throws McpBuildError `client-file-not-rewritable`, `name-taken`
 */
export function exportInto(text: string, file: string, client: Client, servers: readonly Started[]): string {
  if (text.trim() === '') return fileFor(client, servers);
  const syntax = client === 'codex' ? toml : jsonc;
  try {
    const value = syntax.parse(text);
    const after =
      client === 'codex' ? withTables(text, value, servers) : jsonc.change(text, changesFor(client, servers, value));
    syntax.parse(after);
    return after;
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    throw new McpBuildError({
      code: 'client-file-not-rewritable',
      message: `${file} can't be changed: line ${error.line}, column ${error.column}: ${error.message}`,
      input: file,
      fix: 'Leave out --write, and put in by hand what is printed.',
    });
  }
}

function changesFor(client: Client, servers: readonly Started[], value: unknown): readonly Change[] {
  const [key] = CLIENTS[client].section;
  const entries = sectionFor(client, servers);
  const section = valueAt(value, [key]);
  const missing = client === 'vscode' ? inputsFor(servers).filter(({ id }) => !inputIds(value).has(id)) : [];
  const there = valueAt(value, ['inputs']);
  const inputs: readonly Change[] =
    missing.length === 0
      ? []
      : Array.isArray(there)
        ? missing.map((input, at) => ({ path: ['inputs', there.length + at], value: { ...input } }))
        : [{ path: ['inputs'], value: missing.map((input) => ({ ...input })) }];
  return isRecord(section)
    ? [...Object.entries(entries).map(([name, entry]) => ({ path: [key, name], value: entry })), ...inputs]
    : [{ path: [key], value: entries }, ...inputs];
}

function inputIds(value: unknown): ReadonlySet<unknown> {
  const there = valueAt(value, ['inputs']);
  return new Set(Array.isArray(there) ? there.map((input: unknown) => valueAt(input, ['id'])) : []);
}

/** New tables stand at the end, where they can't end up inside another one. */
function withTables(text: string, value: unknown, servers: readonly Started[]): string {
  const taken = servers.find(({ name }) => valueAt(value, ['mcp_servers', name]) !== undefined);
  if (taken) {
    throw new McpBuildError({
      code: 'name-taken',
      message: `There is a server called ${taken.name} already`,
      input: taken.name,
      fix: 'Take its table out first.',
    });
  }
  return `${text}${text.endsWith('\n') ? '' : '\n'}\n${fileFor('codex', servers)}`;
}
