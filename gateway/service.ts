import type { Timing } from '../runner/index.ts';
import { type Backend, type BackendLimits, type BackendState, backend, type Handle } from './backend.ts';
import type { Identity } from './identity.ts';
import { mayCall } from './identity.ts';
import { type Caller, envelope, type Greeting, type Hello, type Peer, type PeerEvents, type Write } from './peer.ts';
import { type Breach, type Policy, policed } from './policy/policy.ts';
import { CODE, faultText, type RpcFault } from './rpc/fault.ts';
import { isObject, type Params, type Request, textOf } from './rpc/message.ts';
import { type Mirrored, mirroredOf } from './rpc/mirrored.ts';
import { gate, type Refusal, type Rules } from './rules.ts';
import { type Session, session } from './session.ts';
import { type SessionLimits, sessionTable } from './sessions.ts';
import { type Subscriptions, subscriptions } from './subscriptions.ts';
import type { OpenChannel } from './upstream/channel.ts';
import type { Call, Observer } from './watching/observer.ts';
import { watchedCall } from './watching/watched.ts';

export interface ServiceOptions {
  readonly name: string;
  readonly open: OpenChannel;
  readonly rules: Rules;
  /** What may be said to it and by it. */
  readonly policy?: Policy | undefined;
  /** Judges each tool as it is listed now. */
  readonly judge?: Refusal;
  /** `auto`: one for each client where the server keeps something for a connection, by what it says of itself. */
  readonly sessions: 'shared' | 'per-client' | 'auto';
  /** Started only by the first request. */
  readonly lazy: boolean;
  /** What the server that clients share is greeted in first: 2026 loses nothing of a server that speaks both. */
  readonly first: Hello['generation'];
  readonly limits: BackendLimits & SessionLimits;
  readonly timing?: Partial<Timing>;
  /** For a request, in milliseconds; 0 for no limit. */
  readonly timeout: number;
  readonly say: (line: string) => void;
  /** Sees every call, and may hold it up. */
  readonly observer?: Observer;
  /** Of the image that answers, where it is one. */
  readonly digest?: () => string | undefined;
}

const GATEWAY: Greeting = { clientInfo: { name: 'mcp-build-gateway', version: '1' }, capabilities: {} };

/** One server of the gateway: what runs behind it, and who is connected. */
export interface Service {
  readonly name: string;
  readonly timeout: number;
  /** Changes that this caller may hear of. */
  subscriptionsOf(identity: Identity): Subscriptions;
  /** The server for whoever needs none of their own. */
  readonly common: Backend;
  hello(identity: Identity): Promise<Hello>;
  /** @throws RpcError -32000 */
  open(identity: Identity, greeting: Greeting, version: string, direct?: (text: string) => void): Promise<Session>;
  /** The session, where it is this caller's. */
  find(id: string, identity: Identity): Session | undefined;
  /** Why this caller may not ask this, or undefined. */
  refuses(identity: Identity, method: string, params: Params | undefined): RpcFault | undefined;
  /** Whether this caller sees every tool that the server lists; otherwise those that `offered` leaves. */
  offersAll(identity: Identity): boolean;
  offered(identity: Identity, tools: readonly unknown[]): unknown[];
  /** Which parameters of the tool that a call names are repeated in headers; it may have to be asked first. */
  mirrored(identity: Identity, params: Params | undefined): readonly Mirrored[] | Promise<readonly Mirrored[]>;
  /** The answer to what the gateway answers in the server's place, refusals among it. */
  instead(session: Session, request: Request): string | undefined;
  /** Passes a request on to a server of this service, in front of whoever watches. */
  call(identity: Identity, behind: Backend, request: Request, write: Write, caller: Caller): Handle;
  state(): BackendState;
  trouble(): string | undefined;
  count(): { readonly sessions: number; readonly own: number };
  close(): Promise<void>;
}

