import { setTimeout as sleep } from 'node:timers/promises';
import { McpBuildError } from '../errors/index.ts';
import type { Piece } from './frames.ts';
import type { Exit } from './runtime.ts';
import type { Session } from './session.ts';

/** What a server may say before anyone has asked it anything, in bytes of each stream. */
const UNASKED_LIMIT = 64 * 1024;
/** In what stands in place of an id: no client's own can be it. */
const PING = 'mcp-build-ping-';
/** For an answer to a ping that is under way when a client comes, in milliseconds. */
const LATE = 1_000;

export interface StandbyOptions {
  /** Everything it writes to stderr, as long as it runs; what is returned is what its client gets. */
  readonly onStderr: (bytes: Uint8Array) => Uint8Array;
}

/** Passes one piece on; the next waits until it has. */
export type Sink = (piece: Piece) => Promise<void>;

/** A server that has been started before it has a client. */
export interface Standby {
  readonly session: Session;
  /** Its end. @throws McpBuildError `server-unruly` when it said too much before it was asked; `docker-failed` */
  readonly ended: Promise<Exit>;
  /** Settles when its output has ended and all of it was passed on. */
  readonly drained: Promise<void>;
  /** Sends an MCP ping, which servers answer before they are initialised, and waits for any answer to it. */
  ping(): Promise<void>;
  /** From now on it is a client's: first what it said meanwhile, without the answers to pings, then all that follows. @throws McpBuildError `server-unruly` */
  handOver(sink: Sink): Promise<void>;
}

/**
 * Reads a started server, so that it never blocks, and holds what a client must not miss. A server has just one stdin: a ping goes the way that its client's
 * requests will go, and its answer is taken out again.
 */
export function standby(session: Session, { onStderr }: StandbyOptions): Standby {
  const held: Piece[] = [];
  const size = { stdout: 0, stderr: 0 };
  const pings = new Map<string, PromiseWithResolvers<void>>();
  let count = 0;
  let line = Buffer.alloc(0);
  let sink: Sink | undefined;
  const over = Promise.withResolvers<Exit>();

  const keepPiece = (stream: Piece['stream'], bytes: Uint8Array) => {
    if (bytes.length === 0) return;
    held.push({ stream, bytes });
    size[stream] += bytes.length;
    // Of stderr the end matters; stdout can't lose a byte.
    while (size.stderr > UNASKED_LIMIT) {
      const at = held.findIndex((piece) => piece.stream === 'stderr');
      size.stderr -= held[at]?.bytes.length ?? size.stderr;
      held.splice(at, 1);
    }
  };
  const hold = (bytes: Uint8Array) => {
    line = Buffer.concat([line, bytes]);
    for (let end = line.indexOf(10); end >= 0; end = line.indexOf(10)) {
      const whole = line.subarray(0, end + 1);
      line = line.subarray(end + 1);
      const answered = pingOf(whole);
      const settle = answered === undefined ? undefined : pings.get(answered);
      if (settle) settle.resolve();
      else keepPiece('stdout', whole);
    }
    if (size.stdout + line.length > UNASKED_LIMIT) throw unruly(session.container);
  };
  const pump = async () => {
    for await (const { stream, bytes } of session.streams.output) {
      const shown = stream === 'stderr' ? onStderr(bytes) : bytes;
      if (shown.length === 0) continue;
      if (sink) await sink({ stream, bytes: shown });
      // The memory of a piece is only lent.
      else if (stream === 'stderr') keepPiece(stream, Buffer.from(shown));
      else hold(shown);
    }
  };
  const drained = pump();
  drained.catch((error: unknown) => over.reject(error));
  session.exited.then(over.resolve, over.reject);
  over.promise.catch(() => undefined);

  return {
    session,
    ended: over.promise,
    drained,
    async ping() {
      const id = `${PING}${++count}`;
      const { input } = session.streams;
      if (!input.writable) throw unruly(session.container);
      const answer = Promise.withResolvers<void>();
      pings.set(id, answer);
      input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' })}\n`);
      await Promise.race([answer.promise, over.promise.then(() => Promise.reject(unruly(session.container)))]);
      pings.delete(id);
    },
    async handOver(next) {
      // A client must not get an answer to what it never asked.
      if (pings.size > 0) {
        const answers = Promise.all([...pings.values()].map(({ promise }) => promise));
        const late = sleep(LATE, true, { ref: false });
        if (await Promise.race([answers.then(() => false), late])) throw unruly(session.container);
      }
      const first = [...held, ...(line.length > 0 ? [{ stream: 'stdout' as const, bytes: line }] : [])];
      held.length = 0;
      const passed = (async () => {
        for (const piece of first) await next(piece);
      })();
      sink = async (piece) => {
        await passed;
        await next(piece);
      };
      await passed;
    },
  };
}

/** The ping that a line answers, with a result or an error: both show that it reads and writes. */
function pingOf(line: Buffer): string | undefined {
  if (!line.includes(PING)) return undefined;
  try {
    const message: unknown = JSON.parse(line.toString('utf8'));
    if (typeof message !== 'object' || message === null || !('id' in message)) return undefined;
    return typeof message.id === 'string' && !('method' in message) ? message.id : undefined;
  } catch {
    return undefined;
  }
}

function unruly(container: string): McpBuildError {
  return new McpBuildError({
    code: 'server-unruly',
    message: 'The server ended, closed its input, or wrote without being asked before it had a client',
    input: container,
    fix: 'See what it wrote with `mcp-build logs`; start it with `mcp-build run` alone if that is its way.',
  });
}
