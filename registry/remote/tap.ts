import type http from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** In bytes: what is given out at once, to be hashed and written by one call each. */
const PIECE = 1024 * 1024;
/** In bytes: what one read of the socket may bring. */
const READ = 256 * 1024;
/** Buffers of one body: one being written, one being filled, one between them. */
const PIECES = 3;
/** In milliseconds: a slow network's bytes are given out at least this often, so that progress shows. */
const PATIENCE = 250;

/** A body on its way. */
export interface Source {
  /** A chunk is good until the next one is asked for. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Whether all of it has come. */
  complete(): boolean;
  destroy(error?: Error): void;
}

const taps = new WeakMap<Socket, Tap>();

/**
 * Has an agent's sockets read into memory of ours (`onread`), which large bodies are taken from. Node's own streams allocate 64 KiB for each
 * read, and pass it through the parser: for 100 MB that costs as much processor time as hashing and writing them.
 */
export function tapped<Agent extends http.Agent>(agent: Agent): Agent {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const tap = openTap();
    const socket = connect({ ...options, onread: tap.onread } as http.ClientRequestArgs, callback) as Socket;
    tap.serve(socket);
    taps.set(socket, tap);
    return socket;
  };
  return agent;
}

/**
 * Takes the rest of a body off the hands of Node's parser. Its connection can't be used again after that, since the parser doesn't learn
 * where the body ends. Undefined where its socket isn't tapped.
 * @param length in bytes, by its Content-Length
 */
export function divert(message: IncomingMessage, length: number): Source | undefined {
  const { socket } = message;
  const tap = taps.get(socket);
  if (!tap) return undefined;
  // The parser listens no more; that its message stays unfinished is no news.
  socket.removeAllListeners('data');
  message.on('error', () => undefined);
  const early: Uint8Array[] = [];
  for (const stream of [message, socket]) {
    for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) early.push(chunk as Uint8Array);
  }
  return tap.divert(early, length);
}

interface Tap {
  readonly onread: { buffer(): Uint8Array; callback(length: number, bytes: Uint8Array): boolean };
  serve(socket: Socket): void;
  divert(early: readonly Uint8Array[], length: number): Source;
}

function openTap(): Tap {
  // Until a body is diverted, and while one has no room: what is read is copied from here.
  const spare = Buffer.allocUnsafeSlow(64 * 1024);
  let socket: Socket;
  let body: Body | undefined;
  return {
    onread: {
      buffer: () => body?.room() ?? spare,
      callback: (length, bytes) =>
        body ? body.take(bytes.subarray(0, length)) : socket.push(Buffer.from(bytes.subarray(0, length))),
    },
    serve: (one) => {
      socket = one;
    },
    divert: (early, length) => {
      body = openBody(socket, length);
      for (const chunk of early) body.take(chunk);
      socket.resume();
      return body;
    },
  };
}

interface Body extends Source {
  /** Where the next read goes; undefined while there is no room. */
  room(): Uint8Array | undefined;
  /** Bytes that were read into `room`, or elsewhere. @returns whether there is room for more */
  take(bytes: Uint8Array): boolean;
}

function openBody(socket: Socket, length: number): Body {
  const free: Buffer[] = [];
  let made = 0;
  let filling: Buffer | undefined = buffer();
  let filled = 0;
  const ready: { readonly memory: Buffer; readonly size: number }[] = [];
  let received = 0;
  let paused = false;
  let failure: { readonly error: Error | undefined } | undefined;
  let wake = () => {};

  function buffer(): Buffer {
    made += 1;
    return Buffer.allocUnsafeSlow(PIECE + READ);
  }
  const give = () => {
    if (!filling || filled === 0) return;
    ready.push({ memory: filling, size: filled });
    filling = free.pop() ?? (made < PIECES ? buffer() : undefined);
    filled = 0;
    wake();
  };
  const reuse = (memory: Buffer) => {
    if (made > PIECES) made -= 1;
    else if (filling) free.push(memory);
    else filling = memory;
    if (!paused || !filling) return;
    paused = false;
    socket.resume();
  };
  const fail = (error?: Error) => {
    failure ??= { error };
    wake();
  };
  socket.once('error', fail);
  socket.once('close', () => fail());
  if (socket.destroyed) fail();

  async function* chunks(): AsyncGenerator<Uint8Array> {
    const slow = setInterval(() => ready.length === 0 && give(), PATIENCE);
    try {
      for (;;) {
        const piece = ready.shift();
        if (piece) {
          yield piece.memory.subarray(0, piece.size);
          reuse(piece.memory);
        } else if (received === length || failure) {
          give();
          if (ready.length > 0) continue;
          if (failure?.error && received < length) throw failure.error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      clearInterval(slow);
      socket.destroy();
    }
  }

  return {
    chunks: chunks(),
    complete: () => received === length,
    destroy: (error) => {
      fail(error);
      socket.destroy();
    },
    room: () => filling?.subarray(filled, filled + READ),
    take: (bytes) => {
      // What follows the body is nobody's.
      let rest = bytes.subarray(0, length - received);
      received += rest.length;
      while (rest.length > 0) {
        // TLS gives what it has decrypted even to those who have asked it to wait: a little more memory, until it is used up.
        filling ??= buffer();
        const part = rest.subarray(0, READ);
        // Mostly it was read to where it belongs.
        const there = part.buffer === filling.buffer && part.byteOffset === filling.byteOffset + filled;
        if (!there) filling.set(part, filled);
        filled += part.length;
        rest = rest.subarray(part.length);
        if (filled >= PIECE) give();
      }
      if (received === length) wake();
      else if (!filling) {
        paused = true;
        socket.pause();
      }
      return received < length && !paused;
    },
  };
}
