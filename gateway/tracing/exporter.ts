import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type Resource, traceJson, traceProtobuf } from './otlp.ts';
import type { TracingConfig } from './settings.ts';
import type { Span } from './spans.ts';

export interface Exporter {
  /** Takes a span, or counts it as dropped where too many wait. Never waits, never throws. */
  add(span: Span): void;
  dropped(): number;
  /** Sends what waits, for two seconds at most, and takes no more. */
  close(): Promise<void>;
}

/** Before each further try, in milliseconds; a collector may say otherwise. */
const PAUSES = [1_000, 2_000, 4_000, 8_000] as const;
const LONGEST_PAUSE = 30_000;
const LAST_WORDS = 2_000;
const AGAIN: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** Sends spans to a collector by OTLP over HTTP, in batches and on the side. */
export function exporter(config: TracingConfig, resource: Resource, say: (line: string) => void): Exporter {
  const { url, headers, json, gzip, timeout, queue: most, batch, delay } = config;
  let waiting: Span[] = [];
  let lost = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let failing = false;
  const ending = new AbortController();

  function add(span: Span): void {
    if (closed || waiting.length >= most) {
      lost += 1;
      return;
    }
    waiting.push(span);
    if (waiting.length >= batch) send();
    else timer ??= setTimeout(send, delay).unref();
  }

  function send(): void {
    clearTimeout(timer);
    timer = undefined;
    sending ??= work().finally(() => {
      sending = undefined;
      if (waiting.length > 0 && !closed) timer ??= setTimeout(send, delay).unref();
    });
  }

  async function work(): Promise<void> {
    while (waiting.length > 0) {
      const part = waiting.slice(0, batch);
      waiting = waiting.slice(part.length);
      const why = await deliver(json ? traceJson(part, resource) : traceProtobuf(part, resource));
      if (why === undefined) {
        failing = false;
        continue;
      }
      lost += part.length;
      // Once for each time that it goes away: the spans count what was lost.
      if (!failing) say(`traces can’t be delivered to ${url.host}: ${why}`);
      failing = true;
    }
  }

  /** @returns why it was not taken */
  async function deliver(body: Buffer): Promise<string | undefined> {
    const sent = new Uint8Array(gzip ? gzipSync(body) : body);
    for (let attempt = 0; ; attempt += 1) {
      const { why, again, after } = await post(sent);
      const wait = after ?? PAUSES[attempt];
      if (why === undefined || !again || attempt >= PAUSES.length || wait === undefined) return why;
      try {
        await pause(Math.min(wait, LONGEST_PAUSE), undefined, { ref: false, signal: ending.signal });
      } catch {
        return why;
      }
    }
  }

  async function post(
    body: Uint8Array<ArrayBuffer>,
  ): Promise<{ readonly why?: string; readonly again?: boolean; readonly after?: number }> {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          ...headers,
          'content-type': json ? 'application/json' : 'application/x-protobuf',
          ...(gzip ? { 'content-encoding': 'gzip' } : {}),
        },
        body,
        // Headers may hold a key.
        redirect: 'error',
        signal: AbortSignal.timeout(timeout),
      });
      await response.body?.cancel();
      if (response.ok) return {};
      const after = Number(response.headers.get('retry-after'));
      return {
        why: `it answers ${response.status}`,
        again: AGAIN.has(response.status),
        ...(after > 0 ? { after: after * 1000 } : {}),
      };
    } catch (error) {
      const { cause } = error as { cause?: { code?: string } };
      return { why: cause?.code ?? (error as Error).name, again: true };
    }
  }

  return {
    add,
    dropped: () => lost,
    async close() {
      closed = true;
      clearTimeout(timer);
      const last = (sending ?? Promise.resolve()).then(work);
      await Promise.race([last, pause(LAST_WORDS, undefined, { ref: false })]);
      ending.abort();
    },
  };
}
