import type { OnReadOpts, Socket } from 'node:net';
import type { Writable } from 'node:stream';

const CHUNK = 64 * 1024;

/** One direction of a connection that is yet to be made: what comes from it goes through one buffer to whoever is named by `into`. */
export interface Relay {
  /** For `net.connect`. */
  readonly onread: OnReadOpts;
  /** Passes on what has come, and what comes, to its end. To be called once. */
  into(from: Socket, to: Writable): void;
}

/**
 * Copies without a new buffer for each read: most of what a pipe between two sockets costs is memory that is allocated, and collected. When the
 * system has taken a chunk whole, its memory is free again at once; otherwise nothing more is read until it is.
 */
export function relay(): Relay {
  let ends: { readonly from: Socket; readonly to: Writable } | undefined;
  let held: Uint8Array | undefined;
  let waiting = false;
  const onWritten = () => {
    if (!waiting) return;
    waiting = false;
    ends?.from.resume();
  };
  const pass = (bytes: Uint8Array, to: Writable): boolean => {
    if (!to.writable) return true;
    to.write(bytes, onWritten);
    waiting = to.writableLength > 0;
    return !waiting;
  };
  return {
    onread: {
      buffer: Buffer.alloc(CHUNK),
      callback(size, buffer) {
        const bytes = buffer.subarray(0, size);
        if (ends) return pass(bytes, ends.to);
        held = bytes;
        return false;
      },
    },
    into(from, to) {
      ends = { from, to };
      if (held && pass(held, to)) from.resume();
      held = undefined;
      from.on('end', () => to.end());
      if (from.readableEnded) to.end();
    },
  };
}
