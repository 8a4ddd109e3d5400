import { McpBuildError } from '../errors/index.ts';

/** Something that has been started, and may end by itself. */
export interface Started<Up> {
  readonly up: Up;
  /** Settles when it has ended, for whatever reason. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

export type KeepEvent =
  | { readonly kind: 'up' }
  | { readonly kind: 'ended'; readonly reason: 'by-itself' | 'unhealthy' | 'idle' | 'stopped' }
  | { readonly kind: 'start-failed'; readonly error: unknown }
  /** It is started again after so many milliseconds. */
  | { readonly kind: 'waiting'; readonly milliseconds: number };

export interface KeepOptions<Up> {
  readonly start: () => Promise<Started<Up>>;
  /** Whether it still answers: an MCP ping. Rejects, or takes too long, when it doesn't. */
  readonly ping?: (up: Up) => Promise<void>;
  readonly onEvent?: (event: KeepEvent) => void;
  readonly timing?: Partial<Timing>;
}

/** In milliseconds. */
export interface Timing {
  /** Before the second start; doubled for each that follows. */
  readonly backOff: number;
  readonly longestBackOff: number;
  /** What has run so long was well: the next back-off is the first again. */
  readonly steady: number;
  readonly pingEvery: number;
  readonly pingTimeout: number;
  /** Pings in a row that may go unanswered. */
  readonly pingFailures: number;
  /** Without use it is stopped after so long, and started by the next use; 0 keeps it. */
  readonly idle: number;
}

export const TIMING: Timing = {
  backOff: 500,
  longestBackOff: 60_000,
  steady: 30_000,
  pingEvery: 30_000,
  pingTimeout: 10_000,
  pingFailures: 3,
  idle: 0,
};

export interface Keeper<Up> {
  /** What runs, started where it doesn't. Counts as use. Waits for a back-off that is under way. @throws what `start` throws; McpBuildError `stopped` */
  use(): Promise<Up>;
  state(): 'stopped' | 'starting' | 'up' | 'waiting' | 'closed';
  /** Ends it for good. */
  close(): Promise<void>;
}

/**
 * Keeps one server running for as long as somebody uses it: started by the first use, started again with growing pauses when it ends by itself, stopped when
 * it no longer answers or is no longer used. One that fails is its own problem: nothing here throws into another's.
 */
export function keep<Up>(options: KeepOptions<Up>): Keeper<Up> {
  const timing = { ...TIMING, ...options.timing };
  const say = options.onEvent ?? (() => undefined);
  let current: Started<Up> | undefined;
  let starting: Promise<Started<Up>> | undefined;
  let failures = 0;
  let notBefore = 0;
  let waiting = false;
  let closed = false;
  let used = Date.now();
  const over = new AbortController();

  const begin = async (): Promise<Started<Up>> => {
    const pause = notBefore - Date.now();
    if (pause > 0) {
      waiting = true;
      say({ kind: 'waiting', milliseconds: pause });
      await delay(pause, over.signal);
      waiting = false;
    }
    if (closed) throw stopped();
    let started: Started<Up>;
    try {
      started = await options.start();
    } catch (error) {
      say({ kind: 'start-failed', error });
      backOff();
      throw error;
    }
    if (closed) {
      await started.stop();
      throw stopped();
    }
    current = started;
    used = Date.now();
    say({ kind: 'up' });
    void watch(started);
    return started;
  };

  const backOff = () => {
    const wait = Math.min(timing.backOff * 2 ** failures, timing.longestBackOff);
    failures += 1;
    notBefore = Date.now() + wait;
  };

  const watch = async (started: Started<Up>): Promise<void> => {
    const begun = Date.now();
    const ending = new AbortController();
    const reasons = [
      started.ended.then(
        () => 'by-itself' as const,
        () => 'by-itself' as const,
      ),
      unhealthy(started.up, ending.signal),
      idle(ending.signal),
    ];
    const reason = await Promise.race(reasons);
    ending.abort();
    if (current === started) current = undefined;
    if (closed) return;
    if (Date.now() - begun >= timing.steady) failures = 0;
    // What is stopped for want of use did nothing wrong.
    if (reason === 'idle') failures = 0;
    else backOff();
    await started.stop().catch(() => undefined);
    say({ kind: 'ended', reason });
  };

  const unhealthy = async (up: Up, signal: AbortSignal): Promise<'unhealthy'> => {
    const { ping } = options;
    if (!ping) return never();
    let missed = 0;
    while (missed < timing.pingFailures) {
      await delay(timing.pingEvery, signal);
      if (signal.aborted) return never();
      const answered = await Promise.race([
        ping(up).then(
          () => true,
          () => false,
        ),
        delay(timing.pingTimeout, signal).then(() => false),
      ]);
      missed = answered ? 0 : missed + 1;
    }
    return 'unhealthy';
  };

  const idle = async (signal: AbortSignal): Promise<'idle'> => {
    if (timing.idle === 0) return never();
    for (;;) {
      const left = used + timing.idle - Date.now();
      if (left <= 0) return 'idle';
      await delay(left, signal);
      if (signal.aborted) return never();
    }
  };

  return {
    async use() {
      if (closed) throw stopped();
      used = Date.now();
      if (current) return current.up;
      starting ??= begin().finally(() => {
        starting = undefined;
      });
      return (await starting).up;
    },
    state() {
      if (closed) return 'closed';
      if (current) return 'up';
      if (waiting) return 'waiting';
      return starting ? 'starting' : 'stopped';
    },
    async close() {
      if (closed) return;
      closed = true;
      over.abort();
      const running = current;
      current = undefined;
      await starting?.catch(() => undefined);
      await running?.stop();
      if (running) say({ kind: 'ended', reason: 'stopped' });
    },
  };
}

function stopped(): McpBuildError {
  return new McpBuildError({
    code: 'stopped',
    message: 'The server has been stopped',
    fix: 'Start it again.',
  });
}

/** Ends early, and without an error, when it is no longer wanted. */
function delay(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end);
  });
}

/** For a race that another wins; unreachable, and with it collected, afterwards. */
function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}
