import { outline, type Span } from './outline.ts';

/** A line of a server that answers a request, with the place of its id. */
export interface Answer {
  /** Nobody else's memory. */
  readonly line: Buffer;
  /** The gateway's own id of the request. */
  readonly id: number;
  /** In bytes. */
  readonly idSpan: Span;
  readonly failed: boolean;
}

const FIRST = '{"jsonrpc":"2.0","id":';
const LAST = /^,"jsonrpc":"2\.0","id":(\d{1,15})\}$/;

/**
 * Reads an answer without reading what it holds. Both layouts that the official SDKs write are told from their first or last bytes alone: what stands
 * right before an object's closing brace is its own member, whatever came before.
 * @returns undefined for anything else, which `slowAnswer` may still know
 */
export function quickAnswer(line: Buffer): Answer | undefined {
  const head = line.toString('latin1', 0, 48);
  if (head.startsWith(FIRST)) {
    let end = FIRST.length;
    while (isDigit(head.charCodeAt(end))) end += 1;
    const result = head.startsWith(',"result":', end);
    if (end === FIRST.length || end > 38 || !(result || head.startsWith(',"error":', end))) return undefined;
    return { line, id: Number(head.slice(FIRST.length, end)), idSpan: { start: FIRST.length, end }, failed: !result };
  }
  const result = head.startsWith('{"result":');
  if (!result && !head.startsWith('{"error":')) return undefined;
  const from = Math.max(0, line.length - 48);
  const tail = line.toString('latin1', from);
  const comma = tail.lastIndexOf(',"jsonrpc":');
  const match = comma < 0 ? null : LAST.exec(tail.slice(comma));
  if (!match) return undefined;
  const end = line.length - 1;
  return { line, id: Number(match[1]), idSpan: { start: end - (match[1] as string).length, end }, failed: !result };
}

/** For servers that write their members in an order or with spaces of their own. `line` must be a JSON object. */
export function slowAnswer(line: Buffer): Answer | undefined {
  // One character a byte, so that places in the text are places in the bytes.
  const text = line.toString('latin1');
  const members = outline(text, text.indexOf('{'));
  const idSpan = members?.get('id');
  if (!members || !idSpan || members.has('method')) return undefined;
  const id = Number(text.slice(idSpan.start, idSpan.end));
  return Number.isSafeInteger(id) ? { line, id, idSpan, failed: members.has('error') } : undefined;
}

/**
 * The answer under the id that the client gave. One that is no longer than the gateway's own is put in the same memory, and the shorter side moves up to
 * it: new memory for an answer of some size costs more than all that is done with it.
 */
export function withId({ line, idSpan: { start, end } }: Answer, id: string): Buffer {
  const name = Buffer.from(id);
  const spare = end - start - name.length;
  if (spare < 0) return Buffer.concat([line.subarray(0, start), name, line.subarray(end)]);
  if (start < line.length - end) {
    line.copyWithin(spare, 0, start);
    name.copy(line, start + spare);
    return line.subarray(spare);
  }
  name.copy(line, start);
  line.copyWithin(end - spare, end);
  return line.subarray(0, line.length - spare);
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}
