import http from 'node:http';
import type { Readable, Writable } from 'node:stream';
import { META, MODERN } from '../peer.ts';
import { CODE, faultText } from '../rpc/fault.ts';
import { isObject, metaOf } from '../rpc/message.ts';
import { LONGEST_MESSAGE } from '../upstream/channel.ts';
import { lines } from '../upstream/lines.ts';

export interface BridgeOptions {
  /** The gateway's socket. */
  readonly socket: string;
  readonly token: string;
  readonly input: Readable;
  readonly output: Writable;
  /** Nothing is read before this settles. */
  readonly ready: Promise<unknown>;
}

/** Where the gateway serves every server at once. */
const PATH = '/mcp';
/** Between two tries to open the stream that the gateway speaks on by itself, in milliseconds. */
const PAUSE = 1_000;
/** Which member of the parameters `Mcp-Name` repeats. */
const NAMED: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
};

interface Message {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: unknown;
}

/**
 * One client on stdin and stdout, of either generation, in front of a gateway: every line goes there as Streamable HTTP has it, and what comes back is a
 * line again. So that a client which starts its server itself gets all that the gateway does. @returns when the client has gone
 */
export function bridge({ socket, token, input, output, ready }: BridgeOptions): Promise<void> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
  /** Requests of 2026 are given up by closing their connection. */
  const open = new Map<string, http.ClientRequest>();
  let session: string | undefined;
  let version: string | undefined;
  let over = false;

  const say = (text: string | Buffer) =>
    void output.write(typeof text === 'string' ? `${text}\n` : Buffer.concat([text, NEWLINE]));

  function request(method: string, headers: Readonly<Record<string, string>>): http.ClientRequest {
    const own = session === undefined ? {} : { 'mcp-session-id': session };
    const spoken = version === undefined ? {} : { 'mcp-protocol-version': version };
    return http.request({
      socketPath: socket,
      path: PATH,
      method,
      agent,
      headers: { host: 'localhost', authorization: `Bearer ${token}`, ...own, ...spoken, ...headers },
    });
  }

  function take(line: Buffer): void {
    const message = parsed(line);
    if (!message) {
      say(faultText('null', { code: CODE.parse, message: 'The line is no JSON-RPC message' }));
      return;
    }
    const id = message.id === undefined ? undefined : JSON.stringify(message.id);
    const params = isObject(message.params) ? message.params : undefined;
    const modern = message.method !== 'initialize' && metaOf(params)?.[META.version] !== undefined;
    if (message.method === 'notifications/cancelled') {
      const given = open.get(JSON.stringify(params?.requestId));
      if (given) {
        given.destroy();
        return;
      }
    }
    const headers = { ...POST, ...(modern ? modernHeaders(String(message.method), params) : {}) };
    const sent = request('POST', { ...headers, 'content-length': String(line.length) });
    if (modern && id !== undefined) open.set(id, sent);
    sent.on('close', () => id !== undefined && open.get(id) === sent && open.delete(id));
    sent.on('response', (response) => heard(response, message, id));
    sent.on('error', (error) => {
      // Given up by the client itself, or the gateway is gone.
      if (id === undefined || over || (sent.destroyed && open.get(id) === sent)) return;
      say(faultText(id, { code: CODE.unavailable, message: `The gateway does not answer: ${error.message}` }));
    });
    sent.end(line);
  }

  function heard(response: http.IncomingMessage, message: Message, id: string | undefined): void {
    response.on('error', () => undefined);
    if (response.headers['content-type'] === 'text/event-stream') {
      events(response);
      return;
    }
    const parts: Buffer[] = [];
    response.on('data', (part: Buffer) => parts.push(part));
    response.on('end', () => {
      const body = Buffer.concat(parts);
      if (id === undefined || message.method === undefined || body.length === 0) return;
      const refused = (response.statusCode ?? 0) >= 400;
      if (!refused && message.method === 'initialize') begin(response, body);
      say(refused ? withIdOf(body, id) : body);
    });
  }

  /** A client of 2025 has a session now, and a stream for what answers nothing. */
  function begin(response: http.IncomingMessage, body: Buffer): void {
    const given = response.headers['mcp-session-id'];
    const { result } = JSON.parse(body.toString('utf8')) as { result?: unknown };
    if (typeof given !== 'string' || !isObject(result)) return;
    session = given;
    version = String(result.protocolVersion);
    listen();
  }

  function listen(): void {
    if (over) return;
    const again = () => void setTimeout(listen, PAUSE).unref();
    const stream = request('GET', { accept: 'text/event-stream' });
    stream.on('error', again);
    stream.on('response', (response) => {
      response.on('error', () => undefined);
      if (response.headers['content-type'] === 'text/event-stream') events(response);
      else response.resume();
      response.on('close', again);
    });
    stream.end();
  }

  function events(response: http.IncomingMessage): void {
    const reader = lines(
      LONGEST_MESSAGE,
      (line) => {
        // The gateway writes each message on one line, and an empty one where a stream begins.
        if (line.length > 6 && line.toString('latin1', 0, 6) === 'data: ') say(line.subarray(6));
      },
      () => response.destroy(),
    );
    response.on('data', (chunk: Buffer) => reader.push(chunk));
  }

  return new Promise((resolve) => {
    const end = () => {
      if (over) return;
      over = true;
      if (session !== undefined)
        request('DELETE', {})
          .on('error', () => undefined)
          .end();
      resolve();
    };
    const reader = lines(LONGEST_MESSAGE, take, end);
    output.on('error', end);
    void ready
      .catch(() => undefined)
      .then(() => {
        input.on('data', (chunk: Buffer) => reader.push(chunk));
        input.on('end', end);
        input.on('error', end);
        input.resume();
      });
  });
}

const NEWLINE = Buffer.from('\n');
const POST = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' } as const;

function parsed(line: Buffer): Message | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function modernHeaders(method: string, params: Readonly<Record<string, unknown>> | undefined): Record<string, string> {
  const field = Object.hasOwn(NAMED, method) ? NAMED[method] : undefined;
  const name = field === undefined ? undefined : params?.[field];
  return {
    'mcp-protocol-version': String(metaOf(params)?.[META.version] ?? MODERN),
    'mcp-method': encoded(method),
    ...(typeof name === 'string' ? { 'mcp-name': encoded(name) } : {}),
  };
}

/** What no header can hold as it is: SEP-2243. */
function encoded(text: string): string {
  if (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !text.startsWith('=?base64?')) return text;
  return `=?base64?${Buffer.from(text).toString('base64')}?=`;
}

/** A refusal speaks of no request, since nobody has read which one it was. */
function withIdOf(body: Buffer, id: string): string {
  const value = parsed(body) as { id?: unknown; error?: { code: number; message: string } } | undefined;
  if (value?.error === undefined) return faultText(id, { code: CODE.internal, message: 'The gateway gave no answer' });
  return JSON.stringify({ ...value, id: JSON.parse(id) as unknown });
}
