import { isDeepStrictEqual } from 'node:util';
import { Document, isMap, isNode, parseDocument, type YAMLMap } from 'yaml';
import type { z } from 'zod';
import { McpBuildError, nearest } from '../../../errors/index.ts';
import { pairOf } from './position.ts';
import { parseManifest } from './read.ts';
import { MANIFEST_VERSION, type manifestSchema } from './schema.ts';

/** A server as it is written into a manifest. */
export type NewServer = z.input<typeof manifestSchema>['servers'][string];

/** Of the names that an error lists. */
const NAMED = 20;

const HEADER = `# The MCP servers this team allows. \`mcp-build lock\` pins them, \`mcp-build publish\` builds, signs and pushes them.
version: ${MANIFEST_VERSION}
`;

/**
 * The manifest with one server more, every other byte as it was. @param text undefined makes a new one @param file names it in errors
 * @throws McpBuildError `name-taken`, and what `parseManifest` throws when the outcome isn't a manifest
 */
export function addServer(text: string | undefined, file: string, name: string, server: NewServer): string {
  const before = text === undefined || text.trim() === '' ? HEADER : text;
  const document = parseDocument(before);
  // Says what is wrong with it, and where.
  if (document.errors.length > 0) parseManifest(before, file);
  const servers = document.get('servers', true);
  if (isMap(servers) && pairOf(servers, name)) {
    throw new McpBuildError({
      code: 'name-taken',
      message: `${file} has a server called ${name} already`,
      input: name,
      fix: 'Give the new one another name with --name, or remove the old one first.',
      exit: 2,
    });
  }
  const wanted = {
    ...(document.toJS() as object),
    servers: { ...((document.toJS() as { servers?: object }).servers ?? {}), [name]: server },
  };
  const spliced = isMap(servers) ? inserted(before, servers, name, server) : undefined;
  const after =
    spliced !== undefined && means(spliced, wanted)
      ? spliced
      : rewritten(document, (one) => {
          const empty = one.get('servers', true);
          if (!isMap(empty)) one.set('servers', one.createNode({}));
          else if (empty.items.length === 0) empty.flow = false;
          one.setIn(['servers', name], one.createNode(server));
        });
  parseManifest(after, file);
  return after;
}

/** The manifest without one server and the comment right above it. @throws McpBuildError `server-unknown` */
export function removeServer(text: string, file: string, name: string): string {
  const manifest = parseManifest(text, file);
  const names = manifest.servers.map((entry) => entry.name);
  if (!names.includes(name)) throw unknownServer(file, name, names);
  const document = parseDocument(text);
  const value = document.toJS() as { servers: Record<string, unknown> };
  const { [name]: _gone, ...rest } = value.servers;
  const servers = document.get('servers', true);
  const spliced = isMap(servers) ? cut(text, servers, name) : undefined;
  const wanted = { ...value, servers: rest };
  return spliced !== undefined && means(spliced, wanted)
    ? spliced
    : rewritten(document, (one) =>
        Object.keys(rest).length === 0 ? one.set('servers', one.createNode({})) : one.deleteIn(['servers', name]),
      );
}

/** @param names of the servers that it has */
export function unknownServer(file: string, name: string, names: readonly string[]): McpBuildError {
  const near = nearest(name, names);
  const has =
    names.length === 0
      ? 'It has none'
      : `It has ${names.slice(0, NAMED).join(', ')}${names.length > NAMED ? ', …' : ''}`;
  return new McpBuildError({
    code: 'server-unknown',
    message: `${file} has no server called ${name}`,
    input: name,
    fix: near ? `Did you mean ${near}?` : `${has}; \`mcp-build add <source>\` adds one.`,
    exit: 2,
  });
}

function means(text: string, wanted: unknown): boolean {
  const document = parseDocument(text);
  return document.errors.length === 0 && isDeepStrictEqual(document.toJS(), wanted);
}

/** Keeps comments, but not every space: for what can't be done by putting text between text. */
function rewritten(document: Document, edit: (document: Document) => unknown): string {
  edit(document);
  return document.toString({ lineWidth: 0 });
}

function inserted(text: string, servers: YAMLMap, name: string, server: NewServer): string | undefined {
  const last = servers.items.at(-1);
  if (servers.flow === true || !last || !isNode(last.key)) return undefined;
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const key = last.key.range?.[0] ?? 0;
  const end = endOf(text, valueEnd(last) ?? key);
  const indent = key - lineStart(text, key);
  const lines = new Document({ [name]: server }).toString({ lineWidth: 0 }).trimEnd().split('\n');
  const block = lines.map((line) => `${line === '' ? '' : ' '.repeat(indent)}${line}`).join(newline);
  // As the others are set apart.
  const start = regionStart(text, key);
  const apart = servers.items.length > 1 && /\n[ \t]*\r?\n$/.test(text.slice(0, start)) ? newline : '';
  const before = text.slice(0, end);
  return `${before}${before.endsWith('\n') ? '' : newline}${apart}${block}${newline}${text.slice(end)}`;
}

function cut(text: string, servers: YAMLMap, name: string): string | undefined {
  const at = servers.items.findIndex(
    (pair) => isNode(pair.key) && String((pair.key as { value?: unknown }).value) === name,
  );
  const pair = servers.items[at];
  if (servers.flow === true || servers.items.length < 2 || !pair || !isNode(pair.key)) return undefined;
  const start = regionStart(text, pair.key.range?.[0] ?? 0);
  const next = servers.items[at + 1];
  const over = endOf(text, valueEnd(pair) ?? start);
  const blank = /^(?:[ \t]*\r?\n)*/.exec(text.slice(over))?.[0].length ?? 0;
  const end = next ? over + blank : over;
  // Of the last one the blank line before it goes too.
  const from = next ? start : text.slice(0, start).replace(/(\n)(?:[ \t]*\r?\n)+$/, '$1').length;
  return text.slice(0, from) + text.slice(end);
}

function valueEnd(pair: YAMLMap['items'][number]): number | undefined {
  const node = isNode(pair.value) ? pair.value : pair.key;
  return isNode(node) ? node.range?.[1] : undefined;
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

/** Where the line that holds `offset`, or ends there, is over. */
function endOf(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset;
  const newline = text.indexOf('\n', offset);
  return newline < 0 ? text.length : newline + 1;
}

/** The first of the comment lines that stand right above a key's line: they speak of it. */
function regionStart(text: string, key: number): number {
  let start = lineStart(text, key);
  for (;;) {
    const above = lineStart(text, start - 1);
    if (start === 0 || !/^[ \t]*#/.test(text.slice(above, start))) return start;
    start = above;
  }
}
