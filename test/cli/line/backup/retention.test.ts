import { describe, expect, test } from 'vitest';
import { forgettable } from '../../../../cli/line/backup/retention.ts';

const DAY = 86_400_000;
const id = (time: number, end = '00000000') =>
  `${new Date(time).toISOString().replace(/\.\d+/, '').replace(/[-:]/g, '')}-${end}`;
/** One an hour, through 400 days, the newest on a Sunday. */
const NEWEST = Date.UTC(2026, 10, 29, 23);
const hourly = Array.from({ length: 400 * 24 }, (_, hours) => id(NEWEST - hours * 3_600_000)).reverse();
const kept = (ids: readonly string[], retention: object) => {
  const gone = new Set(forgettable(ids, retention));
  return ids.filter((one) => !gone.has(one));
};

describe('what is kept of backups', () => {
  test('is always the newest', () => {
    expect(kept(hourly, {})).toEqual(hourly.slice(-1));
    expect(kept([id(0)], { last: 1 })).toHaveLength(1);
    expect(forgettable([], { last: 3 })).toEqual([]);
  });

  test('is the newest of each day, week and month', () => {
    expect(kept(hourly, { last: 3 })).toEqual(hourly.slice(-3));
    const daily = kept(hourly, { daily: 7 });
    expect(daily).toHaveLength(7);
    expect(daily.every((one) => one.includes('T230000Z'))).toBe(true);
    const weekly = kept(hourly, { weekly: 5 });
    // The 29th is a Sunday, the end of its week.
    expect(weekly.map((one) => one.slice(0, 8))).toEqual(['20261101', '20261108', '20261115', '20261122', '20261129']);
    const monthly = kept(hourly, { monthly: 3 });
    expect(monthly.map((one) => one.slice(0, 8))).toEqual(['20260930', '20261031', '20261129']);
  });

  test('is what any of the rules keeps, and days without a backup don’t count', () => {
    const all = kept(hourly, { last: 2, daily: 7, weekly: 5, monthly: 12 });
    expect(all).toHaveLength(2 + 6 + 4 + 11);
    const sparse = [0, 40, 41, 300].map((days) => id(NEWEST - days * DAY)).sort();
    expect(kept(sparse, { daily: 3 })).toEqual(sparse.slice(1));
    expect(kept(sparse, { daily: 30 })).toEqual(sparse);
  });

  test('is the same when it is asked again', () => {
    const rules = { last: 1, daily: 7, weekly: 4, monthly: 6 };
    const once = kept(hourly, rules);
    expect(kept(once, rules)).toEqual(once);
  });

  test('doesn’t mix the first week of a year with the one of the year before', () => {
    const ids = [Date.UTC(2025, 0, 1), Date.UTC(2025, 11, 31), Date.UTC(2026, 0, 2)].map((time) => id(time));
    // The last two are in one week.
    expect(kept(ids, { weekly: 2 })).toEqual([ids[0], ids[2]]);
  });
});
