import net from 'node:net';
import type { Writable } from 'node:stream';
import type { Answer } from './engine.ts';

/** A connection whose HTTP has been dealt with: from here on it carries a container's streams. */
export interface Raw {
  readonly input: Writable;
  /** Each chunk is the reader's only until it asks for the next: they are all read into the same memory. */
  readonly chunks: AsyncIterable<Uint8Array>;
  destroy(): void;
}

const CHUNK = 64 * 1024;
const HEAD_LIMIT = 64 * 1024;

/**
 * Asks a daemon on a Unix socket for a raw connection, and reads it into one fixed buffer: through Node's HTTP client a gigabyte of output
 * costs as many new buffers, and tens of megabytes of memory until they are collected.
 * @returns the answer where the daemon refuses. @throws the system's error where there is no daemon
 */
export async function upgradeUnix(socketPath: string, path: string): Promise<Raw | Answer> {
  const { socket, chunks } = fixedBuffer(socketPath);
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n`,
  );
  let head = Buffer.alloc(0);
  for (;;) {
    const { value, done } = await chunks.next();
    if (done) throw Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
    head = Buffer.concat([head, value]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0 && head.length <= HEAD_LIMIT) continue;
    const status = Number(/^HTTP\/1\.1 ([0-9]{3}) /.exec(head.toString('latin1', 0, 40))?.[1]);
    if (status === 101 || status === 200) {
      const rest = head.subarray(end + 4);
      return { input: socket, chunks: rest.length > 0 ? after(rest, chunks) : chunks, destroy: () => socket.destroy() };
    }
    // Without reading it to its end: what matters of a refusal is in what has come.
    socket.destroy();
    return { status: status || 502, body: head.subarray(end < 0 ? 0 : end + 4) };
  }
}

async function* after(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  yield* rest;
}

function fixedBuffer(path: string) {
  let filled: Uint8Array | undefined;
  let over = false;
  let failure: Error | undefined;
  let wake: () => void = () => undefined;
  const socket = net.connect({
    path,
    onread: {
      buffer: Buffer.alloc(CHUNK),
      callback(size: number, buffer: Uint8Array) {
        filled = buffer.subarray(0, size);
        wake();
        // Nothing more until this has been used: that is the back-pressure, too.
        return false;
      },
    },
  });
  socket.on('error', (error) => {
    failure = error;
    over = true;
    wake();
  });
  const onEnd = () => {
    over = true;
    wake();
  };
  socket.on('end', onEnd).on('close', onEnd);

  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        if (filled) {
          yield filled;
          filled = undefined;
          socket.resume();
        } else if (over) {
          if (failure) throw failure;
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      socket.destroy();
    }
  }
  return { socket, chunks: read() };
}
