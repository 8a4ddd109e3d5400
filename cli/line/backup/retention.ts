/** Which snapshots are kept: the union of what each rule keeps, as restic and others count. */
export interface Retention {
  /** The newest so many. */
  readonly last?: number;
  /** The newest of each of the newest so many days, weeks and months that have one; in UTC, weeks from Monday. */
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
}

/**
 * @param ids oldest first, named by their time; the newest is always kept
 * @returns what may be forgotten, oldest first
 */
export function forgettable(ids: readonly string[], retention: Retention): readonly string[] {
  const newestFirst = [...ids].sort().reverse();
  const kept = new Set(newestFirst.slice(0, Math.max(1, retention.last ?? 0)));
  for (const [count, period] of [
    [retention.daily, dayOf],
    [retention.weekly, weekOf],
    [retention.monthly, monthOf],
  ] as const) {
    const seen = new Set<string>();
    for (const id of newestFirst) {
      const of = period(id);
      if (seen.has(of)) continue;
      if (seen.size >= (count ?? 0)) break;
      seen.add(of);
      kept.add(id);
    }
  }
  return ids.filter((id) => !kept.has(id)).sort();
}

/** Ids begin with their time, as in 20261129T031500Z. */
function dayOf(id: string): string {
  return id.slice(0, 8);
}

function monthOf(id: string): string {
  return id.slice(0, 6);
}

/** The Monday that begins it: weeks of two years would share a number. */
function weekOf(id: string): string {
  const day = new Date(`${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6, 8)}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() - ((day.getUTCDay() + 6) % 7));
  return day.toISOString().slice(0, 10);
}
