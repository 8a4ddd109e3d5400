import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type PoolOptions, pool, type Timing } from '../../runner/index.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const soon = () => vi.advanceTimersByTimeAsync(0);

function servers(options: Partial<PoolOptions<number>> = {}, timing: Partial<Timing> = {}) {
  const running: { number: number; end: (value?: unknown) => void; fail: (error: Error) => void; stopped: boolean }[] =
    [];
  const events: string[] = [];
  const made = pool<number>({
    size: 1,
    start: async () => {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const one = { number: running.length + 1, end: resolve, fail: reject, stopped: false };
      running.push(one);
      promise.catch(() => undefined);
      return {
        up: one.number,
        ended: promise,
        async stop() {
          one.stopped = true;
          resolve(undefined);
        },
      };
    },
    timing: { backOff: 100, longestBackOff: 350, steady: 10_000, ...timing },
    onEvent: (event) =>
      events.push(
        event.kind === 'waiting'
          ? `waiting ${event.milliseconds}`
          : event.kind === 'ended'
            ? `ended ${event.reason}`
            : event.kind,
      ),
    ...options,
  });
  return { made, running, events };
}

describe('servers that are started ahead', () => {
  test('are as many as wanted, and replaced when taken', async () => {
    const { made, running } = servers({ size: 2 });
    expect(made.take()).toBeUndefined();
    expect(made.state()).toBe('starting');
    await soon();
    expect(made.ready()).toEqual([1, 2]);
    const first = made.take();
    expect(first?.up).toBe(1);
    await soon();
    expect(made.ready()).toEqual([2, 3]);
    // What was taken is its client's: neither its end nor ours is the pool's.
    running[0]?.end();
    await soon();
    await made.close();
    expect(running.map(({ stopped }) => stopped)).toEqual([false, true, true]);
    expect(made.take()).toBeUndefined();
    expect(made.state()).toBe('closed');
  });

  test('are started again with growing pauses, and with the shortest after a steady time', async () => {
    const { made, running, events } = servers();
    await soon();
    for (let turn = 0; turn < 4; turn += 1) {
      running[turn]?.end();
      await vi.advanceTimersByTimeAsync(350);
      expect(made.ready()).toEqual([turn + 2]);
    }
    await vi.advanceTimersByTimeAsync(10_000);
    running[4]?.end();
    await vi.advanceTimersByTimeAsync(100);
    expect(made.ready()).toEqual([6]);
    expect(events.filter((event) => event.startsWith('waiting'))).toEqual(
      [100, 200, 350, 350, 100].map((pause) => `waiting ${pause}`),
    );
    expect(made.failures()).toBe(1);
    await made.close();
  });

  test('on-failure leaves alone what ended well, until it is asked for', async () => {
    const { made, running } = servers({ restart: { when: 'on-failure', most: 2 }, failed: (end) => end !== 0 });
    await soon();
    running[0]?.end(0);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(made.state()).toBe('stopped');
    expect(running).toHaveLength(1);
    expect(made.take()).toBeUndefined();
    await soon();
    expect(made.ready()).toEqual([2]);
    await made.close();
  });

  test('gives up after so many failures in a row, and tries again when asked', async () => {
    let broken = true;
    const { made, events } = servers({
      restart: { when: 'on-failure', most: 2 },
      start: async () => {
        if (broken) throw new Error('it does not start');
        return { up: 1, ended: new Promise(() => undefined), stop: async () => undefined };
      },
    });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(events).toEqual(['start-failed', 'waiting 100', 'start-failed', 'waiting 200', 'start-failed', 'given-up']);
    expect(made.state()).toBe('given-up');
    expect(made.lastError()).toMatchObject({ message: 'it does not start' });
    broken = false;
    made.take();
    await vi.advanceTimersByTimeAsync(400);
    expect(made.ready()).toEqual([1]);
    await made.close();
  });

  test('no restart: an end is the end until the next use', async () => {
    const { made, running } = servers({ restart: { when: 'no' } });
    await soon();
    running[0]?.end();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(made.state()).toBe('stopped');
    await made.close();
  });

  test('are stopped when nobody used one for long, and started again by the next use', async () => {
    const { made, running } = servers({}, { idle: 1_000 });
    await soon();
    await vi.advanceTimersByTimeAsync(900);
    expect(made.take()?.up).toBe(1);
    await vi.advanceTimersByTimeAsync(900);
    expect(made.ready()).toEqual([2]);
    await vi.advanceTimersByTimeAsync(200);
    expect(made.state()).toBe('idle');
    expect(running[1]?.stopped).toBe(true);
    expect(made.take()).toBeUndefined();
    await soon();
    expect(made.ready()).toEqual([3]);
    await made.close();
  });

  test('one that misses pings is stopped and replaced; one that was taken gets none', async () => {
    const pinged: number[] = [];
    let answers = true;
    const { made, running } = servers(
      {
        ping: (up) => {
          pinged.push(up);
          return answers ? Promise.resolve() : new Promise(() => undefined);
        },
      },
      { pingEvery: 1_000, pingTimeout: 500, pingFailures: 2 },
    );
    await vi.advanceTimersByTimeAsync(3_100);
    expect(pinged).toEqual([1, 1, 1]);
    answers = false;
    await vi.advanceTimersByTimeAsync(3_000);
    expect(running[0]?.stopped).toBe(true);
    await vi.advanceTimersByTimeAsync(100);
    expect(made.take()?.up).toBe(2);
    pinged.length = 0;
    await vi.advanceTimersByTimeAsync(900);
    expect(pinged).not.toContain(2);
    await made.close();
  });

  test('replacing starts new ones, also in place of one that is being started', async () => {
    const { made, running } = servers({ size: 2 });
    const replaced = made.replace();
    await soon();
    await replaced;
    await soon();
    const ready = made.ready();
    expect(ready).toHaveLength(2);
    for (const number of ready) expect(running[number - 1]?.stopped).toBe(false);
    expect(running.filter(({ stopped }) => !stopped)).toHaveLength(2);
    expect(running[0]?.stopped).toBe(true);
    await made.close();
    expect(running.every(({ stopped }) => stopped)).toBe(true);
  });

  test('closing in the middle of a start leaves nothing running', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let stopped = false;
    const stop = async () => {
      stopped = true;
    };
    const { made } = servers({
      start: async () => {
        await promise;
        return { up: 1, ended: new Promise(() => undefined), stop };
      },
    });
    const closed = made.close();
    resolve();
    await closed;
    expect(stopped).toBe(true);
  });
});
