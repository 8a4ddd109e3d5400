import { McpBuildError } from '../errors/index.ts';
import { type Started, TIMING, type Timing } from './keep.ts';

/** When one that ended while it waited is started again. */
export type Restart =
  | { readonly when: 'always' }
  /** After an exit code other than 0, or a start that failed; given up after so many in a row. */
  | { readonly when: 'on-failure'; readonly most: number }
  | { readonly when: 'no' };

export type PoolEvent =
  | { readonly kind: 'ready' }
  | { readonly kind: 'taken' }
  | { readonly kind: 'ended'; readonly reason: 'by-itself' | 'unhealthy' | 'idle' | 'replaced' }
  | { readonly kind: 'start-failed'; readonly error: unknown }
  /** The next is started after so many milliseconds. */
  | { readonly kind: 'waiting'; readonly milliseconds: number }
  | { readonly kind: 'given-up' };

export interface PoolOptions<Up> {
  /** How many wait, started and unused. */
  readonly size: number;
  readonly start: () => Promise<Started<Up>>;
  /** Whether one that waits still answers. Rejects when it doesn't. */
  readonly ping?: (up: Up) => Promise<void>;
  /** Whether an end by itself was a failure; it was, without this. */
  readonly failed?: (ended: unknown) => boolean;
  readonly restart?: Restart;
  readonly timing?: Partial<Timing>;
  readonly onEvent?: (event: PoolEvent) => void;
}

export type PoolState = 'ready' | 'starting' | 'waiting' | 'idle' | 'stopped' | 'given-up' | 'closed';

export interface Pool<Up> {
  /** One that waits, now the caller's own: it is neither watched nor stopped from here on. Undefined where none is ready. Counts as use: another is started in its place. */
  take(): Started<Up> | undefined;
  readonly state: () => PoolState;
  readonly ready: () => readonly Up[];
  /** Starts that failed, and ends by themselves, since one was last steady. */
  readonly failures: () => number;
  readonly lastError: () => unknown;
  /** Stops those that wait, and starts new ones at once. */
  replace(): Promise<void>;
  close(): Promise<void>;
}

interface Waiting<Up> extends Started<Up> {
  readonly since: number;
  /** Ends the watch over it. */
  readonly leave: AbortController;
}

/**
 * Keeps servers started ahead of their use. A stdio server has one client in its life, so what is taken is never put back: the next is started in its
 * place, with growing pauses where servers end by themselves or fail to start. Each start is the caller's, who verifies what it starts.
 */
