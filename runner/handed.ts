import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Piece } from './frames.ts';
import type { Exit } from './runtime.ts';
import type { Standby } from './standby.ts';

/** For the last output of a server that has ended to be read by its client, in milliseconds. */
const DRAIN = 5_000;

export interface HandedOptions {
  /** For its client to attach and to wait, in milliseconds. */
  readonly claim: number;
  readonly stop: () => Promise<void>;
  /** Asked once it is stopped: what its client should be told of how it ended. */
  readonly epitaph: () => string | undefined;
  readonly onEnd: (why: string) => void;
}

/** A server that now belongs to one client. */
export interface Handed {
  /** A connection that has asked for its streams: raw bytes in, Docker's frames out. */
  attach(connection: Duplex): void;
  /** Answered with its end. A client that drops this request is gone. */
  wait(response: ServerResponse): void;
  kill(signal: NodeJS.Signals): Promise<void>;
  end(why: string): Promise<void>;
}

const UPGRADED =
  'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';

/** Gives a server that waited to a client, for as long as that client is there. */
export function hand(standby: Standby, options: HandedOptions): Handed {
  const { session } = standby;
  let connection: Duplex | undefined;
  let waiter: ServerResponse | undefined;
  let ending: Promise<void> | undefined;
  let exit: Exit = { code: 137 };

  const finish = async (why: string) => {
    clearTimeout(unclaimed);
    await options.stop().catch(() => undefined);
    const line = options.epitaph();
    if (connection) {
      if (line) void write(connection, { stream: 'stderr', bytes: Buffer.from(`mcp-build: ${line}\n`) });
      connection.end();
      const { destroy } = connection;
      // Of a client that is stopped, or never reads.
      setTimeout(destroy.bind(connection), DRAIN).unref();
    }
    waiter?.end(JSON.stringify({ StatusCode: exit.code, ...(exit.error ? { Error: { Message: exit.error } } : {}) }));
    options.onEnd(why);
  };
  const end = (why: string): Promise<void> => {
    ending ??= finish(why);
    return ending;
  };
  const unclaimed = setTimeout(() => void end('nobody came for it'), options.claim);
  const claimed = () => {
    if (connection && waiter) clearTimeout(unclaimed);
  };

  standby.ended
    .then(
      async (value) => {
        exit = value;
        const over = new AbortController();
        const late = sleep(DRAIN, undefined, { signal: over.signal }).catch(() => undefined);
        await Promise.race([standby.drained.catch(() => undefined), late]);
        over.abort();
        await end(`exit code ${value.code}`);
      },
      async (error: Error) => {
        exit = { code: 1, error: error.message };
        if (connection) await write(connection, { stream: 'stderr', bytes: Buffer.from(`${error.message}\n`) });
        await end(error.message);
      },
    )
    .catch(() => undefined);

  return {
    attach(next) {
      if (connection || ending) return void next.end('HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n');
      connection = next;
      next.on('error', () => undefined);
      next.write(UPGRADED);
      claimed();
      const { input } = session.streams;
      next.on('data', (chunk: Uint8Array) => {
        if (input.writable && !input.write(chunk)) next.pause();
      });
      input.on('drain', () => next.resume());
      input.on('error', () => undefined);
      // Of the input only: a client that is gone altogether drops its `wait`.
      next.on('end', () => input.end());
      standby.handOver((piece) => write(next, piece)).catch((error: Error) => void end(error.message));
    },
    wait(response) {
      waiter = response;
      response.writeHead(200, { 'content-type': 'application/json', 'api-version': '1.41' });
      response.flushHeaders();
      response.on('close', () => {
        if (!response.writableEnded) void end('its client is gone');
      });
      claimed();
    },
    kill: (signal) => session.kill(signal),
    end,
  };
}

/** One of Docker's frames. Settles when the system has taken it, or nobody is there to read it. */
function write(connection: Duplex, { stream, bytes }: Piece): Promise<void> {
  return new Promise((resolve) => {
    if (!connection.writable) return resolve();
    const header = Buffer.alloc(8);
    header[0] = stream === 'stdout' ? 1 : 2;
    header.writeUInt32BE(bytes.length, 4);
    connection.cork();
    connection.write(header);
    connection.write(bytes, () => resolve());
    connection.uncork();
  });
}
