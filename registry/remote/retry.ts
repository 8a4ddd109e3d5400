import { setTimeout as sleep } from 'node:timers/promises';
import { TransientError } from './fault.ts';

/** How often and how long to try again. Times in milliseconds. */
export interface Persistence {
  /** Attempts after the first. */
  readonly attempts: number;
  /** All waiting between attempts of one operation, however long a registry asks for. */
  readonly total: number;
  /** The first pause; it doubles. */
  readonly pause: number;
}

/** What is left of a `Persistence` while one operation runs. */
export interface Budget {
  /** Waits until the next attempt may start. @throws `error` itself when there is none left, or it isn't transient */
  wait(error: unknown): Promise<void>;
  /** Progress was made: attempts count from the start again, the waiting doesn't. */
  renew(): void;
}

export function budgetOf(persistence: Persistence, signal?: AbortSignal): Budget {
  let attempt = 0;
  let waited = 0;
  return {
    wait: async (error) => {
      if (!(error instanceof TransientError)) throw error;
      // Spread out, so that many clients of a registry that was down don't come back in step.
      const pause = error.retryAfter ?? persistence.pause * 2 ** attempt * (0.75 + Math.random() / 2);
      if (attempt >= persistence.attempts || waited + pause > persistence.total) throw error;
      attempt++;
      waited += pause;
      await sleep(pause, undefined, signal ? { signal } : {});
    },
    renew: () => {
      attempt = 0;
    },
  };
}

export async function retrying<T>(budget: Budget, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await budget.wait(error);
    }
  }
}

/** Seconds or an HTTP date (RFC 9110, 10.2.3), as milliseconds from now; undefined when it is neither. */
export function retryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Worth another attempt. */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501);
}
