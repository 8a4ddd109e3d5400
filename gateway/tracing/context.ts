import { randomBytes } from 'node:crypto';
import { isObject, metaOf, type Params } from '../rpc/message.ts';
import { outline, type Span, splice } from '../rpc/outline.ts';

/** W3C Trace Context: which trace something belongs to, and what it is part of. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly trace: string;
  /** 16 hexadecimal digits. */
  readonly span: string;
  readonly sampled: boolean;
  /** What tracing systems keep for themselves. */
  readonly state: string | undefined;
}

const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/;
/** In characters; longer lists may be dropped. */
const LONGEST_STATE = 512;

/** @returns undefined for what isn't one: then a trace of our own begins */
export function readContext(parent: unknown, state: unknown): TraceContext | undefined {
  const match = typeof parent === 'string' && parent.length <= 200 ? PARENT.exec(parent) : null;
  if (!match) return undefined;
  const [whole, version = '', trace = '', span = '', flags = ''] = match;
  if (version === 'ff' || (version === '00' && whole.length !== (parent as string).length)) return undefined;
  if (/^0+$/.test(trace) || /^0+$/.test(span)) return undefined;
  const kept =
    typeof state === 'string' && state !== '' && state.length <= LONGEST_STATE && /^[\x20-\x7e]*$/.test(state);
  return { trace, span, sampled: (Number.parseInt(flags, 16) & 1) === 1, state: kept ? state : undefined };
}

/** MCP carries it in `params._meta` (SEP-414), whatever the transport. */
export function contextOf(params: Params | undefined): TraceContext | undefined {
  const meta = metaOf(params);
  return meta && readContext(meta.traceparent, meta.tracestate);
}

export function parentOf({ trace, span, sampled }: TraceContext): string {
  return `00-${trace}-${span}-${sampled ? '01' : '00'}`;
}

/** Random bytes by the thousand: asking the system for each id costs more than the rest of a span. */
let pool = Buffer.alloc(0);

/** @param bytes 16 for a trace, 8 for a span */
export function newId(bytes: 8 | 16): string {
  if (pool.length < bytes) pool = randomBytes(4096);
  const id = pool.toString('hex', 0, bytes);
  pool = pool.subarray(bytes);
  return id;
}

/** A request's text with these members in `params._meta`; every other byte stays. */
export function withMeta(text: string, values: Readonly<Record<string, string>>): string {
  const json = (names: readonly string[]) =>
    names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(values[name])}`).join(',');
  const all = Object.keys(values);
  const params = outline(text, text.indexOf('{'))?.get('params');
  if (!params) {
    const end = text.lastIndexOf('}');
    return `${text.slice(0, end)},"params":{"_meta":{${json(all)}}}${text.slice(end)}`;
  }
  const inner = outline(text, params.start);
  const meta = inner?.get('_meta');
  if (!inner || !meta) return inserted(text, params.start, `"_meta":{${json(all)}}`, (inner?.size ?? 0) > 0);
  const members = outline(text, meta.start);
  if (!members || text[meta.start] !== '{') return text;
  const edits: [Span, string][] = all.flatMap((name) => {
    const span = members.get(name);
    return span ? [[span, JSON.stringify(values[name])] as [Span, string]] : [];
  });
  const changed = splice(
    text,
    edits.sort(([a], [b]) => a.start - b.start),
  );
  const missing = all.filter((name) => !members.has(name));
  return missing.length === 0 ? changed : inserted(changed, meta.start, json(missing), members.size > 0);
}

/** Right behind an object's opening brace. */
function inserted(text: string, at: number, members: string, more: boolean): string {
  return `${text.slice(0, at + 1)}${members}${more ? ',' : ''}${text.slice(at + 1)}`;
}

/** What an HTTP client said in headers, where it said nothing in the message. */
export function metaFromHeaders(
  headers: Readonly<Record<string, unknown>>,
  params: Params | undefined,
): Readonly<Record<string, string>> | undefined {
  if (isObject(params?._meta) && params._meta.traceparent !== undefined) return undefined;
  const found = readContext(headers.traceparent, headers.tracestate);
  if (!found) return undefined;
  return {
    traceparent: String(headers.traceparent),
    ...(found.state === undefined ? {} : { tracestate: found.state }),
  };
}
