import { type KeepEvent, keep, type Started, type Timing } from '../runner/index.ts';
import {
  type Caller,
  connect,
  envelope,
  type Greeting,
  type Hello,
  type Peer,
  type PeerEvents,
  type Write,
} from './peer.ts';
import { CODE, faultOf, RpcError, type RpcFault } from './rpc/fault.ts';
import type { OpenChannel } from './upstream/channel.ts';

export interface BackendOptions {
  readonly name: string;
  readonly open: OpenChannel;
  readonly greeting: Greeting;
  readonly events: PeerEvents;
  readonly limits: BackendLimits;
  /** Kept running whether or not somebody asks; otherwise it starts with the first request. */
  readonly warm: boolean;
  readonly timing?: Partial<Timing>;
  /** Which generation it is greeted in first. One that ends over it is greeted in the other from then on. */
  readonly first: Hello['generation'];
  /** Told what happened, in words for a log. */
  readonly say: (line: string) => void;
  readonly onUp?: (peer: Peer) => void;
  /** It ended without being asked to, or couldn't be started. */
  readonly onDown?: (why: string) => void;
}

export interface BackendLimits {
  /** Requests a server works on at once. */
  readonly concurrent: number;
  /** Requests that may wait for that; more are refused. */
  readonly queued: number;
  /** For a server to start and to be greeted, in milliseconds. */
  readonly start: number;
}

export const BACKEND_LIMITS: BackendLimits = { concurrent: 256, queued: 1024, start: 60_000 };

/** After so many failed starts or early ends in a row, callers are refused at once until the next try. */
const BREAKER = 3;
/** How long a caller waits for a server that is being restarted, in milliseconds. */
const PATIENCE = 10_000;

export type BackendState = 'up' | 'starting' | 'stopped' | 'failing' | 'held' | 'closed';

/** A request on its way. */
export interface Handle {
  /** Tells the server that nobody wants the answer any more; nobody is called. */
  cancel(reason?: string): void;
}

/** One server that is kept running, or is started by need. */
export interface Backend {
  state(): BackendState;
  /** Why it failed the last time, while it hasn't been up since. */
  trouble(): string | undefined;
  current(): Peer | undefined;
  /** @throws RpcError -32000, at once where it keeps failing */
  use(): Promise<Peer>;
  /** Passes a request on, now, or when there is room, or when the server is up. */
  call(write: Write, caller: Caller): Handle;
  /** Ends it and refuses to start it again until told to. */
  hold(): Promise<void>;
  release(): void;
  close(): Promise<void>;
}

