import { isUtf8 } from 'node:buffer';
import { CODE, RpcError } from './fault.ts';
import { outline, type Span, skipSpace, splice } from './outline.ts';

export type Params = Readonly<Record<string, unknown>>;

/** A message from a client, read once; `text` is what it sent, on one line. */
export type Message = Request | Notification | Response;

export interface Request {
  readonly kind: 'request';
  readonly text: string;
  /** The id's own JSON: 1, "1" and 1.0 are three ids. */
  readonly id: string;
  readonly idSpan: Span;
  readonly method: string;
  readonly params: Params | undefined;
  readonly metaSpan: Span | undefined;
  readonly tokenSpan: Span | undefined;
}

export interface Notification {
  readonly kind: 'notification';
  readonly text: string;
  readonly method: string;
  readonly params: Params | undefined;
}

/** A client's answer to what the server asked it. */
export interface Response {
  readonly kind: 'response';
  readonly text: string;
  readonly id: string;
}

/** Ids and tokens longer than this name nothing; they would only be kept. In characters of JSON. */
const LONGEST_ID = 1000;
/** Of texts so short, in characters, it doesn't matter how long they are kept. */
const SHORT = 4096;

/** @throws RpcError -32700 for what isn't JSON, -32600 for what isn't one JSON-RPC message that every parser reads alike */
export function readMessage(body: Buffer): Message {
  if (!isUtf8(body)) throw new RpcError({ code: CODE.parse, message: 'The body is not UTF-8' });
  const given = body.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(given);
  } catch {
    throw new RpcError({ code: CODE.parse, message: 'The body is not JSON' });
  }
  if (Array.isArray(value)) throw invalid('Batches are no part of this protocol revision; send one message a request');
  if (!isObject(value)) throw invalid('The body is no JSON-RPC message');
  // A server on stdio reads lines. A line break can only stand between JSON's tokens, never within one.
  const text = given.includes('\n') || given.includes('\r') ? given.replace(/[\r\n]/g, ' ') : given;
  const members = outline(text, skipSpace(text, 0));
  if (!members) throw invalid('A name stands twice in the message');
  const { method, params } = value;
  if (value.jsonrpc !== '2.0') throw invalid('The message has no "jsonrpc":"2.0"');
  if (params !== undefined && !isObject(params)) throw invalid('"params" is not an object');
  if (method === undefined) {
    const answered = members.has('result') !== members.has('error');
    if (!answered || !validId(value.id)) throw invalid('The message is neither request, notification nor answer');
    return { kind: 'response', text, id: cut(text, members.get('id')) };
  }
  if (typeof method !== 'string') throw invalid('"method" is not a text');
  if (!members.has('id')) return { kind: 'notification', text, method, params };
  if (!validId(value.id)) throw invalid('"id" is neither text nor number');
  const idSpan = members.get('id') as Span;
  const id = cut(text, idSpan);
  if (id.length > LONGEST_ID) throw invalid('"id" is too long');
  const inside = paramSpans(text, members.get('params'));
  return { kind: 'request', text, id, idSpan, method, params, ...inside };
}

/** The request with an id of the gateway's own, which is its progress token, too. */
export function renumber(request: Request, id: number, meta?: string): string {
  const edits: [Span, string][] = [[request.idSpan, String(id)]];
  if (meta !== undefined && request.metaSpan) edits.push([request.metaSpan, meta]);
  else if (request.tokenSpan) edits.push([request.tokenSpan, String(id)]);
  return splice(
    request.text,
    edits.sort(([a], [b]) => a.start - b.start),
  );
}

/** What the client calls this request in what it is told of its progress; undefined where it needn't be told. */
export function tokenOf({ tokenSpan, text }: Request): unknown {
  return tokenSpan && (JSON.parse(text.slice(tokenSpan.start, tokenSpan.end)) as unknown);
}

/** `params._meta`, where it is an object. */
export function metaOf(params: Params | undefined): Params | undefined {
  const meta = params?._meta;
  return isObject(meta) ? meta : undefined;
}

/** A text that somebody else sent; '' for what is none. String() would call whatever `toString` it brings. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What the rules look at must not stand there twice either: the tool's name, the resource's URI, the progress token. */
function paramSpans(text: string, params: Span | undefined) {
  if (!params) return { metaSpan: undefined, tokenSpan: undefined };
  const members = outline(text, params.start);
  const metaSpan = members?.get('_meta');
  const meta = metaSpan && text[metaSpan.start] === '{' ? outline(text, metaSpan.start) : new Map<string, Span>();
  if (!members || !meta) throw invalid('A name stands twice in the parameters');
  return { metaSpan, tokenSpan: meta.get('progressToken') };
}

function cut(text: string, span: Span | undefined): string {
  const piece = span ? text.slice(span.start, span.end) : 'null';
  // Otherwise a longer piece would be kept as a place in the whole text, and the whole text with it.
  return text.length > SHORT ? Buffer.from(piece).toString() : piece;
}

function validId(id: unknown): boolean {
  return typeof id === 'string' || typeof id === 'number';
}

function invalid(message: string): RpcError {
  return new RpcError({ code: CODE.request, message });
}
