import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { Gate } from './gate.ts';
import type { Attached } from './runtime.ts';

/** The client's ends. stdout belongs to the protocol: nothing but the server's own bytes is ever written to it. */
export interface Streams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
}

export interface BridgeEvents {
  /** The client has closed its end of stdin; what the server still says is passed on. */
  readonly onInputEnd: () => void;
  /** Bytes of stdout have been passed on. */
  readonly onOutput: () => void;
  /** The client no longer reads. */
  readonly onClientGone: () => void;
  /** What the server wrote to stderr, before it is passed on; what is returned is passed on instead. */
  readonly onStderr: (bytes: Uint8Array) => Uint8Array;
  /** Decides what of stdout is passed on. Once it has refused, the server hears nothing more either. */
  readonly gate?: Gate | undefined;
}

/** A client that never reads stderr must not stop the protocol: beyond this many bytes waiting, its lines are dropped. */
const STDERR_WAITING = 1024 * 1024;

/**
 * Joins a client's streams with an attached container's, byte for byte and with back-pressure in both directions.
 * @returns when the container has closed its output and everything has been handed to the client
 */
export async function bridge(server: Attached, streams: Streams, events: BridgeEvents): Promise<void> {
  const { gate } = events;
  const forget = forwardInput(server.input, streams.stdin, events);
  const stdout = outlet(streams.stdout, events.onClientGone);
  const stderr = lossy(streams.stderr);
  try {
    for await (const { stream, bytes } of server.output) {
      if (stream === 'stderr') {
        stderr.write(events.onStderr(bytes));
        continue;
      }
      for (const part of gate ? gate.take(bytes) : [bytes]) await stdout.write(part);
      events.onOutput();
    }
    for (const part of gate?.end() ?? []) await stdout.write(part);
  } finally {
    forget();
    stdout.release();
    stderr.release();
  }
}

/** @returns what to call when input is no longer wanted */
function forwardInput(socket: Writable, stdin: Readable, events: BridgeEvents): () => void {
  let ended = false;
  const onData = (chunk: Uint8Array) => {
    if (!socket.writable || events.gate?.refused) return;
    if (!socket.write(chunk)) stdin.pause();
  };
  const onDrain = () => stdin.resume();
  const onEnd = () => {
    if (ended) return;
    ended = true;
    if (socket.writable) socket.end();
    events.onInputEnd();
  };
  // A broken stdin is one that ended.
  stdin.on('data', onData).on('end', onEnd).on('error', onEnd).on('close', onEnd);
  if (stdin.readableEnded || stdin.destroyed) onEnd();
  socket.on('drain', onDrain);
  // A container that has closed its input answers with EPIPE: its output still counts.
  socket.on('error', () => undefined);
  return () => {
    stdin.off('data', onData).off('end', onEnd).off('error', onEnd).off('close', onEnd);
    socket.off('drain', onDrain);
    stdin.pause();
    // A terminal or pipe that is only paused would keep the process alive.
    if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  };
}

function outlet(stdout: Writable, onClientGone: () => void) {
  // A pipe, file or terminal has handed bytes to the system when it calls back; a stream within this process may still hold them.
  const lends = stdout instanceof Socket || 'fd' in stdout;
  let gone = false;
  const onGone = () => {
    if (gone) return;
    gone = true;
    onClientGone();
  };
  stdout.on('error', onGone).on('close', onGone);
  return {
    /** Returns when the bytes are out, and their memory may be used again. */
    write(bytes: Uint8Array): Promise<void> {
      return new Promise((resolve) => {
        // Read on, so that the container isn't stuck while it is being stopped.
        if (gone || !stdout.writable) {
          onGone();
          return resolve();
        }
        stdout.write(lends ? bytes : Buffer.from(bytes), (error) => {
          if (error) onGone();
          resolve();
        });
      });
    },
    release() {
      // The error listener stays: a late EPIPE without one would end the process.
      stdout.off('close', onGone);
      gone = true;
    },
  };
}

function lossy(stderr: Writable) {
  let dropped = 0;
  let broken = false;
  const onError = () => {
    broken = true;
  };
  stderr.on('error', onError);
  return {
    write(bytes: Uint8Array): void {
      if (broken || bytes.length === 0 || !stderr.writable) return;
      if (stderr.writableLength > STDERR_WAITING) {
        dropped += bytes.length;
        return;
      }
      if (dropped > 0) {
        stderr.write(`\nmcp-build: ${dropped} bytes of the server's stderr were dropped, as nobody read them\n`);
        dropped = 0;
      }
      stderr.write(Buffer.from(bytes));
    },
    release: () => undefined,
  };
}
