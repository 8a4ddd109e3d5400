import type { Backend, Handle } from '../backend.ts';
import { take } from '../http/streamable.ts';
import { type Pending, unwatch, watch } from '../http/watch.ts';
import { type Identity, mayUse } from '../identity.ts';
import { type Caller, envelope, type Greeting, type Hello, type Peer, type Write } from '../peer.ts';
import { quickAnswer, slowAnswer } from '../rpc/answer.ts';
import { CODE, faultOf, RpcError, type RpcFault } from '../rpc/fault.ts';
import { isObject, type Params, type Request, readMessage, textOf } from '../rpc/message.ts';
import type { Service } from '../service.ts';
import type { Session } from '../session.ts';
import { fromModern, toModern } from '../translate.ts';
import { LISTS, wholeList } from './lists.ts';
import { type Names, names } from './names.ts';
import { answerHere, answerOf, routed } from './requests.ts';

export interface BoardOptions {
  readonly members: () => readonly Service[];
  readonly identity: () => Identity;
  readonly hello: () => Hello;
  readonly missing: (member: Service, why: string) => void;
  /** A client of 2025, which has a session with each server that it uses; one of 2026 has none. */
  readonly client?: {
    readonly greeting: Greeting;
    readonly version: string;
    readonly deliver: (text: string) => void;
    /** The client was asked something under this id, in JSON. */
    readonly asked: (id: string) => void;
  };
}

export interface Board extends Backend {
  /** The servers have changed: sessions with those that are gone end. */
  refresh(): void;
}

