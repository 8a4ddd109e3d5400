import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Identity } from '../identity.ts';
import { LEGACY } from '../peer.ts';
import { CODE, faultOf } from '../rpc/fault.ts';
import { isObject, type Message, type Params, type Request } from '../rpc/message.ts';
import type { Service } from '../service.ts';
import type { Session } from '../session.ts';
import { callForSession } from './call.ts';
import { accepted, refuse, sendFault, sendJson, statusOf } from './reply.ts';
import { openEvents } from './stream.ts';

/** Revisions with `initialize`, newest first. */
export const REVISIONS = [LEGACY, '2025-06-18', '2025-03-26', '2024-11-05'] as const;

/** One HTTP exchange that has been let in. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly service: Service;
  readonly identity: Identity;
}

/** POST of Streamable HTTP up to 2025-11-25. */
export async function postLegacy(exchange: Exchange, message: Message): Promise<void> {
  const { request, response, service, identity } = exchange;
  if (message.kind === 'request' && message.method === 'initialize') return initialize(exchange, message);
  const session = sessionOf(exchange);
  if (!session) return;
  const said = request.headers['mcp-protocol-version'];
  if (said !== undefined && !(REVISIONS as readonly unknown[]).includes(said)) {
    const fault = { code: CODE.version, message: `Protocol revision ${String(said)} is not known` };
    return sendFault(response, 400, { ...fault, data: { supported: REVISIONS } });
  }
  if (message.kind === 'request') {
    const accept = request.headers.accept ?? '*/*';
    const events = accept.includes('text/event-stream');
    const json = !events || accept.includes('application/json') || accept.includes('*/*');
    return callForSession(service, session, message, { kind: 'response', response, events, json });
  }
  take(service, session, message, identity);
  accepted(response);
}

/** GET: the stream for messages that answer nothing, or the rest of one whose connection broke. */
export function getLegacy(exchange: Exchange): void {
  const { request, response } = exchange;
  const session = sessionOf(exchange);
  if (!session) return;
  const last = request.headers['last-event-id'];
  if (!(request.headers.accept ?? '').includes('text/event-stream')) {
    refuse(response, 406, 'GET opens a stream of events: accept text/event-stream');
  } else if (typeof last === 'string' && last !== '') resume(session, response, last);
  else if (session.streams.find(0)?.attached) refuse(response, 409, 'This session has such a stream already');
  else {
    openEvents(response);
    session.streams.alone().attach(response, 0);
  }
}

function resume(session: Session, response: ServerResponse, last: string): void {
  const [, stream, event] = /^(\d{1,9})-(\d{1,9})$/.exec(last) ?? [];
  const found = stream === undefined ? undefined : session.streams.find(Number(stream));
  if (!found) {
    refuse(response, 404, 'That stream is not kept any more');
    return;
  }
  openEvents(response);
  found.attach(response, Number(event));
}

/** DELETE: the client has no more to say. */
export function deleteLegacy(exchange: Exchange): void {
  const session = sessionOf(exchange);
  if (!session) return;
  session.close();
  exchange.response.writeHead(204);
  exchange.response.end();
}

async function initialize({ response, service, identity }: Exchange, message: Request): Promise<void> {
  try {
    const { session, result } = await greet(service, identity, message.params);
    const body = `{"jsonrpc":"2.0","id":${message.id},"result":${JSON.stringify(result)}}`;
    if (response.destroyed) return session.close();
    sendJson(response, 200, body, { 'mcp-session-id': session.id });
  } catch (error) {
    const fault = faultOf(error);
    sendFault(response, statusOf(fault), fault, message.id);
  }
}

/** A session for a client that says `initialize`, and what it is answered. @throws RpcError */
export async function greet(
  service: Service,
  identity: Identity,
  params: Params | undefined,
  direct?: (text: string) => void,
): Promise<{ readonly session: Session; readonly result: Params }> {
  const asked = params?.protocolVersion;
  const version = REVISIONS.find((revision) => revision === asked) ?? LEGACY;
  const clientInfo = isObject(params?.clientInfo) ? params.clientInfo : { name: 'unknown', version: '0' };
  const capabilities = isObject(params?.capabilities) ? params.capabilities : {};
  const session = await service.open(identity, { clientInfo, capabilities }, version, direct);
  const hello = session.own ? (await session.backend.use()).hello : await service.hello(identity);
  const { instructions } = hello;
  return {
    session,
    result: {
      protocolVersion: version,
      capabilities: hello.capabilities,
      serverInfo: hello.serverInfo,
      ...(instructions === undefined ? {} : { instructions }),
    },
  };
}

/** A notification, or an answer to what the server asked. */
export function take(service: Service, session: Session, message: Message, identity: Identity): void {
  if (message.kind === 'response') {
    if (session.settle(message.id, message.text)) return;
    // Only to what this client was asked, and once.
    if (session.own && session.asked.delete(message.id)) session.backend.current()?.send(message.text);
    return;
  }
  if (message.kind !== 'notification') return;
  switch (message.method) {
    case 'notifications/cancelled': {
      const id = JSON.stringify(message.params?.requestId);
      const call = session.calls.get(id);
      call?.cancel(typeof message.params?.reason === 'string' ? message.params.reason : undefined);
      call?.fail({ code: CODE.timeout, message: 'The request was cancelled' });
      return;
    }
    case 'notifications/initialized':
      return;
    default:
      // Of a client's roots, say, which only a server of its own has been told.
      if (session.own && service.refuses(identity, message.method, message.params) === undefined)
        session.backend.current()?.send(message.text);
  }
}

function sessionOf({ request, response, service, identity }: Exchange): Session | undefined {
  const id = request.headers['mcp-session-id'];
  if (typeof id !== 'string') {
    refuse(response, 400, 'Mcp-Session-Id is missing: begin with initialize');
    return undefined;
  }
  const session = service.find(id, identity);
  if (!session) refuse(response, 404, 'There is no such session: begin again with initialize');
  return session;
}
