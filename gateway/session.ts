import { randomBytes } from 'node:crypto';
import type { Backend, Handle } from './backend.ts';
import { type Stream, stream } from './http/stream.ts';
import type { Identity } from './identity.ts';
import type { Greeting } from './peer.ts';
import { CODE, RpcError, type RpcFault } from './rpc/fault.ts';
import type { Params } from './rpc/message.ts';

/** Messages that wait for a client to listen; of more, the oldest are lost. */
const BACKLOG = 64;
/** Streams of answered requests that are kept for a client that lost its connection. */
const KEPT_STREAMS = 16;

/** A client of one server, from its `initialize` to its end. */
export interface Session {
  readonly id: string;
  /** As it was when it was last heard of: what it may do can change. */
  identity: Identity;
  readonly greeting: Greeting;
  /** The revision agreed on. */
  readonly version: string;
  readonly backend: Backend;
  /** Whether the server behind is this client's alone. */
  readonly own: boolean;
  /** Requests under way, by the client's id. */
  readonly calls: Map<string, Call>;
  /** What the server asked this client and waits for: ids in JSON. */
  readonly asked: Set<string>;
  /** Asks the client for the gateway. @throws RpcError what it answers, or that it left */
  ask(method: string, params: Params, deliver: (text: string) => void): Promise<unknown>;
  /** @returns whether this answers what `ask` asked */
  settle(id: string, text: string): boolean;
  readonly streams: Streams;
  /** Whether it lasts as long as a connection, rather than until it is forgotten. */
  readonly connected: boolean;
  /** When it was last heard of, in milliseconds since the epoch. */
  used: number;
  /** A message for the client that answers nothing it asked. */
  deliver(text: string): void;
  close(): void;
}

export interface Call extends Handle {
  /** Says something to the client before the answer. @returns false where its connection has no room for it */
  notice(text: string): boolean;
  /** Answers the client in the server's place. */
  fail(fault: RpcFault): void;
}

export interface Streams {
  /** A further stream of this session. */
  add(): Stream;
  find(id: number): Stream | undefined;
  /** The one for messages that belong to no request; made when first asked for. */
  alone(): Stream;
  closeAll(): void;
}

export interface SessionInput {
  readonly identity: Identity;
  readonly greeting: Greeting;
  readonly version: string;
  readonly backend: Backend;
  readonly own: boolean;
  /** A connection that carries everything for this client: HTTP+SSE has one. It ends with it, and not before. */
  readonly direct?: ((text: string) => void) | undefined;
  /** Told once, when it is over. */
  readonly onClosed: (session: Session) => void;
}

export function session(input: SessionInput): Session {
  const { onClosed, direct, ...rest } = input;
  let closed = false;
  const backlog: string[] = [];
  const asks = new Map<string, PromiseWithResolvers<unknown>>();
  let asked = 0;
  const streams = sessionStreams(input.version >= '2025-11-25', () => backlog.splice(0));
  const self: Session = {
    ...rest,
    id: randomBytes(16).toString('base64url'),
    calls: new Map(),
    asked: new Set(),
    streams,
    connected: direct !== undefined,
    used: Date.now(),
    ask(method, params, deliver) {
      asked += 1;
      const id = `mcp-build-${asked}`;
      const asking = Promise.withResolvers<unknown>();
      asks.set(JSON.stringify(id), asking);
      deliver(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
      return asking.promise;
    },
    settle(id, text) {
      const asking = asks.get(id);
      if (!asks.delete(id)) return false;
      const { result, error } = JSON.parse(text) as { result?: unknown; error?: RpcFault };
      if (error === undefined) asking?.resolve(result);
      else asking?.reject(new RpcError(error));
      return true;
    },
    deliver(text) {
      if (direct) return direct(text);
      const alone = streams.find(0);
      if (alone?.attached) return alone.send(text);
      // stdio doesn't say to which request it belongs. The client listens wherever it waits for an answer.
      for (const call of [...self.calls.values()].reverse()) if (call.notice(text)) return;
      if (backlog.push(text) > BACKLOG) backlog.shift();
    },
    close() {
      if (closed) return;
      closed = true;
      for (const call of [...self.calls.values()]) {
        call.cancel('the session has ended');
        call.fail({ code: CODE.unavailable, message: 'The session has ended' });
      }
      const gone = new RpcError({ code: CODE.unavailable, message: 'The session has ended' });
      for (const asking of asks.values()) asking.reject(gone);
      streams.closeAll();
      onClosed(self);
    },
  };
  return self;
}

function sessionStreams(primed: boolean, backlog: () => readonly string[]): Streams {
  const all = new Map<number, Stream>();
  let next = 1;
  const make = (id: number) => {
    const made = stream(id, primed);
    all.set(id, made);
    return made;
  };
  return {
    add() {
      for (const [id, { ended }] of all) {
        if (all.size <= KEPT_STREAMS) break;
        if (ended && id !== 0) all.delete(id);
      }
      return make(next++);
    },
    find: (id) => all.get(id),
    alone() {
      const alone = all.get(0) ?? make(0);
      for (const message of backlog()) alone.send(message);
      return alone;
    },
    closeAll() {
      for (const each of all.values()) each.end();
      all.clear();
    },
  };
}
