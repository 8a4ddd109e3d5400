import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Call, type Outcome, patterns, type Unusual } from '../../../gateway/index.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const START = Date.parse('2026-11-02T00:00:00Z');

/** Patterns with a clock of the test's own. */
function watch() {
  const told: Unusual[] = [];
  const clock = { now: START };
  const watched = patterns({ tell: (unusual) => told.push(unusual), now: () => clock.now });
  const call = (given: { tool?: string; size?: number; kind?: Outcome['kind'] } = {}) => {
    const { tool = 'read', size = 2_000, kind = 'answered' } = given;
    const made: Call = {
      client: { id: 'a', name: 'ann' },
      server: 'files',
      digest: undefined,
      method: 'tools/call',
      target: tool,
      size: 100,
    };
    watched.call(made, { kind, size, duration: 5 });
  };
  return { told, clock, call, watched };
}

/** A small generator, so that every run has the same week. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Office hours with bursts and lulls, nights with a little, some errors, answers of very different sizes. */
function days(count: number, seed: number, given = watch()) {
  const next = random(seed);
  const end = given.clock.now + count * DAY;
  while (given.clock.now < end) {
    const hour = (given.clock.now % DAY) / (60 * MINUTE);
    const office = hour > 8 && hour < 18;
    const burst = office && next() < 0.05;
    const calls = Math.floor((burst ? 40 : office ? 8 : 0.5) * next() * 2);
    for (let at = 0; at < calls; at++) {
      const tool = ['read', 'list', 'search', 'write'][Math.floor(next() * 4)]!;
      given.call({ tool, kind: next() < 0.04 ? 'failed' : 'answered', size: Math.floor(2 ** (6 + next() * 10)) });
    }
    // A server is updated at night now and then, and somebody's token has expired.
    if (!office && next() < 0.001) given.watched.incident({ kind: 'down', server: 'files', why: 'updated' });
    if (next() < 0.01) given.watched.incident({ kind: 'entry-refused', server: 'files', status: 401 });
    given.clock.now += MINUTE;
  }
  return given;
}

const of = (told: readonly Unusual[]) => told.map(({ pattern }) => pattern);

describe('unusual patterns', () => {
  test.each([1, 2, 3, 4, 5])('a week of ordinary traffic is told nobody (%i)', (seed) => {
    expect(days(7, seed).told).toEqual([]);
  });

  test('a tool that was never called before, once', () => {
    const given = days(2, 1);
    for (let at = 0; at < 30; at++) given.call({ tool: 'delete_everything' });
    expect(given.told).toMatchObject([{ pattern: 'new-tool', server: 'files' }]);
    expect(given.told[0]?.what).toContain('delete_everything');
  });

  test('one that was made up and refused by the server is none', () => {
    const given = days(2, 1);
    given.call({ tool: 'nothing', kind: 'failed' });
    expect(given.told).toEqual([]);
  });

  test('tools of before a restart are not new, and those after are', () => {
    const before = days(2, 1);
    const told: Unusual[] = [];
    const again = patterns({
      known: before.watched.known(),
      tell: (unusual) => told.push(unusual),
      now: () => before.clock.now,
    });
    const call: Call = {
      client: { id: 'a', name: 'ann' },
      server: 'files',
      digest: undefined,
      method: 'tools/call',
      target: 'read',
      size: 1,
    };
    const outcome: Outcome = { kind: 'answered', size: 1, duration: 1 };
    again.call(call, outcome);
    expect(told).toEqual([]);
    again.call({ ...call, target: 'new' }, outcome);
    expect(of(told)).toEqual(['new-tool']);
  });

  test('a jump in rate, once', () => {
    const given = days(3, 1);
    for (let at = 0; at < 600; at++) given.call();
    given.clock.now += MINUTE;
    for (let at = 0; at < 600; at++) given.call();
    expect(of(given.told)).toEqual(['rate']);
  });

  test('a jump in size, once', () => {
    const given = days(3, 1);
    for (let at = 0; at < 3; at++) given.call({ tool: 'read', size: 400_000_000 });
    expect(of(given.told)).toEqual(['size']);
  });

  test.each(['failed', 'tool_error'] as const)('a jump in errors, once: %s', (kind) => {
    const given = days(3, 1);
    given.clock.now += 10 * 60 * MINUTE;
    for (let at = 0; at < 60; at++) {
      given.clock.now += 5_000;
      given.call({ kind });
    }
    expect(of(given.told)).toEqual(['errors']);
  });

  test('a refused destination, once a day', () => {
    const given = days(1, 1);
    const refused = { kind: 'egress-refused', server: 'files', host: 'evil.example.test', port: 443 } as const;
    for (let at = 0; at < 50; at++) given.watched.incident(refused);
    expect(of(given.told)).toEqual(['egress']);
    expect(given.told[0]?.what).toContain('evil.example.test:443');
  });

  test('drift, once for each thing', () => {
    const given = watch();
    for (let at = 0; at < 5; at++) given.watched.incident({ kind: 'drift', server: 'files', what: 'tool read' });
    expect(of(given.told)).toEqual(['drift']);
  });

  test('a server that goes down again and again, once', () => {
    const given = watch();
    for (let at = 0; at < 8; at++) {
      given.watched.incident({ kind: 'down', server: 'files', why: 'it ended with 1' });
      given.clock.now += 30_000;
    }
    expect(of(given.told)).toEqual(['restarts']);
  });

  test('many who are not let in, once', () => {
    const given = watch();
    for (let at = 0; at < 100; at++) given.watched.incident({ kind: 'entry-refused', server: 'files', status: 401 });
    expect(of(given.told)).toEqual(['entry']);
  });

  test('whatever clients call things, what is kept stays small', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 300 }), { minLength: 1, maxLength: 200 }), (names) => {
        const given = watch();
        for (const tool of names) given.call({ tool });
        const { tools = [] } = given.watched.known().servers.files ?? {};
        expect(tools.length).toBeLessThanOrEqual(new Set(names).size);
      }),
    );
    const given = watch();
    for (let at = 0; at < 5_000; at++) given.call({ tool: `tool-${at}` });
    expect(given.watched.known().servers.files?.tools.length).toBeLessThanOrEqual(1_000);
  });
});
