import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { looksLikeSource, PLATFORMS, parseServerName, parseSource } from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded } from '../../files/index.ts';
import type { ToolList } from '../../vetting/index.ts';
import { hasLock, type LockFolder, lockFolderOf, readLockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';
import { lockSource } from './lock.ts';

/** One server that an audit looks at. */
export interface Target {
  readonly name: string;
  readonly folder: LockFolder;
  /** Where its lock lies; undefined for one that was made for the audit only. */
  readonly path: string | undefined;
  readonly tools: ToolList | undefined;
}

export interface TargetOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
  readonly now: Date;
  readonly progress?: (line: string) => void;
}

/** A command of an MCP client's configuration that starts a package. */
export interface ConfiguredServer {
  readonly name: string;
  /** `npm:…` or `pypi:…`, or what `mcp-build run` is given; undefined where the command starts something else. */
  readonly source: string | undefined;
  /** Whether it starts by a lock: through mcp-build. */
  readonly pinned: boolean;
  /** Undefined where it is an address, or anything else than a command. */
  readonly command: string | undefined;
}

/** What a word on the command line means: a lock's name or folder, a source, or an MCP client's configuration. @throws McpBuildError `audit-target` */
export async function targetKind(text: string, workspace: string): Promise<'source' | 'lock' | 'config' | 'image'> {
  // A file that other commands would take for a server.json is a client's configuration here.
  if (text.endsWith('.json') && !text.includes('://')) return basename(text) === 'image.lock.json' ? 'lock' : 'config';
  if (looksLikeSource(text)) return 'source';
  if (await hasLock(folderOf(text, workspace))) return 'lock';
  return 'image';
}

export function folderOf(text: string, workspace: string): string {
  if (basename(text) === 'image.lock.json') return dirname(resolve(workspace, text));
  return text.includes('/') ? resolve(workspace, text) : lockFolderOf(workspace, text);
}

export async function lockTarget(text: string, { workspace }: TargetOptions): Promise<Target> {
  const path = folderOf(text, workspace);
  if (!text.includes('/')) parseServerName(text);
  const folder = await readLockFolder(path);
  return { name: folder.lock.name, folder, path, tools: await toolsAt(join(path, 'tools.json')) };
}

/** The tree that a source would be locked to today, of whatever age: what it is, is what the audit is to say. */
export async function sourceTarget(text: string, options: TargetOptions): Promise<Target> {
  const locked = await lockSource(parseSource(text), {
    platforms: PLATFORMS,
    releaseAge: 0,
    home: options.home,
    environment: options.environment,
    workspace: options.workspace,
    bytecode: false,
    now: options.now,
    ...(options.progress ? { progress: options.progress } : {}),
  });
  return { name: locked.lock.name, folder: locked, path: undefined, tools: undefined };
}

/** A file that the user named: that it can't be read is an answer, not an accident. @throws McpBuildError `file-unreadable` */
export async function readNamed(path: string, what: string, limit = 64 * 1024 * 1024): Promise<string> {
  try {
    return (await readBounded(path, limit)).toString('utf8');
  } catch (error) {
    if (error instanceof McpBuildError) throw error;
    throw new McpBuildError({
      code: 'file-unreadable',
      message: `The ${what} ${path} can't be read: ${(error as Error).message}`,
      input: path,
      fix: 'Check its name.',
      exit: 2,
      cause: error,
    });
  }
}

const items = z.array(z.object({ name: z.string(), digest: z.string(), definition: z.unknown() })).default([]);
const toolsSchema = z.object({
  instructions: z.string().nullable().default(null),
  tools: items,
  prompts: items,
  resources: items,
  resourceTemplates: items,
});
const LISTS = Object.keys(toolsSchema.shape);

/** A `tools.json` that `mcp-build test` wrote; undefined where there is none. @throws McpBuildError `tools-invalid` */
export async function toolsAt(path: string): Promise<ToolList | undefined> {
  const exists = await stat(path).catch(() => undefined);
  if (!exists) return undefined;
  return parseTools((await readBounded(path, 64 * 1024 * 1024)).toString('utf8'), path);
}

/** @throws McpBuildError `tools-invalid` */
export function parseTools(text: string, path: string): ToolList {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = toolsSchema.safeParse(value);
  // Each of them may be missing; a document with none is another one, and would pass for a server that offers nothing.
  if (parsed.success && LISTS.some((name) => Object.hasOwn(value as object, name))) return parsed.data;
  throw new McpBuildError({
    code: 'tools-invalid',
    message: `${path} is not a list of tools`,
    input: path,
    fix: 'Write it again with `mcp-build test`.',
    exit: 2,
  });
}

const configSchema = z.object({
  mcpServers: z.record(z.string(), z.unknown()).optional(),
  servers: z.record(z.string(), z.unknown()).optional(),
  mcp: z.object({ servers: z.record(z.string(), z.unknown()) }).optional(),
});
const entrySchema = z.object({ command: z.string(), args: z.array(z.string()).default([]) });

/** The servers of an MCP client's configuration, in the spellings of the usual clients. @throws McpBuildError `config-invalid`, `file-unreadable` */
export async function configuredServers(path: string): Promise<readonly ConfiguredServer[]> {
  const text = await readNamed(path, 'configuration', 4 * 1024 * 1024);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = configSchema.safeParse(value).data;
  const servers = parsed?.mcpServers ?? parsed?.servers ?? parsed?.mcp?.servers;
  if (!servers) {
    throw new McpBuildError({
      code: 'config-invalid',
      message: `${path} is not the configuration of an MCP client: it has no mcpServers`,
      input: path,
      fix: 'Name the file in which your client lists its servers, a lock’s name, or a source.',
      exit: 2,
    });
  }
  return Object.entries(servers).map(([name, entry]) => {
    const said = entrySchema.safeParse(entry).data;
    if (!said) return { name, source: undefined, pinned: false, command: undefined };
    const words = [said.command, ...said.args];
    return { name, ...sourceOf(words), command: words.slice(0, 4).join(' ') };
  });
}

/** The name or reference in `run --env KEY name -- arguments`: its only word that no option stands before, else nobody can tell. */
function startedBy(args: readonly string[]): string | undefined {
  const own = args.slice(args.indexOf('run') + 1);
  const words = own.slice(0, own.includes('--') ? own.indexOf('--') : undefined);
  const names = words.filter(
    (word, at) => !word.startsWith('-') && !(words[at - 1]?.startsWith('-') && !words[at - 1]?.includes('=')),
  );
  return args.includes('run') && names.length === 1 ? names[0] : undefined;
}

function sourceOf([program = '', ...args]: readonly string[]): { source: string | undefined; pinned: boolean } {
  const tool = basename(program).replace(/\.(?:cmd|exe)$/, '');
  const plain = args.filter((word) => !word.startsWith('-'));
  if (tool === 'mcp-build' || args.includes('mcp-build')) {
    return { source: args.find((word) => looksLikeSource(word)) ?? startedBy(args), pinned: true };
  }
  if (tool === 'npx' || tool === 'bunx' || tool === 'pnpx') {
    return { source: plain[0] === undefined ? undefined : `npm:${plain[0]}`, pinned: false };
  }
  if (tool === 'uvx' || (tool === 'pipx' && plain[0] === 'run')) {
    const from = args.indexOf('--from');
    const word = from >= 0 ? args[from + 1] : tool === 'pipx' ? plain[1] : plain[0];
    return { source: word === undefined ? undefined : `pypi:${word}`, pinned: false };
  }
  return { source: undefined, pinned: false };
}