export function pool<Up>(options: PoolOptions<Up>): Pool<Up> {
  const timing = { ...TIMING, ...options.timing };
  const restart = options.restart ?? { when: 'always' };
  const say = options.onEvent ?? (() => undefined);
  const waiting: Waiting<Up>[] = [];
  let starting: Promise<void> | undefined;
  let pause: AbortController | undefined;
  let state: 'filling' | 'idle' | 'stopped' | 'given-up' | 'closed' = 'filling';
  let failures = 0;
  let notBefore = 0;
  let used = Date.now();
  let lastError: unknown;
  let idleTimer: NodeJS.Timeout | undefined;
  const stopping = new Set<Promise<unknown>>();

  const closed = () => state === 'closed';
  const stop = (one: Started<Up>) => {
    const work = one.stop().catch(() => undefined);
    stopping.add(work);
    return work.finally(() => stopping.delete(work));
  };

  const fill = () => {
    starting ??= one().finally(() => {
      starting = undefined;
      if (state === 'filling' && waiting.length < options.size) fill();
    });
  };

  const one = async (): Promise<void> => {
    if (state !== 'filling' || waiting.length >= options.size) return;
    const milliseconds = notBefore - Date.now();
    if (milliseconds > 0) {
      say({ kind: 'waiting', milliseconds });
      pause = new AbortController();
      await delay(milliseconds, pause.signal);
      pause = undefined;
      if (state !== 'filling') return;
    }
    let started: Started<Up>;
    try {
      started = await options.start();
    } catch (error) {
      lastError = error;
      say({ kind: 'start-failed', error });
      return failure();
    }
    if (state !== 'filling') return void (await stop(started));
    const item = { ...started, since: Date.now(), leave: new AbortController() };
    waiting.push(item);
    say({ kind: 'ready' });
    void watch(item);
  };

  const failure = () => {
    notBefore = Date.now() + Math.min(timing.backOff * 2 ** failures, timing.longestBackOff);
    failures += 1;
    if (restart.when === 'no') state = 'stopped';
    if (restart.when === 'on-failure' && failures > restart.most) {
      state = 'given-up';
      say({ kind: 'given-up' });
    }
  };

  const watch = async (item: Waiting<Up>): Promise<void> => {
    const ended = item.ended.then(
      (value) => ({ reason: 'by-itself' as const, failed: options.failed?.(value) ?? true, cause: undefined }),
      (cause: unknown) => ({ reason: 'by-itself' as const, failed: true, cause }),
    );
    const unhealthy = sick(item).then((reason) => ({ reason, failed: true, cause: undefined }));
    const end = await Promise.race([ended, unhealthy]);
    const at = waiting.indexOf(item);
    // Taken, or stopped by us.
    if (at < 0) return;
    waiting.splice(at, 1);
    item.leave.abort();
    if (end.cause !== undefined) lastError = end.cause;
    say({ kind: 'ended', reason: end.reason });
    const steady = Date.now() - item.since >= timing.steady;
    if (steady) failures = 0;
    if (end.failed || restart.when === 'always') failure();
    else state = 'stopped';
    await stop(item);
    if (state === 'filling') fill();
  };

  const sick = async ({ up, leave }: Waiting<Up>): Promise<'unhealthy'> => {
    const { ping } = options;
    let missed = 0;
    while (ping && missed < timing.pingFailures) {
      await delay(timing.pingEvery, leave.signal);
      if (leave.signal.aborted) return never();
      const over = new AbortController();
      const late = delay(timing.pingTimeout, AbortSignal.any([leave.signal, over.signal])).then(() => false);
      const answered = await Promise.race([
        ping(up).then(
          () => true,
          () => false,
        ),
        late,
      ]);
      over.abort();
      if (leave.signal.aborted) return never();
      missed = answered ? 0 : missed + 1;
    }
    return ping ? 'unhealthy' : never();
  };

  const drop = async (reason: 'idle' | 'replaced') => {
    const dropped = waiting.splice(0);
    for (const item of dropped) item.leave.abort();
    await Promise.all(dropped.map((item) => stop(item)));
    for (const _ of dropped) say({ kind: 'ended', reason });
  };

  const rest = () => {
    clearTimeout(idleTimer);
    if (timing.idle === 0 || closed()) return;
    idleTimer = setTimeout(
      () => {
        if (state === 'filling' || state === 'stopped') {
          state = 'idle';
          pause?.abort();
          void drop('idle');
        }
      },
      Math.max(0, used + timing.idle - Date.now()),
    );
  };

  /** Whatever it rests from, it is wanted now. */
  const wake = () => {
    if (closed()) return;
    if (state !== 'filling') failures = 0;
    state = 'filling';
    fill();
  };

  rest();
  fill();
  return {
    take() {
      if (closed()) return undefined;
      used = Date.now();
      rest();
      const item = waiting.shift();
      item?.leave.abort();
      if (item) say({ kind: 'taken' });
      wake();
      return item;
    },
    state() {
      if (state !== 'filling') return state;
      if (waiting.length > 0) return 'ready';
      return pause ? 'waiting' : 'starting';
    },
    ready: () => waiting.map(({ up }) => up),
    failures: () => failures,
    lastError: () => lastError,
    async replace() {
      if (closed()) throw stopped();
      notBefore = 0;
      failures = 0;
      lastError = undefined;
      pause?.abort();
      await drop('replaced');
      // One whose start is under way was verified before this was asked for.
      const old = starting;
      state = 'idle';
      await old;
      await drop('replaced');
      wake();
    },
    async close() {
      if (closed()) return;
      state = 'closed';
      clearTimeout(idleTimer);
      pause?.abort();
      await drop('replaced');
      await starting;
      await Promise.all(stopping);
    },
  };
}

function stopped(): McpBuildError {
  return new McpBuildError({ code: 'stopped', message: 'The server has been stopped', fix: 'Start it again.' });
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

/** For a race that another wins. */
function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}