export function service(options: ServiceOptions): Service {
  const { name, limits, say, observer } = options;
  const rules = gate(options.rules, options.judge);
  const sessions = sessionTable(limits);
  let last: Hello | undefined;
  let closed = false;
  /** Of every tool that has some; undefined until somebody needs to know. */
  let mirrored: ReadonlyMap<string, readonly Mirrored[]> | undefined;
  let learning: Promise<void> | undefined;

  const common = start({
    name,
    greeting: GATEWAY,
    warm: !options.lazy,
    first: options.first,
    events: {
      onNotification(method, params) {
        if (method === 'notifications/tools/list_changed') changed(common.current());
        if (method === 'notifications/resources/updated') watching.updated(params);
        // What one client's request made it say is no other's business; that a list changed is everybody's.
        if (!method.endsWith('/list_changed')) return;
        watching.changed(method);
        for (const each of sessions.all()) if (!each.own) each.deliver(JSON.stringify({ jsonrpc: '2.0', method }));
      },
      onRequest(id, method) {
        const answer =
          method === 'ping'
            ? `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{}}`
            : faultText(JSON.stringify(id), { code: CODE.method, message: 'No client is connected to this server' });
        common.current()?.send(answer);
      },
    },
    onUp(peer) {
      observer?.incident({ kind: 'started', server: name, digest: options.digest?.() });
      last = peer.hello;
      watching.again();
      changed(peer);
    },
  });
  const watching = subscriptions(common, GATEWAY);

  function start(given: {
    readonly name: string;
    readonly greeting: Greeting;
    readonly warm: boolean;
    readonly first: Hello['generation'];
    readonly events: PeerEvents;
    readonly onUp?: (peer: Peer) => void;
  }): Backend {
    const timing = options.timing ? { timing: options.timing } : {};
    const onDown = (why: string) => observer?.incident({ kind: 'down', server: name, why });
    return backend({ ...given, ...timing, open: options.open, limits, say, onDown });
  }

  /** What it lists may be another now. */
  function changed(peer: Peer | undefined): void {
    learning = undefined;
    if (mirrored === undefined && rules.open) return;
    mirrored = undefined;
    if (peer) learning = learn(peer);
  }

  async function learn(peer: Peer): Promise<void> {
    if (!peer.hello.capabilities.tools) {
      mirrored = new Map();
      return;
    }
    const meta = peer.hello.generation === 'modern' ? { _meta: envelope(GATEWAY) } : {};
    const tools: unknown[] = [];
    const seen = new Set<unknown>();
    try {
      for (let cursor: unknown; ; ) {
        const page: Params = await peer.ask(
          'tools/list',
          { ...meta, ...(cursor === undefined ? {} : { cursor }) },
          30_000,
        );
        if (Array.isArray(page.tools)) tools.push(...page.tools);
        cursor = page.nextCursor;
        if (typeof cursor !== 'string' || cursor === '' || seen.has(cursor) || tools.length > 5000) break;
        seen.add(cursor);
      }
      rules.learn(tools);
      mirrored = new Map(
        tools.flatMap((tool) => {
          if (!isObject(tool) || typeof tool.name !== 'string') return [];
          const found = mirroredOf(tool.inputSchema);
          return found.length === 0 ? [] : [[tool.name, found] as const];
        }),
      );
    } catch {
      // What it lists isn't known: with rules that look at it, nothing is let through.
      rules.learn([]);
      mirrored = new Map();
    }
  }

  async function mirroredOnceKnown(tool: string): Promise<readonly Mirrored[]> {
    // One that can't be used now answers the call with why.
    const peer = await common.use().catch(() => undefined);
    if (!peer) return [];
    learning ??= learn(peer);
    await learning;
    return mirrored?.get(tool) ?? [];
  }

  async function hello(): Promise<Hello> {
    const peer = common.current();
    if (peer) return peer.hello;
    // A client may be greeted while the server is down or asleep: it is the same server when it is back.
    return last ?? (await common.use()).hello;
  }

  async function wantsOwn(): Promise<boolean> {
    if (options.sessions !== 'auto') return options.sessions === 'per-client';
    return keepsState((await hello()).capabilities);
  }

  function refuses(identity: Identity, method: string, params: Params | undefined): RpcFault | undefined {
    if (method !== 'tools/call' || (rules.open && identity.tools === undefined)) return undefined;
    const tool = typeof params?.name === 'string' ? params.name : '';
    const refused = mayCall(identity, name, tool)
      ? rules.refuses(tool)
      : { code: CODE.params, message: `Unknown tool: ${tool} (your token doesn't let you call it)` };
    if (refused && observer) {
      const { code } = refused;
      observer.incident({ kind: 'call-refused', server: name, client: identity, method, target: tool, code });
    }
    return refused;
  }

  function told(identity: Identity, { method, params, text }: Request): Call {
    const target = params?.name ?? params?.uri;
    return {
      client: identity,
      server: name,
      digest: options.digest?.(),
      method,
      target: typeof target === 'string' ? target : undefined,
      size: text.length,
    };
  }

  function blocked(client: Identity, method: string, target: string | undefined, breach: Breach): void {
    observer?.incident({ kind: 'call-blocked', server: name, client, method, target, ...breach });
  }

  /** Whether what a server says by itself may be passed on. */
  function mayHear(client: Identity, method: string, text: string): boolean {
    const breach = options.policy?.message(text);
    if (breach) blocked(client, method, undefined, breach);
    return breach === undefined;
  }

  /** What would change the server for all who share it. */
  function shared(asking: Session, { id, method, params }: Request): string | undefined {
    const done = `{"jsonrpc":"2.0","id":${id},"result":{}}`;
    if (method === 'logging/setLevel') return done;
    const uri = typeof params?.uri === 'string' ? params.uri : '';
    if (method === 'resources/unsubscribe') {
      watching.unwatch(asking, uri);
      return done;
    }
    if (method !== 'resources/subscribe') return undefined;
    if (uri !== '' && watching.watch(asking, uri)) return done;
    return faultText(id, { code: CODE.params, message: 'Too many resources are watched, or none is named' });
  }

  return {
    name,
    offersAll: ({ tools }) => rules.open && tools === undefined,
    offered: (identity, tools) =>
      rules.sift(tools).filter((tool) => isObject(tool) && mayCall(identity, name, textOf(tool.name))),
    timeout: options.timeout,
    subscriptionsOf: () => watching,
    common,
    hello,
    async open(identity, greeting, version, direct) {
      const own = await wantsOwn();
      sessions.makeRoom(own);
      const held: { session?: Session } = {};
      const behind = own
        ? start({
            name: `${name} (for ${identity.name})`,
            greeting,
            warm: false,
            first: 'legacy',
            events: toOne(
              () => held.session,
              (method, text) => mayHear(held.session?.identity ?? identity, method, text),
            ),
          })
        : common;
      if (own) await behind.use();
      const opened = session({
        identity,
        greeting,
        version,
        backend: behind,
        own,
        direct,
        onClosed(gone) {
          sessions.delete(gone);
          watching.drop(gone);
          if (own) void behind.close().catch((error: unknown) => say(`${name}: ${String(error)}`));
        },
      });
      held.session = opened;
      if (closed) opened.close();
      else sessions.add(opened);
      return opened;
    },
    find: sessions.find,
    call(identity, behind, request, write, caller) {
      const call = observer && told(identity, request);
      const { method } = request;
      const to = options.policy
        ? policed(options.policy, behind, request, (breach) => blocked(identity, method, call?.target, breach))
        : behind;
      return call
        ? watchedCall(observer, call, to, write, caller, observer.trace?.(call, request))
        : to.call(write, caller);
    },
    refuses,
    mirrored(_identity, params) {
      const tool = typeof params?.name === 'string' ? params.name : '';
      return mirrored === undefined ? mirroredOnceKnown(tool) : (mirrored.get(tool) ?? []);
    },
    instead(asking, request) {
      const refused = refuses(asking.identity, request.method, request.params);
      if (refused) return faultText(request.id, refused);
      return asking.own ? undefined : shared(asking, request);
    },
    state: () => common.state(),
    trouble: () => common.trouble(),
    count: sessions.count,
    async close() {
      closed = true;
      const owned = [...sessions.all()].filter(({ own }) => own).map(({ backend: behind }) => behind);
      sessions.close();
      await Promise.allSettled([common.close(), ...owned.map((each) => each.close())]);
    },
  };
}

/** A server with one client: what it says is for that one, what it asks is asked of that one. */
function toOne(of: () => Session | undefined, mayHear: (method: string, text: string) => boolean): PeerEvents {
  return {
    onNotification(method, _params, text) {
      if (mayHear(method, text)) of()?.deliver(text);
    },
    onRequest(id, method, text) {
      const client = of();
      const name = JSON.stringify(id);
      if (method === 'ping' || !client) {
        const answer = client ? `{"jsonrpc":"2.0","id":${name},"result":{}}` : faultText(name, NOBODY);
        client?.backend.current()?.send(answer);
        return;
      }
      if (!mayHear(method, text)) {
        const fault = { code: CODE.forbidden, message: 'The gateway did not pass this on: it holds a secret' };
        client.backend.current()?.send(faultText(name, fault));
        return;
      }
      client.asked.add(name);
      client.deliver(text);
    },
  };
}

const NOBODY: RpcFault = { code: CODE.method, message: 'No client is connected to this server' };

/** A level of logging, a subscription and a task belong to a connection: two clients on one would get each other's. */
function keepsState(capabilities: Params): boolean {
  const { logging, resources, tasks } = capabilities;
  return logging !== undefined || tasks !== undefined || (isObject(resources) && resources.subscribe === true);
}
