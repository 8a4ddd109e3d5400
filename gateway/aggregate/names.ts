import { isObject, type Params, textOf } from '../rpc/message.ts';

/** Between a server's name and a tool's: letters that every client and model takes. */
const BETWEEN = '__';

/** How the things of many servers are called under one address. */
export interface Names {
  /** Of tools and prompts. */
  name(server: string, own: string): string;
  /** @returns undefined where no server's name stands before it */
  split(name: string): Split | undefined;
  uri(server: string, own: string): string;
  splitUri(uri: string): Split | undefined;
}

export interface Split {
  readonly server: string;
  /** As the server itself calls it. */
  readonly own: string;
}

/**
 * `files__read_file`, and `files+file:///notes` for resources: a URI that stays one, since the server's name becomes part of its scheme. What two
 * servers call the same is told apart by that; where one server's name begins with another's, the longer is meant.
 */
export function names(servers: readonly string[]): Names {
  const byLength = [...servers].sort((a, b) => b.length - a.length);
  const schemes = new Map<string, string>();
  const ofServer = new Map<string, string>();
  for (const server of servers) {
    let scheme = schemeOf(server);
    for (let more = 2; schemes.has(scheme); more += 1) scheme = `${schemeOf(server)}-${more}`;
    schemes.set(scheme, server);
    ofServer.set(server, scheme);
  }
  return {
    name: (server, own) => `${server}${BETWEEN}${own}`,
    split(name) {
      const server = byLength.find((each) => name.startsWith(`${each}${BETWEEN}`));
      return server === undefined ? undefined : { server, own: name.slice(server.length + BETWEEN.length) };
    },
    uri: (server, own) => `${ofServer.get(server)}+${own}`,
    splitUri(uri) {
      const plus = uri.indexOf('+');
      // Schemes are the same in capitals, and some clients write them small.
      const server = plus < 0 ? undefined : schemes.get(uri.slice(0, plus).toLowerCase());
      return server === undefined ? undefined : { server, own: uri.slice(plus + 1) };
    },
  };
}

/** What may stand in a scheme (RFC 3986): a letter, then letters, digits, dots and hyphens. */
function schemeOf(server: string): string {
  const plain = server.toLowerCase().replace(/[^a-z0-9.-]/g, '-');
  return /^[a-z]/.test(plain) ? plain : `s${plain}`;
}

/** An item of a list under its name here. */
export function renamed(kind: ListKind, item: unknown, server: string, by: Names): unknown {
  if (!isObject(item)) return item;
  switch (kind) {
    case 'tools':
    case 'prompts':
      return { ...item, name: by.name(server, textOf(item.name)) };
    case 'resources':
      return { ...item, uri: by.uri(server, textOf(item.uri)) };
    case 'resourceTemplates':
      return { ...item, uriTemplate: by.uri(server, textOf(item.uriTemplate)) };
  }
}

export type ListKind = 'tools' | 'prompts' | 'resources' | 'resourceTemplates';

/** Resources that a result speaks of or brings along, under their URIs here: a client may want to read them. */
export function relinked(result: Params, server: string, by: Names): Params {
  const block = (value: unknown): unknown => {
    if (!isObject(value)) return value;
    if (value.type === 'resource_link') return withUri(value, server, by);
    if (value.type === 'resource' && isObject(value.resource)) {
      return { ...value, resource: withUri(value.resource, server, by) };
    }
    return value;
  };
  const { content, contents, messages } = result;
  return {
    ...result,
    ...(Array.isArray(content) ? { content: content.map(block) } : {}),
    ...(Array.isArray(contents)
      ? { contents: contents.map((each) => (isObject(each) ? withUri(each, server, by) : each)) }
      : {}),
    ...(Array.isArray(messages)
      ? { messages: messages.map((each) => (isObject(each) ? { ...each, content: block(each.content) } : each)) }
      : {}),
  };
}

function withUri(value: Params, server: string, by: Names): Params {
  return typeof value.uri === 'string' ? { ...value, uri: by.uri(server, value.uri) } : value;
}
