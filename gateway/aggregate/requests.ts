import type { Answer } from '../rpc/answer.ts';
import { slowAnswer } from '../rpc/answer.ts';
import { isObject, type Request, readMessage } from '../rpc/message.ts';
import { outline, type Span, splice } from '../rpc/outline.ts';
import { type Names, relinked, type Split } from './names.ts';

/** Where a request goes, and the same request with the names that are used there. */
export interface Routed {
  readonly server: string;
  readonly request: Request;
}

/** Which member of the parameters names the thing. */
const NAMED: Readonly<Record<string, readonly string[]>> = {
  'tools/call': ['name'],
  'prompts/get': ['name'],
  'resources/read': ['uri'],
  'resources/subscribe': ['uri'],
  'resources/unsubscribe': ['uri'],
  'completion/complete': ['ref', 'name|uri'],
};

/** @returns undefined for a request that names nothing of any server */
export function routed(request: Request, by: Names): Routed | undefined {
  const path = Object.hasOwn(NAMED, request.method) ? NAMED[request.method] : undefined;
  const found = path && at(request.text, ['params', ...path]);
  if (!found) return undefined;
  const value: unknown = JSON.parse(request.text.slice(found.span.start, found.span.end));
  if (typeof value !== 'string') return undefined;
  const split: Split | undefined = found.name === 'uri' ? by.splitUri(value) : by.split(value);
  if (!split) return undefined;
  // Every other byte as it was sent: a number may have more digits than this program can keep.
  const text = splice(request.text, [[found.span, JSON.stringify(split.own)]]);
  return { server: split.server, request: readMessage(Buffer.from(text)) as Request };
}

/** Where a member of nested objects stands. A name that stands twice names nothing. */
function at(text: string, path: readonly string[]): { readonly span: Span; readonly name: string } | undefined {
  let start = text.indexOf('{');
  let found: { readonly span: Span; readonly name: string } | undefined;
  for (const part of path) {
    const members = text[start] === '{' ? outline(text, start) : undefined;
    const name = part.split('|').find((each) => members?.has(each));
    const span = name === undefined ? undefined : members?.get(name);
    if (name === undefined || !span) return undefined;
    found = { span, name };
    start = span.start;
  }
  return found;
}

/** A server's answer with the names that are used here. */
export function answerHere(answer: Answer, server: string, by: Names): Answer {
  if (answer.failed || !answer.line.includes('"uri"')) return answer;
  const message = JSON.parse(answer.line.toString('utf8')) as { id: number; result?: unknown };
  if (!isObject(message.result)) return answer;
  return answerOf(message.id, relinked(message.result, server, by));
}

export function answerOf(id: number, result: object): Answer {
  const line = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id, result }));
  return slowAnswer(line) as Answer;
}
