import type { ServerResponse } from 'node:http';
import type { Caller, Write } from '../peer.ts';
import { CODE, faultOf, faultText, type RpcFault } from '../rpc/fault.ts';
import { type Request, tokenOf } from '../rpc/message.ts';
import type { Service } from '../service.ts';
import type { Session } from '../session.ts';
import { fromLegacy } from '../translate.ts';
import { type InputRequired, inputRequired, MOST_ROUNDS, withInput } from './input.ts';
import { accepted, sendFault, sendJson, statusOf } from './reply.ts';
import { shown } from './result.ts';
import { openEvents, type Stream } from './stream.ts';
import { type Pending, unwatch, watch } from './watch.ts';

/** An answer that takes longer comes as events, so that nothing on the way thinks the connection dead. In milliseconds. */
const STREAM_AFTER = 5_000;

/** Where the answer of a session's request goes: into the response, or onto the stream that the session listens on. */
export type Way =
  | { readonly kind: 'response'; readonly response: ServerResponse; readonly events: boolean; readonly json: boolean }
  | { readonly kind: 'stream'; readonly response: ServerResponse; readonly stream: Stream };

/** Passes a session's request on, and the answer back. Nothing made here holds on to the request's text, which may be long, and the server slow. */
export function callForSession(service: Service, session: Session, request: Request, way: Way): void {
  const { id, method } = request;
  const { response } = way;
  if (session.calls.has(id)) {
    const fault = {
      code: CODE.request,
      message: `A request with the id ${id.slice(0, 80)} is being worked on already`,
    };
    sendFault(response, 400, fault, id);
    return;
  }
  const instead = service.instead(session, request);
  const held: { request: Request | undefined } = { request };
  const token = tokenOf(request);
  let stream = way.kind === 'stream' ? way.stream : undefined;
  let over = false;

  const begin = () => {
    stream = session.streams.add();
    openEvents(response);
    stream.attach(response, 0);
  };
  const end = (body: Buffer | string, status: number) => {
    if (over) return;
    over = true;
    unwatch(pending);
    session.calls.delete(id);
    if (way.kind === 'stream') return way.stream.send(body);
    if (!stream && !way.json) begin();
    if (stream) return stream.end(body);
    sendJson(response, status, body);
  };
  const fail = (fault: RpcFault) => end(faultText(id, fault), statusOf(fault));
  const pending: Pending = {
    since: performance.now(),
    waited(milliseconds) {
      if (service.timeout > 0 && milliseconds > service.timeout) {
        handle.cancel('timeout');
        fail({ code: CODE.timeout, message: `The server gave no answer within ${service.timeout} ms` });
      } else if (!stream && milliseconds > STREAM_AFTER && way.kind === 'response' && way.events) begin();
    },
  };
  const notice = (text: string): boolean => {
    if (!stream) {
      if (way.kind !== 'response' || !way.events || response.destroyed) return false;
      begin();
    }
    stream?.send(text);
    return true;
  };

  if (way.kind === 'stream') accepted(response);
  if (instead !== undefined) {
    end(instead, 200);
    return;
  }
  watch(pending);
  const caller: Caller = {
    answer(answer) {
      const modern = held.request && session.backend.current()?.hello.generation === 'modern';
      const wanted = modern ? inputRequired(answer) : undefined;
      if (held.request && wanted) again(held.request, wanted);
      else end(shown(answer, id, method, service, session.identity), 200);
    },
    fail,
    progress(params) {
      if (token === undefined) return;
      // The token is the client's own again.
      const told = { ...params, progressToken: token };
      notice(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params: told }));
    },
  };
  const ask = (once: { request: Request | undefined }) => {
    const write: Write = (own, generation) => {
      const text = fromLegacy(once.request as Request, own, generation, session.greeting);
      // One of the newer generation may want to be asked again, with more.
      if (generation === 'legacy') once.request = undefined;
      return text;
    };
    return service.call(session.identity, session.backend, once.request as Request, write, caller);
  };
  let rounds = 0;
  const again = (first: Request, wanted: InputRequired) => {
    rounds += 1;
    const asked = withInput(session, first, wanted, (text) => {
      if (!notice(text)) session.deliver(text);
    });
    asked.then(
      (params) => {
        if (over) return;
        if (rounds <= MOST_ROUNDS) handle = ask({ request: { ...first, params } });
        else fail({ code: CODE.internal, message: `The server asked for input ${rounds} times` });
      },
      (error: unknown) => fail(faultOf(error)),
    );
  };
  let handle = ask(held);
  if (!over) session.calls.set(id, { cancel: (reason) => handle.cancel(reason), notice, fail });
}
