import type { ServerResponse } from 'node:http';
import { faultOf, faultText } from '../rpc/fault.ts';
import type { Message } from '../rpc/message.ts';
import type { Session } from '../session.ts';
import { callForSession } from './call.ts';
import { accepted, refuse } from './reply.ts';
import { openEvents, type Stream, writeEvent } from './stream.ts';
import { type Exchange, greet, take } from './streamable.ts';

/** A client of HTTP+SSE between its GET and its `initialize`, and then with its session. */
interface Listener {
  readonly exchange: Exchange;
  readonly stream: Stream;
  session: Session | undefined;
}

/** HTTP+SSE, the transport of 2024-11-05: one stream for everything, and a POST for each message. */
export interface Listeners {
  /** @param endpoint the path for messages, without the query */
  get(exchange: Exchange, endpoint: string): void;
  post(exchange: Exchange, id: string, message: Message): Promise<void>;
}

/** Most streams without a session at once: each costs a connection, which the system limits, too. */
const MOST = 10_000;

export function listeners(newId: () => string): Listeners {
  const all = new Map<string, Listener>();
  return {
    get(exchange, endpoint) {
      const { response } = exchange;
      if (all.size >= MOST) return refuse(response, 503, 'Too many clients listen already');
      const id = newId();
      openEvents(response);
      writeEvent(response, 'event: endpoint\n', `${endpoint}?sessionId=${id}`);
      const listener: Listener = { exchange, stream: plain(response), session: undefined };
      all.set(id, listener);
      response.once('close', () => {
        all.delete(id);
        listener.session?.close();
      });
    },
    async post({ response, service, identity }, id, message) {
      const listener = all.get(id);
      const mine = listener?.exchange.identity.id === identity.id && listener.exchange.service === service;
      if (!listener || !mine) return refuse(response, 404, 'There is no such session: open the stream again');
      const { stream } = listener;
      if (message.kind === 'request' && message.method === 'initialize' && !listener.session) {
        accepted(response);
        try {
          const { session, result } = await greet(service, identity, message.params, (text) => stream.send(text));
          if (!all.has(id)) return session.close();
          listener.session = session;
          stream.send(`{"jsonrpc":"2.0","id":${message.id},"result":${JSON.stringify(result)}}`);
        } catch (error) {
          stream.send(faultText(message.id, faultOf(error)));
        }
        return;
      }
      const { session } = listener;
      if (!session) return refuse(response, 400, 'Begin with initialize');
      session.used = Date.now();
      session.identity = identity;
      if (message.kind === 'request') {
        return callForSession(service, session, message, { kind: 'stream', response, stream });
      }
      take(service, session, message, identity);
      accepted(response);
    },
  };
}

/** Events without numbers: this transport can't be gone on with. */
function plain(response: ServerResponse): Stream {
  return {
    id: 0,
    get ended() {
      return response.writableEnded;
    },
    get attached() {
      return !response.destroyed;
    },
    send: (message) => void writeEvent(response, 'event: message\n', message),
    end() {
      response.end();
    },
    attach: () => undefined,
    cut: () => void response.end(),
  };
}
