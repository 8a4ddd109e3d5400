import { type Answer, quickAnswer, slowAnswer } from './rpc/answer.ts';
import { CODE, faultOf, RpcError, type RpcFault } from './rpc/fault.ts';
import { isObject, metaOf, type Params } from './rpc/message.ts';
import type { Channel, OpenChannel } from './upstream/channel.ts';

/** The newest revision of the generation with `initialize`, and the first without. */
export const LEGACY = '2025-11-25';
export const MODERN = '2026-07-28';

/** `_meta` members of 2026-07-28 that say what `initialize` once said. */
export const META = {
  version: 'io.modelcontextprotocol/protocolVersion',
  client: 'io.modelcontextprotocol/clientInfo',
  capabilities: 'io.modelcontextprotocol/clientCapabilities',
  log: 'io.modelcontextprotocol/logLevel',
  server: 'io.modelcontextprotocol/serverInfo',
  subscription: 'io.modelcontextprotocol/subscriptionId',
} as const;

/** So long that most clients' ids have room in their place: see `withId`. */
const FIRST_ID = 1_000_000_000;

/** What a server said of itself when it was greeted. */
export interface Hello {
  readonly generation: 'legacy' | 'modern';
  readonly capabilities: Params;
  readonly serverInfo: Params;
  readonly instructions: string | undefined;
}

/** Whom the gateway speaks for. */
export interface Greeting {
  readonly clientInfo: Params;
  readonly capabilities: Params;
}

/** Who waits for an answer. Exactly one of `answer` and `fail` is called, once. */
export interface Caller {
  readonly answer: (answer: Answer) => void;
  readonly fail: (fault: RpcFault) => void;
  /** Progress of this request alone; `params` still hold the gateway's token. */
  readonly progress?: (params: Params) => void;
  /** Nobody waits for it: it goes on as long as the server does. */
  readonly background?: boolean;
}

export interface PeerEvents {
  /** What is about the server rather than about one request. */
  readonly onNotification: (method: string, params: Params | undefined, text: string) => void;
  /** The server asks something. */
  readonly onRequest: (id: string | number, method: string, text: string) => void;
  /** A request was answered, given up or failed: there is room for another. */
  readonly onSettled?: () => void;
}

/** A request's text, once its id and what the server speaks are known. */
export type Write = (id: number, generation: Hello['generation']) => string;

/** A greeted server. */
export interface Peer {
  readonly hello: Hello;
  readonly ended: Promise<string>;
  /** Requests that somebody waits for. */
  readonly waiting: number;
  /** Passes a request on under an id of the gateway's own, and says which. */
  request(write: Write, caller: Caller): number;
  /** Asks something itself. @throws RpcError what the server answers, -32001 after `timeout` ms, -32000 when it ended */
  ask(method: string, params: Params, timeout: number): Promise<Params>;
  /** The caller no longer wants to know; the server is told. */
  cancel(id: number, reason?: string): void;
  send(text: string): boolean;
  close(): Promise<void>;
}

/**
 * Opens a way to a server and greets it: in the generation that is wanted, and where that is refused in the other.
 * @param timeout for the greeting, in milliseconds
 * @throws RpcError when it doesn't speak MCP; what `open` throws
 */
export async function connect(
  open: OpenChannel,
  greeting: Greeting,
  events: PeerEvents,
  timeout: number,
  first: Hello['generation'] = 'legacy',
): Promise<Peer> {
  let background = 0;
  const pending = new Map<number, Caller>();
  let next = FIRST_ID;
  let over: string | undefined;
  let generation: Hello['generation'] = 'legacy';
  const channel: Channel = await open(receive);

  const failAll = (why: string) => {
    over = why;
    for (const caller of pending.values())
      caller.fail({ code: CODE.unavailable, message: `The server is gone: ${why}` });
    pending.clear();
  };
  const ended = channel.ended.then((why) => {
    failAll(why);
    return why;
  });

  function receive(line: Buffer): void {
    const quick = quickAnswer(line);
    if (quick) settle(quick);
    else slow(line);
  }

  function settle(answer: Answer): void {
    const caller = pending.get(answer.id);
    // Answers to what nobody asked, or asks no longer, are nobody's.
    if (!caller) return;
    drop(answer.id);
    caller.answer(answer);
    events.onSettled?.();
  }

  function drop(id: number): boolean {
    if (pending.get(id)?.background) background -= 1;
    return pending.delete(id);
  }

  function slow(line: Buffer): void {
    const text = line.toString('utf8');
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // Prints of a careless server between its messages.
      return;
    }
    if (!isObject(value)) return;
    const { id, method } = value;
    if (typeof method !== 'string') {
      const answer = slowAnswer(line);
      if (answer) settle(answer);
      return;
    }
    const params = isObject(value.params) ? value.params : undefined;
    if (typeof id === 'string' || typeof id === 'number') events.onRequest(id, method, text);
    else if (method === 'notifications/progress') pending.get(Number(params?.progressToken))?.progress?.(params ?? {});
    else if (id === undefined) events.onNotification(method, params, text);
  }

  function submit(text: string, id: number, caller: Caller): void {
    pending.set(id, caller);
    if (caller.background) background += 1;
    if (over === undefined && channel.send(text)) return;
    drop(id);
    const message = over === undefined ? 'The server has stopped reading' : `The server is gone: ${over}`;
    queueMicrotask(() => caller.fail({ code: CODE.unavailable, message }));
  }

  const peer: Omit<Peer, 'hello'> = {
    ended,
    get waiting() {
      return pending.size - background;
    },
    request(write, caller) {
      const id = next++;
      submit(write(id, generation), id, caller);
      return id;
    },
    ask(method, params, limit) {
      const id = next++;
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          peer.cancel(id, 'timeout');
          reject(new RpcError({ code: CODE.timeout, message: `No answer to ${method} within ${limit} ms` }));
        }, limit);
        const done = (act: () => void) => {
          clearTimeout(timer);
          act();
        };
        submit(JSON.stringify({ jsonrpc: '2.0', id, method, params }), id, {
          answer: ({ line }) => done(() => read(line, resolve, reject)),
          fail: (fault) => done(() => reject(new RpcError(fault))),
        });
      });
    },
    cancel(id, reason) {
      if (!drop(id) || over !== undefined) return;
      const params = { requestId: id, ...(reason === undefined ? {} : { reason }) };
      channel.send(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params }));
      events.onSettled?.();
    },
    send: (text) => over === undefined && channel.send(text),
    async close() {
      failAll('it was stopped');
      await channel.close();
    },
  };
  try {
    const hello = await greet(peer, greeting, timeout, first);
    generation = hello.generation;
    // A getter must stay one.
    return Object.defineProperties({ hello } as Peer, Object.getOwnPropertyDescriptors(peer));
  } catch (error) {
    await peer.close().catch(() => undefined);
    throw error;
  }
}

