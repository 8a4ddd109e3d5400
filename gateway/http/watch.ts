/** A request that is being worked on. */
export interface Pending {
  /** When it came, in milliseconds of `performance.now()`. */
  readonly since: number;
  /** Told again and again how long it has taken, in milliseconds. */
  readonly waited: (milliseconds: number) => void;
}

const EVERY = 250;
const all = new Set<Pending>();
let timer: NodeJS.Timeout | undefined;

/** One timer for all requests: a timer for each would cost more than most of them. @returns what ends it */
export function watch(pending: Pending): void {
  all.add(pending);
  timer ??= setInterval(tick, EVERY).unref();
}

export function unwatch(pending: Pending): void {
  all.delete(pending);
}

function tick(): void {
  if (all.size === 0) {
    clearInterval(timer);
    timer = undefined;
    return;
  }
  const now = performance.now();
  for (const pending of all) pending.waited(now - pending.since);
}
