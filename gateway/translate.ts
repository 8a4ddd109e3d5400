import { envelope, type Greeting, type Hello, META } from './peer.ts';
import { isObject, metaOf, type Request, renumber } from './rpc/message.ts';
import { outline, type Span, splice } from './rpc/outline.ts';

/** A 2025 client's request as the server behind is to read it. */
export function fromLegacy(request: Request, id: number, generation: Hello['generation'], greeting: Greeting): string {
  if (generation === 'legacy') return renumber(request, id);
  const { method, params } = request;
  const meta = { ...metaOf(params), ...envelope(greeting), ...(request.tokenSpan ? { progressToken: id } : {}) };
  return JSON.stringify({ jsonrpc: '2.0', id, method, params: { ...params, _meta: meta } });
}

/** A 2026 client's request as the server behind is to read it. */
export function fromModern(request: Request, id: number, generation: Hello['generation']): string {
  if (generation === 'modern') return renumber(request, id);
  const rest = Object.entries(metaOf(request.params) ?? {}).filter(([name]) => !OWN.has(name));
  const meta = Object.fromEntries(rest.map(([name, value]) => [name, name === 'progressToken' ? id : value]));
  return renumber(request, id, JSON.stringify(meta));
}

const OWN: ReadonlySet<string> = new Set([META.version, META.client, META.capabilities, META.log]);

/** What 2026 lets a client keep: nothing, where a server that doesn't know of it said nothing. */
const CACHED: ReadonlySet<string> = new Set([
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
  'resources/read',
]);

/** The answer of a 2025 server with what a 2026 client must find in it. */
export function toModern(answer: Buffer, method: string, hello: Hello): Buffer {
  if (hello.generation === 'modern') return answer;
  const text = answer.toString('latin1');
  const result = outline(text, text.indexOf('{'))?.get('result');
  if (!result || text[result.start] !== '{') return answer;
  const inside = outline(text, result.start) ?? new Map<string, Span>();
  const added: string[] = [];
  const add = (name: string, value: string) => {
    if (!inside.has(name)) added.push(`"${name}":${value}`);
  };
  add('resultType', '"complete"');
  if (CACHED.has(method)) {
    add('ttlMs', '0');
    add('cacheScope', '"private"');
  }
  add('_meta', latin1(JSON.stringify({ [META.server]: hello.serverInfo })));
  if (added.length === 0) return answer;
  const comma = inside.size > 0 ? ',' : '';
  const brace = { start: result.start, end: result.start + 1 };
  return Buffer.from(splice(text, [[brace, `{${added.join(',')}${comma}`]]), 'latin1');
}

/** UTF-8 bytes as the characters of a text whose characters are bytes. */
function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** Capabilities as they may be told to a 2026 client: what that revision no longer has is left out. */
export function modernCapabilities(capabilities: Hello['capabilities']): Record<string, unknown> {
  const { tasks: _tasks, ...rest } = capabilities;
  return isObject(rest) ? rest : {};
}