/** One caller's way to every server they may use, as if it were one server of 2026. */
export function board(options: BoardOptions): Board {
  const { client } = options;
  const sessions = new Map<Service, Promise<Session>>();
  /** What servers asked this client: under the id here, of which session and under which id there. */
  const asked = new Map<string, { readonly member: Service; readonly session: Session; readonly id: string }>();
  let next = 1;

  const mine = () => options.members().filter(({ name }) => mayUse(options.identity(), name));
  /** Over all servers, so that a name means the same to everybody. */
  const allNames = () => names(options.members().map(({ name }) => name));

  function sessionWith(member: Service): Promise<Session> {
    let found = sessions.get(member);
    if (!found) {
      const { greeting, version } = client as NonNullable<typeof client>;
      const held: { session?: Session } = {};
      found = member.open(options.identity(), greeting, version, (text) => heard(member, held.session, text));
      found.then(
        (session) => {
          held.session = session;
        },
        () => sessions.delete(member),
      );
      sessions.set(member, found);
    }
    return found;
  }

  /** A server says something to this client. */
  function heard(member: Service, session: Session | undefined, text: string): void {
    const message = JSON.parse(text) as { id?: unknown; method?: string; params?: unknown };
    // Of the servers that clients share, every client hears already.
    if (message.method?.endsWith('/list_changed') && !session?.own) return;
    if (message.method === 'notifications/resources/updated' && isObject(message.params)) {
      const uri = allNames().uri(member.name, textOf(message.params.uri));
      client?.deliver(JSON.stringify({ ...message, params: { ...message.params, uri } }));
      return;
    }
    if (message.id === undefined || message.method === undefined || !session) {
      client?.deliver(text);
      return;
    }
    const id = `${member.name}-${next++}`;
    asked.set(JSON.stringify(id), { member, session, id: JSON.stringify(message.id) });
    client?.asked(JSON.stringify(id));
    client?.deliver(JSON.stringify({ ...message, id }));
  }

  /** The client answers a server, or tells every server something. */
  function send(text: string): boolean {
    const message = readMessage(Buffer.from(text));
    if (message.kind === 'response') {
      const of = asked.get(message.id);
      if (!of || !asked.delete(message.id)) return false;
      const { id: _id, ...rest } = JSON.parse(text) as { id: unknown };
      const given = JSON.stringify({ ...rest, id: JSON.parse(of.id) as unknown });
      take(of.member, of.session, readMessage(Buffer.from(given)), options.identity());
      return true;
    }
    for (const [member, opening] of sessions) {
      void opening.then((session) => take(member, session, message, options.identity())).catch(() => undefined);
    }
    return true;
  }

  /** Hands a request to one server, in the words of that server. */
  async function hand(member: Service, request: Request, caller: Caller, by: Names): Promise<Handle> {
    const identity = options.identity();
    const session = client && (await sessionWith(member));
    if (session) session.identity = identity;
    const instead = session
      ? member.instead(session, request)
      : refusal(request, member.refuses(identity, request.method, request.params));
    if (instead !== undefined) {
      const { error, result } = JSON.parse(instead) as { error?: RpcFault; result?: object };
      if (error) caller.fail(error);
      else caller.answer(answerOf(0, result ?? {}));
      return NOTHING;
    }
    const behind = session?.backend ?? member.common;
    const limited = inTime(member, caller);
    const write: Write = (own, generation) => fromModern(request, own, generation);
    const handle = member.call(identity, behind, request, write, {
      ...limited.caller,
      answer(answer) {
        const hello = behind.current()?.hello;
        const here = answerHere(answer, member.name, by);
        if (client || !hello || hello.generation === 'modern' || here.failed) return limited.caller.answer(here);
        const line = toModern(here.line, request.method, hello);
        limited.caller.answer(quickAnswer(line) ?? slowAnswer(line) ?? here);
      },
    });
    limited.begin(handle);
    return handle;
  }

  function ask(member: Service, method: string, params: Params): Promise<Params> {
    return new Promise((resolve, reject) => {
      const meta = client
        ? {}
        : envelope({ clientInfo: { name: 'mcp-build-gateway', version: '1' }, capabilities: {} });
      const text = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } });
      const request = readMessage(Buffer.from(text)) as Request;
      const write: Write = (own, generation) => fromModern(request, own, generation);
      member.call(options.identity(), member.common, request, write, {
        answer(answer) {
          const { result, error } = JSON.parse(answer.line.toString('utf8')) as { result?: unknown; error?: RpcFault };
          if (isObject(result)) resolve(result);
          else reject(new RpcError(error ?? { code: CODE.internal, message: 'It answered without a result' }));
        },
        fail: (fault) => reject(new RpcError(fault)),
      });
    });
  }

  async function list(method: string): Promise<Params> {
    const found = await wholeList(method, {
      members: mine(),
      identity: options.identity(),
      names: allNames(),
      ask,
      missing: options.missing,
    });
    return client ? found : { resultType: 'complete', ttlMs: 0, cacheScope: 'private', ...found };
  }

  async function route(request: Request, caller: Caller): Promise<Handle> {
    const { method } = request;
    if (method === 'ping' || method === 'logging/setLevel') {
      caller.answer(answerOf(0, {}));
      if (method !== 'ping') for (const member of mine()) void tell(member, request);
      return NOTHING;
    }
    if (Object.hasOwn(LISTS, method)) {
      caller.answer(answerOf(0, await list(method)));
      return NOTHING;
    }
    const by = allNames();
    const to = routed(request, by);
    const member = to && mine().find(({ name }) => name === to.server);
    if (to && member) return hand(member, to.request, caller, by);
    const known = ROUTED.has(method);
    caller.fail(
      known
        ? {
            code: CODE.params,
            message: `Unknown ${method === 'tools/call' ? 'tool' : 'name'}: it is of no server here`,
          }
        : { code: CODE.method, message: `${method} is no method here` },
    );
    return NOTHING;
  }

  /** A wish of a client for servers of its own; nobody waits for what they say to it. */
  async function tell(member: Service, request: Request): Promise<void> {
    const session = await sessions.get(member)?.catch(() => undefined);
    if (!session?.own) return;
    const write: Write = (own, generation) => fromModern(request, own, generation);
    session.backend.call(write, { answer: () => undefined, fail: () => undefined });
  }

  const peer: Peer = {
    get hello() {
      return options.hello();
    },
    ended: new Promise<string>(() => undefined),
    waiting: 0,
    request(write, caller) {
      self.call(write, caller);
      return 0;
    },
    ask: () => Promise.reject(new RpcError({ code: CODE.method, message: 'Nothing is asked of all servers at once' })),
    cancel: () => undefined,
    send,
    close: async () => undefined,
  };

  const self: Board = {
    state: () => 'up',
    trouble: () => undefined,
    current: () => peer,
    use: async () => peer,
    call(write, caller) {
      const request = readMessage(Buffer.from(write(0, 'modern'))) as Request;
      let cancelled: { readonly reason: string | undefined } | undefined;
      let handle: Handle | undefined;
      route(request, caller).then(
        (found) => {
          handle = found;
          if (cancelled) found.cancel(cancelled.reason);
        },
        (error: unknown) => caller.fail(faultOf(error)),
      );
      return {
        cancel(reason) {
          cancelled = { reason };
          handle?.cancel(reason);
        },
      };
    },
    hold: async () => undefined,
    release: () => undefined,
    async close() {
      for (const opening of sessions.values()) void opening.then((session) => session.close()).catch(() => undefined);
      sessions.clear();
      asked.clear();
    },
    refresh() {
      const members = new Set(options.members());
      for (const [member, opening] of sessions) {
        if (members.has(member)) continue;
        sessions.delete(member);
        void opening.then((session) => session.close()).catch(() => undefined);
      }
    },
  };
  return self;
}

const NOTHING: Handle = { cancel: () => undefined };

const ROUTED: ReadonlySet<string> = new Set([
  'tools/call',
  'prompts/get',
  'resources/read',
  'resources/subscribe',
  'resources/unsubscribe',
  'completion/complete',
]);

function refusal({ id }: Request, fault: RpcFault | undefined): string | undefined {
  return fault && JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(id) as unknown, error: fault });
}

/** Each server has a limit of its own, and the address that they share has none. */
function inTime(member: Service, caller: Caller): { readonly caller: Caller; begin(handle: Handle): void } {
  if (member.timeout <= 0) return { caller, begin: () => undefined };
  let over = false;
  const once = (act: () => void) => {
    if (over) return;
    over = true;
    if (pending) unwatch(pending);
    act();
  };
  let pending: Pending | undefined;
  return {
    caller: {
      ...caller,
      answer: (answer) => once(() => caller.answer(answer)),
      fail: (fault) => once(() => caller.fail(fault)),
    },
    begin(handle) {
      if (over) return;
      pending = {
        since: performance.now(),
        waited(milliseconds) {
          if (milliseconds <= member.timeout) return;
          handle.cancel('timeout');
          const message = `The server gave no answer within ${member.timeout} ms`;
          once(() => caller.fail({ code: CODE.timeout, message }));
        },
      };
      watch(pending);
    },
  };
}
