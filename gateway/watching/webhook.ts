import { setTimeout } from 'node:timers/promises';
import type { Unusual } from './patterns.ts';

export interface WebhookOptions {
  /** May hold a secret, so it is never printed. */
  readonly url: URL;
  readonly say: (line: string) => void;
  /** Before the second try and each later one, in milliseconds. */
  readonly pauses?: readonly number[];
  /** For one try, in milliseconds. */
  readonly timeout?: number;
}

export interface Webhook {
  tell(unusual: Unusual & { readonly at: string }): void;
  /** Waits until what was told is delivered or given up. */
  settled(): Promise<void>;
}

/** More are waiting only where the receiver is gone; the log has them all. */
const WAITING = 100;

/** Posts alerts as JSON, one after another; `text` is what Slack and its like show. */
export function webhook({ url, say, pauses = [1_000, 10_000, 60_000], timeout = 10_000 }: WebhookOptions): Webhook {
  let waiting = 0;
  let last = Promise.resolve();

  async function deliver(body: string): Promise<void> {
    for (const pause of [...pauses, undefined]) {
      const answer = await post(body);
      if (answer === undefined) return;
      if (pause === undefined) return say(`an alert could not be delivered to ${url.host}: ${answer}`);
      await setTimeout(pause, undefined, { ref: false });
    }
  }

  /** @returns why it was not taken */
  async function post(body: string): Promise<string | undefined> {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        // Somebody who can redirect could else have the alerts.
        redirect: 'error',
        signal: AbortSignal.timeout(timeout),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `it answers ${response.status}`;
    } catch (error) {
      const { cause } = error as { cause?: { code?: string } };
      return cause?.code ?? (error as Error).name;
    }
  }

  return {
    tell({ pattern, server, what, at }) {
      if (waiting >= WAITING) return;
      waiting += 1;
      const body = JSON.stringify({ text: `mcp-build: ${server}: ${what}`, pattern, server, what, at });
      last = last
        .then(() => deliver(body))
        .finally(() => {
          waiting -= 1;
        });
    },
    settled: () => last,
  };
}