export function backend(options: BackendOptions): Backend {
  const { name, limits, say } = options;
  let peer: Peer | undefined;
  let failures = 0;
  let trouble: string | undefined;
  let retryAt = 0;
  let closed = false;
  let first = options.first;
  let held = false;
  const queue: Waiting[] = [];

  const keeper = keep<Peer>({
    async start(): Promise<Started<Peer>> {
      const events = { ...options.events, onSettled };
      const up = await connect(options.open, options.greeting, events, limits.start, first).catch((error: unknown) => {
        first = 'legacy';
        throw error;
      });
      return { up, ended: up.ended, stop: () => up.close() };
    },
    ping: (up) => ping(up, { ...options.timing }.pingTimeout ?? 10_000),
    onEvent,
    ...(options.timing ? { timing: options.timing } : {}),
  });

  function onEvent(event: KeepEvent): void {
    switch (event.kind) {
      case 'up':
        return;
      case 'waiting':
        retryAt = Date.now() + event.milliseconds;
        return;
      case 'start-failed':
        failed(`could not be started: ${event.error instanceof Error ? event.error.message : String(event.error)}`);
        return;
      case 'ended':
        peer = undefined;
        if (event.reason === 'stopped' || event.reason === 'idle') return;
        failed(event.reason === 'unhealthy' ? 'no longer answered' : (trouble ?? 'ended'));
    }
  }

  function failed(why: string): void {
    if (closed || held) return;
    failures += 1;
    trouble = why;
    say(`${name}: ${why}`);
    options.onDown?.(why);
    // On its own, so that it is back before somebody asks.
    if (options.warm) setImmediate(() => void use().catch(() => undefined));
  }

  async function begin(): Promise<Peer> {
    const up = await keeper.use();
    if (peer === up) return up;
    peer = up;
    const since = Date.now();
    void up.ended.then((why) => {
      if (peer === up) peer = undefined;
      trouble = why;
      if (Date.now() - since > 30_000) failures = 0;
    });
    trouble = undefined;
    options.onUp?.(up);
    onSettled();
    return up;
  }

  async function use(): Promise<Peer> {
    if (held) throw new RpcError({ code: CODE.unavailable, message: `The server ${name} was stopped by its operator` });
    if (keeper.state() === 'waiting' && failures >= BREAKER) throw new RpcError(down());
    // A start may take its time; a restart that waits for its turn may not.
    const patience = failures === 0 ? limits.start : PATIENCE;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new RpcError(down())), patience);
    });
    try {
      return await Promise.race([begin(), late]);
    } catch (error) {
      throw error instanceof RpcError ? error : new RpcError(down());
    } finally {
      clearTimeout(timer);
    }
  }

  function down(): RpcFault {
    const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
    return {
      code: CODE.unavailable,
      message: `The server ${name} is not running${trouble ? `: ${trouble}` : ''}`,
      data: { retryAfter: seconds },
    };
  }

  function onSettled(): void {
    while (queue.length > 0 && peer && peer.waiting < limits.concurrent) {
      const waiting = queue.shift() as Waiting;
      waiting.id = peer.request(waiting.write, waiting.caller);
      waiting.peer = peer;
    }
  }

  // Used while it works, however long one request takes.
  const idle = options.timing?.idle ?? 0;
  const busy = idle > 0 ? setInterval(() => void (peer?.waiting && keeper.use()), Math.max(20, idle / 4)) : undefined;
  busy?.unref();

  if (options.warm) void use().catch(() => undefined);

  return {
    state() {
      if (closed) return 'closed';
      if (held) return 'held';
      if (peer) return 'up';
      if (failures > 0) return 'failing';
      return keeper.state() === 'starting' ? 'starting' : 'stopped';
    },
    trouble: () => (peer ? undefined : trouble),
    current: () => peer,
    use,
    call(write, caller) {
      if (idle > 0 && peer) void keeper.use().catch(() => undefined);
      const up = peer;
      if (up && up.waiting < limits.concurrent && queue.length === 0) {
        const id = up.request(write, caller);
        return { cancel: (reason) => up.cancel(id, reason) };
      }
      if (queue.length >= limits.queued) {
        const fault = {
          code: CODE.busy,
          message: `${queue.length} requests are waiting for the server ${name} already`,
        };
        queueMicrotask(() => caller.fail(fault));
        return { cancel: () => undefined };
      }
      const waiting: Waiting = { write, caller, id: undefined, peer: undefined };
      queue.push(waiting);
      const leave = () => {
        const at = queue.indexOf(waiting);
        if (at >= 0) queue.splice(at, 1);
        return at >= 0;
      };
      if (!up) {
        use().catch((error: unknown) => {
          if (leave()) caller.fail(faultOf(error));
        });
      }
      return {
        cancel(reason) {
          if (!leave() && waiting.id !== undefined) waiting.peer?.cancel(waiting.id, reason);
        },
      };
    },
    async hold() {
      held = true;
      await peer?.close();
      peer = undefined;
    },
    release() {
      if (!held) return;
      held = false;
      failures = 0;
      trouble = undefined;
      if (options.warm) void use().catch(() => undefined);
    },
    async close() {
      closed = true;
      clearInterval(busy);
      for (const { caller } of queue.splice(0)) {
        caller.fail({ code: CODE.unavailable, message: `The server ${name} was stopped` });
      }
      await keeper.close();
      peer = undefined;
    },
  };
}

interface Waiting {
  readonly write: Write;
  readonly caller: Caller;
  id: number | undefined;
  peer: Peer | undefined;
}

const NOBODY: Greeting = { clientInfo: { name: 'mcp-build-gateway', version: '1' }, capabilities: {} };

/** Any answer shows a server that lives; many don't know `ping`. */
async function ping(peer: Peer, timeout: number): Promise<void> {
  try {
    await (peer.hello.generation === 'legacy'
      ? peer.ask('ping', {}, timeout)
      : peer.ask('server/discover', { _meta: envelope(NOBODY) }, timeout));
  } catch (error) {
    const { code } = faultOf(error);
    if (code === CODE.timeout || code === CODE.unavailable) throw error;
  }
}