/** For a server that isn't asked in its own generation: many say nothing before `initialize`. In milliseconds. */
const DISCOVER_TIMEOUT = 10_000;

async function greet(
  peer: Omit<Peer, 'hello'>,
  greeting: Greeting,
  timeout: number,
  first: Hello['generation'],
): Promise<Hello> {
  if (first === 'modern') {
    try {
      return await discover(peer, greeting, Math.min(timeout, DISCOVER_TIMEOUT));
    } catch (error) {
      // Any answer, and silence, is that of a server of the older generation; one that is gone is gone.
      if (faultOf(error).code === CODE.unavailable) throw error;
      return initialize(peer, greeting, timeout);
    }
  }
  try {
    return await initialize(peer, greeting, timeout);
  } catch (error) {
    // What a server answers that never heard of initialize, or no longer takes it.
    if (!REFUSED.has(faultOf(error).code)) throw error;
    return discover(peer, greeting, timeout);
  }
}

const REFUSED: ReadonlySet<number> = new Set([CODE.method, CODE.version, CODE.params, CODE.request]);

async function initialize(peer: Omit<Peer, 'hello'>, greeting: Greeting, timeout: number): Promise<Hello> {
  const said = await peer.ask('initialize', { protocolVersion: LEGACY, ...greeting }, timeout);
  peer.send('{"jsonrpc":"2.0","method":"notifications/initialized"}');
  return hello('legacy', said, said.serverInfo);
}

async function discover(peer: Omit<Peer, 'hello'>, greeting: Greeting, timeout: number): Promise<Hello> {
  const said = await peer.ask('server/discover', { _meta: envelope(greeting) }, timeout);
  if (!Array.isArray(said.supportedVersions) || !said.supportedVersions.includes(MODERN)) {
    throw new RpcError({ code: CODE.version, message: `It doesn’t speak ${MODERN}` });
  }
  return hello('modern', said, metaOf(said)?.[META.server]);
}

/** `_meta` of a request of 2026-07-28. */
export function envelope({ clientInfo, capabilities }: Greeting): Record<string, unknown> {
  return { [META.version]: MODERN, [META.client]: clientInfo, [META.capabilities]: capabilities };
}

function hello(generation: Hello['generation'], said: Params, serverInfo: unknown): Hello {
  return {
    generation,
    capabilities: isObject(said.capabilities) ? said.capabilities : {},
    serverInfo: isObject(serverInfo) ? serverInfo : { name: 'unknown', version: '0' },
    instructions: typeof said.instructions === 'string' ? said.instructions : undefined,
  };
}

function read(line: Buffer, resolve: (result: Params) => void, reject: (error: Error) => void): void {
  try {
    const { result, error } = JSON.parse(line.toString('utf8')) as { result?: unknown; error?: unknown };
    if (isObject(result)) {
      resolve(result);
      return;
    }
    const fault = isObject(error) ? error : {};
    reject(
      new RpcError({
        code: typeof fault.code === 'number' ? fault.code : CODE.internal,
        message: typeof fault.message === 'string' ? fault.message : 'The server answered without a result',
        data: fault.data,
      }),
    );
  } catch {
    reject(new RpcError({ code: CODE.internal, message: 'The server answered with something that is not JSON' }));
  }
}
