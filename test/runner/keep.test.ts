import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type KeepEvent, keep, type Started, type Timing } from '../../runner/index.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function server(timing: Partial<Timing> = {}, more: { ping?: () => Promise<void>; fail?: () => boolean } = {}) {
  const events: string[] = [];
  const running: { end: () => void; stopped: boolean }[] = [];
  const keeper = keep<number>({
    async start(): Promise<Started<number>> {
      if (more.fail?.()) throw new Error('does not start');
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const one = { end, stopped: false };
      running.push(one);
      return {
        up: running.length,
        ended,
        async stop() {
          one.stopped = true;
          end();
        },
      };
    },
    ...(more.ping ? { ping: more.ping } : {}),
    onEvent: (event: KeepEvent) =>
      events.push(
        event.kind === 'waiting'
          ? `waiting ${event.milliseconds}`
          : event.kind === 'ended'
            ? `ended ${event.reason}`
            : event.kind,
      ),
    timing,
  });
  return { keeper, events, running };
}

describe('a kept server', () => {
  test('starts with its first use, once', async () => {
    const { keeper, events } = server();
    expect(keeper.state()).toBe('stopped');
    expect(await Promise.all([keeper.use(), keeper.use(), keeper.use()])).toEqual([1, 1, 1]);
    expect(keeper.state()).toBe('up');
    expect(events).toEqual(['up']);
    await keeper.close();
  });

  test('starts again with growing pauses when it ends by itself', async () => {
    const { keeper, events, running } = server({ backOff: 100, longestBackOff: 350, steady: 10_000 });
    for (let turn = 0; turn < 5; turn += 1) {
      const up = keeper.use();
      await vi.advanceTimersByTimeAsync(400);
      expect(await up).toBe(turn + 1);
      running[turn]?.end();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(events.filter((event) => event.startsWith('waiting'))).toEqual([
      'waiting 100',
      'waiting 200',
      'waiting 350',
      'waiting 350',
    ]);
    await keeper.close();
  });

  test('that ran well for a while begins with the shortest pause', async () => {
    const { keeper, events, running } = server({ backOff: 100, steady: 1_000 });
    await keeper.use();
    running[0]?.end();
    await vi.advanceTimersByTimeAsync(0);
    const second = keeper.use();
    await vi.advanceTimersByTimeAsync(100);
    await second;
    await vi.advanceTimersByTimeAsync(2_000);
    running[1]?.end();
    await vi.advanceTimersByTimeAsync(0);
    const third = keeper.use();
    await vi.advanceTimersByTimeAsync(100);
    await third;
    expect(events.filter((event) => event.startsWith('waiting'))).toEqual(['waiting 100', 'waiting 100']);
    await keeper.close();
  });

  test('that does not start tells who asked, and waits longer each time', async () => {
    let broken = true;
    const { keeper, events } = server({ backOff: 100 }, { fail: () => broken });
    await expect(keeper.use()).rejects.toThrow('does not start');
    const again = keeper.use();
    again.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(99);
    expect(keeper.state()).toBe('waiting');
    broken = false;
    await vi.advanceTimersByTimeAsync(1);
    expect(await again).toBe(1);
    expect(events).toEqual(['start-failed', 'waiting 100', 'up']);
    await keeper.close();
  });

  test('that answers no ping is stopped; one missed ping is forgiven', async () => {
    let answers = true;
    const { keeper, events, running } = server(
      { pingEvery: 1_000, pingTimeout: 500, pingFailures: 2 },
      { ping: () => (answers ? Promise.resolve() : new Promise(() => undefined)) },
    );
    await keeper.use();
    await vi.advanceTimersByTimeAsync(5_000);
    answers = false;
    await vi.advanceTimersByTimeAsync(1_600);
    answers = true;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(running[0]?.stopped).toBe(false);
    answers = false;
    await vi.advanceTimersByTimeAsync(4_000);
    expect(running[0]?.stopped).toBe(true);
    expect(events).toEqual(['up', 'ended unhealthy']);
    await keeper.close();
  });

  test('that nobody uses is stopped, and started by the next use without a pause', async () => {
    const { keeper, events, running } = server({ idle: 1_000 });
    await keeper.use();
    await vi.advanceTimersByTimeAsync(800);
    await keeper.use();
    await vi.advanceTimersByTimeAsync(800);
    expect(running[0]?.stopped).toBe(false);
    await vi.advanceTimersByTimeAsync(300);
    expect(running[0]?.stopped).toBe(true);
    expect(await keeper.use()).toBe(2);
    expect(events).toEqual(['up', 'ended idle', 'up']);
    await keeper.close();
  });

  test('is closed for good, also in the middle of a pause', async () => {
    const { keeper, running, events } = server({ backOff: 60_000 });
    await keeper.use();
    running[0]?.end();
    await vi.advanceTimersByTimeAsync(0);
    const waiting = keeper.use();
    waiting.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(10);
    await keeper.close();
    await expect(waiting).rejects.toMatchObject({ code: 'stopped' });
    await expect(keeper.use()).rejects.toMatchObject({ code: 'stopped' });
    expect(running).toHaveLength(1);
    expect(events).not.toContain('ended stopped');
    expect(vi.getTimerCount()).toBe(0);
  });
});
