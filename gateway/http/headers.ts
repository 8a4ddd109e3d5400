import type { IncomingHttpHeaders } from 'node:http';
import { META, MODERN } from '../peer.ts';
import { CODE, type RpcFault } from '../rpc/fault.ts';
import { isObject, type Message, metaOf, type Params } from '../rpc/message.ts';
import { decodedValue, type Mirrored, mirroredValue } from '../rpc/mirrored.ts';

/** Which body field `Mcp-Name` repeats. */
const NAMED: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
};

/** Dates compare as texts. */
const isModern = (version: unknown) =>
  typeof version === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(version) && version >= MODERN;

/** Whether a message belongs to 2026-07-28 or later: its envelope says so, or at least the header does. */
export function speaksModern(headers: IncomingHttpHeaders, message: Message): boolean {
  if (message.kind === 'response') return false;
  const claimed = metaOf(message.params)?.[META.version];
  if (claimed !== undefined) return message.method !== 'initialize' || isModern(claimed);
  return message.method !== 'initialize' && isModern(headers['mcp-protocol-version']);
}

/**
 * What 2026-07-28 demands of every request: the envelope, and headers that agree with it, so that what a proxy on the way
 * judged by the headers is what is done (SEP-2243).
 */
export function checkModern(headers: IncomingHttpHeaders, message: Message): RpcFault | undefined {
  if (message.kind === 'response') return { code: CODE.request, message: 'This revision has no answers of clients' };
  const { method, params } = message;
  const meta = metaOf(params) ?? {};
  const version = meta[META.version];
  if (message.kind === 'request') {
    const missing = [META.version, META.capabilities].filter((key) => meta[key] === undefined);
    if (missing.length > 0) {
      return { code: CODE.params, message: `params._meta lacks ${missing.join(' and ')}`, data: { missing } };
    }
    if (typeof version !== 'string' || !isObject(meta[META.capabilities])) {
      return { code: CODE.params, message: 'params._meta holds a version or capabilities of a wrong kind' };
    }
  }
  const header = headers['mcp-protocol-version'];
  if (header === undefined) return mismatch('MCP-Protocol-Version', 'the header is missing');
  if (version !== undefined && header !== version) {
    return mismatch('MCP-Protocol-Version', `the body says ${String(version)}`);
  }
  if (header !== MODERN) {
    const data = { supported: [MODERN], requested: header };
    return { code: CODE.version, message: `Protocol revision ${String(header)} is not known`, data };
  }
  const named = headers['mcp-method'];
  if (named === undefined) return mismatch('Mcp-Method', 'the header is missing');
  if (named !== method) return mismatch('Mcp-Method', `the body says ${method}`);
  return checkName(headers['mcp-name'], method, params);
}

function checkName(header: unknown, method: string, params: Params | undefined): RpcFault | undefined {
  const field = Object.hasOwn(NAMED, method) ? NAMED[method] : undefined;
  const value = field === undefined ? undefined : params?.[field];
  if (typeof value !== 'string') return undefined;
  if (typeof header !== 'string') return mismatch('Mcp-Name', 'the header is missing');
  const plain = decodedValue(header);
  if (plain === value) return undefined;
  return mismatch('Mcp-Name', plain === undefined ? 'it is not valid Base64 of UTF-8' : `the body says ${value}`);
}

/**
 * Headers that repeat parameters of a tool, against the parameters themselves: whoever routed or limited by the header must have seen what is
 * done. One that no parameter of the tool asks for is nobody's business here.
 */
export function checkMirrored(
  headers: IncomingHttpHeaders,
  mirrored: readonly Mirrored[],
  params: Params | undefined,
): RpcFault | undefined {
  for (const { header, path } of mirrored) {
    const value = mirroredValue(params?.arguments, path);
    const said = headers[header];
    if (value === undefined && said === undefined) continue;
    if (value === undefined) return mismatch(header, 'the body has no such parameter');
    if (typeof said !== 'string') return mismatch(header, 'the header is missing');
    const plain = decodedValue(said);
    if (plain === undefined) return mismatch(header, 'it is neither visible ASCII nor Base64 of UTF-8');
    // 42.0 is 42.
    const same =
      typeof value === 'number' ? /^-?\d+(?:\.\d+)?$/.test(plain) && Number(plain) === value : plain === String(value);
    if (!same) return mismatch(header, `the parameter ${path.join('.')} is another`);
  }
  return undefined;
}

function mismatch(header: string, why: string): RpcFault {
  return { code: CODE.header, message: `Header ${header} disagrees with the body: ${why}`, data: { header } };
}
