import { z } from 'zod';
import { McpBuildError } from '../../errors/index.ts';
import { type CatalogEntry, type Entry, refused, type Shape, type Understood } from './entry.ts';
import { jsonc } from './jsonc.ts';
import { isRecord, type Path, type Syntax, SyntaxFault } from './syntax.ts';
import { toml } from './toml.ts';
import { yaml } from './yaml.ts';

/** A place of a client's file where a server is named, before it is understood. */
export type Place =
  | { readonly kind: 'entry'; readonly entry: Entry }
  | { readonly kind: 'catalog'; readonly entry: CatalogEntry }
  /** Not even a command that could be looked at. */
  | { readonly kind: 'other'; readonly name: string; readonly why: Understood & { readonly kind: 'refused' } };

export interface ClientFile {
  readonly syntax: Syntax;
  readonly places: readonly Place[];
}

/** In servers; a catalogue of all the world's has some thousands. */
const MOST = 5000;

const PLAIN: Shape = { command: ['command'], args: ['args'], env: ['env'] };
const words = z.array(z.union([z.string(), z.number(), z.boolean()]).transform(String));
const variables = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String));

/** Which of the three ways a file is written. Its name decides only where its first characters don't. */
function syntaxOf(file: string, text: string): Syntax {
  if (/\.toml$/i.test(file)) return toml;
  if (/\.ya?ml$/i.test(file)) return yaml;
  if (/\.jsonc?$/i.test(file) || /^\ufeff?(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*\{/.test(text)) return jsonc;
  return yaml;
}

/**
 * Finds the servers of a client's file by what it holds, whatever it is called.
 * @param file its name, for errors. @throws McpBuildError `client-file-invalid`, `client-file-unknown`
 */
export function readClientFile(text: string, file: string): ClientFile {
  const syntax = syntaxOf(file, text);
  let value: unknown;
  try {
    value = syntax.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    throw new McpBuildError({
      code: 'client-file-invalid',
      message: `${file} is not ${syntax.name}, or only half of it: line ${error.line}, column ${error.column}: ${error.message}`,
      input: file,
      fix: 'Mend it, or wait until the program that is writing it has finished. Nothing was changed.',
    });
  }
  const places = sectionsOf(value).flatMap(({ path, servers, read }) =>
    Object.entries(servers).map(([name, server]) => read(name, [...path, name], server)),
  );
  if (places.length > MOST || sectionsOf(value).length === 0) {
    throw new McpBuildError({
      code: 'client-file-unknown',
      message:
        places.length > MOST
          ? `${file} names ${places.length} servers`
          : `${file} names no MCP servers in a form that is known`,
      input: file,
      fix: 'Give the file in which a client lists its servers: claude_desktop_config.json, mcp.json, settings.json, config.toml, a proxy’s config.json or a catalogue.',
      exit: 2,
    });
  }
  return { syntax, places };
}

interface Section {
  readonly path: Path;
  readonly servers: Readonly<Record<string, unknown>>;
  readonly read: (name: string, path: Path, server: unknown) => Place;
}

function sectionsOf(value: unknown): readonly Section[] {
  if (!isRecord(value)) return [];
  const found: Section[] = [];
  const add = (path: Path, read: Section['read']) => {
    let servers: unknown = value;
    for (const key of path) servers = isRecord(servers) && Object.hasOwn(servers, key) ? servers[key] : undefined;
    if (isRecord(servers)) found.push({ path, servers, read });
  };
  // Claude, Cursor, Windsurf, Cline, Gemini, LM Studio, TBXark's proxy and most others.
  add(['mcpServers'], plainEntry);
  // VS Code's mcp.json, and its settings before that.
  add(['servers'], plainEntry);
  add(['mcp', 'servers'], plainEntry);
  add(['mcp.servers'], plainEntry);
  add(['context_servers'], zedEntry);
  add(['mcp_servers'], plainEntry);
  add(['extensions'], gooseEntry);
  add(['registry'], catalogEntry);
  if (isRecord(value.clients) && isRecord(value.server)) add(['clients'], proxyV1Entry);
  if (isRecord(value.mcp) && !isRecord(value.mcp.servers)) add(['mcp'], opencodeEntry);
  if (isRecord(value.projects)) {
    // Claude Code keeps those of each project, too.
    for (const project of Object.keys(value.projects)) add(['projects', project, 'mcpServers'], plainEntry);
  }
  return found;
}

function plainEntry(name: string, path: Path, server: unknown): Place {
  return entryOf(name, path, server, PLAIN);
}

/** `{command, args}`, and before that `{command: {path, args, env}}`. */
function zedEntry(name: string, path: Path, server: unknown): Place {
  const nested = isRecord(server) && isRecord(server.command);
  if (isRecord(server) && server.command === undefined && server.url === undefined)
    return other(name, 'is an extension of the editor', 'Extensions bring their own program; nothing to do.');
  return entryOf(
    name,
    path,
    server,
    nested ? { command: ['command', 'path'], args: ['command', 'args'], env: ['command', 'env'] } : PLAIN,
  );
}

function gooseEntry(name: string, path: Path, server: unknown): Place {
  if (isRecord(server) && server.type !== 'stdio')
    return other(
      name,
      `is an extension of type ${String(server.type)}`,
      'Only those that start a program have one to build.',
    );
  return entryOf(name, path, server, { command: ['cmd'], args: ['args'], env: ['envs'] });
}

function opencodeEntry(name: string, path: Path, server: unknown): Place {
  return entryOf(name, path, server, { command: ['command'], args: 'argv', env: ['environment'] });
}

/** TBXark's first form. */
function proxyV1Entry(name: string, path: Path, server: unknown): Place {
  return entryOf(name, path, server, {
    command: ['config', 'command'],
    args: ['config', 'args'],
    env: ['config', 'env'],
  });
}

function entryOf(name: string, path: Path, server: unknown, shape: Shape): Place {
  if (!isRecord(server)) return other(name, 'is no object', 'See how the client’s documentation writes it.');
  const command = at(server, shape.command);
  if (command === undefined) {
    const remote =
      at(server, ['url']) ??
      at(server, ['serverUrl']) ??
      at(server, ['httpUrl']) ??
      at(server, ['uri']) ??
      at(server, ['config', 'url']);
    if (remote !== undefined) return { kind: 'other', name, why: remoteServer };
    return other(name, 'names no command', 'See how the client’s documentation writes it.');
  }
  const parsed = z
    .object({
      command: z.string().max(4096).or(words),
      args: words.max(1000).optional(),
      env: variables.optional(),
    })
    .safeParse({
      command,
      args: shape.args === 'argv' ? undefined : (at(server, shape.args) ?? undefined),
      env: at(server, shape.env) ?? undefined,
    });
  const list = parsed.success ? [parsed.data.command].flat().concat(parsed.data.args ?? []) : [];
  if (!parsed.success || list[0] === undefined)
    return other(name, 'has a command, arguments or variables that are not words', 'Write them as strings.');
  if (Array.isArray(parsed.data.command) !== (shape.args === 'argv'))
    return other(
      name,
      'writes its command in another form than this client',
      'See how the client’s documentation writes it.',
    );
  const [first, ...args] = list;
  return { kind: 'entry', entry: { name, path, shape, command: first, args, env: parsed.data.env ?? {} } };
}

const remoteServer = refused(
  'remote-server',
  'is reached by its URL',
  'There is nothing to build; the gateway can stand in front of it.',
) as Understood & { readonly kind: 'refused' };

function other(name: string, reason: string, fix: string): Place {
  return {
    kind: 'other',
    name,
    why: refused('entry-invalid', reason, fix) as Understood & { readonly kind: 'refused' },
  };
}

function at(value: unknown, path: Path): unknown {
  let found = value;
  for (const key of path) found = isRecord(found) && Object.hasOwn(found, key) ? found[key] : undefined;
  return found;
}

// --- a catalogue of docker mcp, which is a list of images ---

const catalogSchema = z.object({
  image: z.string().max(500).optional(),
  type: z.string().optional(),
  command: words.optional(),
  env: z
    .array(
      z.object({
        name: z.string(),
        value: z.union([z.string(), z.number(), z.boolean()]).transform(String).optional(),
      }),
    )
    .optional(),
  secrets: z.array(z.object({ env: z.string() })).optional(),
  volumes: z.array(z.string()).optional(),
  allowHosts: z.array(z.string()).optional(),
});

function catalogEntry(name: string, _path: Path, server: unknown): Place {
  const parsed = catalogSchema.safeParse(server);
  if (!parsed.success)
    return other(name, 'is no entry of a catalogue', 'See how docker mcp’s documentation writes it.');
  const { image, command, env, secrets, volumes, allowHosts } = parsed.data;
  if (image === undefined) return { kind: 'other', name, why: remoteServer };
  // What is templated (`{{…}}`) is the user's to fill in.
  const templated = (text: string | undefined) => text === undefined || text.includes('{{');
  return {
    kind: 'catalog',
    entry: {
      name,
      image,
      args: (command ?? []).filter((word) => !templated(word)),
      env: Object.fromEntries(
        (env ?? []).filter(({ value }) => !templated(value)).map((variable) => [variable.name, variable.value ?? '']),
      ),
      secrets: [
        ...(secrets ?? []).map((secret) => secret.env),
        ...(env ?? []).filter(({ value }) => templated(value)).map((variable) => variable.name),
      ],
      volumes: (volumes ?? []).filter((volume) => !templated(volume)),
      hosts: allowHosts ?? [],
    },
  };
}
