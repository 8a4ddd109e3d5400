import type { ServerResponse } from 'node:http';

/** A client that doesn't read is cut off when so much waits for it, in bytes. */
const MOST_UNREAD = 16 * 1024 * 1024;
/** What is kept of a stream, so that a client whose connection broke gets the rest: bytes, and messages. */
const KEPT_BYTES = 1024 * 1024;
const KEPT_EVENTS = 256;

/** Server-sent events to one client, over one connection after another where the first breaks. */
export interface Stream {
  readonly id: number;
  send(message: string | Buffer): void;
  /** What is sent is the last. */
  end(last?: string | Buffer): void;
  readonly ended: boolean;
  readonly attached: boolean;
  /** Goes on over this connection, with everything after event `after`. */
  attach(response: ServerResponse, after: number): void;
  /** Ends the connection only; the stream may be gone on with. */
  cut(): void;
}

export const EVENT_STREAM = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
} as const;

/** Every open connection, for comments that keep proxies from closing them. */
const open = new Set<ServerResponse>();
let beat: NodeJS.Timeout | undefined;

/** A connection that carries events from now on. */
export function openEvents(response: ServerResponse, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(200, { ...EVENT_STREAM, ...headers });
  response.flushHeaders();
  open.add(response);
  beat ??= setInterval(() => {
    for (const each of open) each.write(': \n\n');
  }, 20_000).unref();
  response.once('close', () => {
    open.delete(response);
    if (open.size > 0) return;
    clearInterval(beat);
    beat = undefined;
  });
}

/** Writes one event. @returns whether the client still reads */
export function writeEvent(response: ServerResponse, head: string, data: string | Buffer): boolean {
  if (response.destroyed || response.writableEnded) return false;
  if (response.writableLength > MOST_UNREAD) {
    response.destroy();
    return false;
  }
  if (typeof data === 'string') response.write(`${head}data: ${data}\n\n`);
  else response.write(Buffer.concat([Buffer.from(`${head}data: `), data, Buffer.from('\n\n')]));
  return true;
}

/** @param primed whether an empty first event tells the client where to go on: MCP 2025-11-25 */
export function stream(id: number, primed: boolean): Stream {
  let response: ServerResponse | undefined;
  let kept: { readonly seq: number; readonly message: string | Buffer }[] = [];
  let bytes = 0;
  let seq = 0;
  let ended = false;
  const keepEvent = (message: string | Buffer) => {
    seq += 1;
    kept.push({ seq, message });
    bytes += message.length;
    while (kept.length > KEPT_EVENTS || (bytes > KEPT_BYTES && kept.length > 1))
      bytes -= kept.shift()?.message.length ?? 0;
  };
  const write = (number: number, message: string | Buffer) => {
    if (response && !writeEvent(response, `id: ${id}-${number}\nevent: message\n`, message)) response = undefined;
  };
  return {
    id,
    get ended() {
      return ended;
    },
    get attached() {
      return response !== undefined && !response.destroyed;
    },
    send(message) {
      if (ended) return;
      keepEvent(message);
      write(seq, message);
    },
    end(last) {
      if (ended) return;
      if (last !== undefined) this.send(last);
      ended = true;
      response?.end();
    },
    attach(to, after) {
      response?.end();
      response = to;
      to.once('close', () => {
        if (response === to) response = undefined;
      });
      if (primed && after === 0) writeEvent(to, `id: ${id}-0\nretry: 1000\n`, '');
      kept = kept.filter((event) => event.seq > after);
      bytes = kept.reduce((sum, { message }) => sum + message.length, 0);
      for (const event of kept) write(event.seq, event.message);
      if (ended) to.end();
    },
    cut() {
      response?.end();
      response = undefined;
    },
  };
}
