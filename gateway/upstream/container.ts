import {
  describeDrift,
  type Log,
  offerGate,
  openLog,
  openSession,
  type Pins,
  redactor,
  type SessionOptions,
} from '../../runner/index.ts';
import { type Channel, LONGEST_MESSAGE, lineWriter, type OpenChannel } from './channel.ts';
import { lines } from './lines.ts';

export interface ContainerChannel {
  readonly session: SessionOptions;
  /** What it was signed to offer: nothing else reaches anybody, and a server that offers it is stopped. */
  readonly pins?: Pins | undefined;
  /** Told what it offers and nobody signed. */
  readonly onDrift?: (what: string) => void;
  /** The folder for what servers write to stderr. */
  readonly logs: string;
  readonly onStarted?: (container: string) => void;
}

/** A verified server in a container of its own. @throws McpBuildError what `openSession` throws */
export function containerChannel(given: ContainerChannel): OpenChannel {
  const { session: options, logs, onStarted, pins } = given;
  return async (receive) => {
    const redact = redactor(options.environment);
    const session = await openSession(options);
    onStarted?.(session.container);
    // A log is no reason not to run.
    const log: Log | undefined = await openLog(logs, session.container).catch(() => undefined);
    let fault: string | undefined;
    const stop = (why: string) => {
      fault ??= why;
      void session.kill('SIGKILL').catch(() => undefined);
    };
    const stdout = lines(LONGEST_MESSAGE, receive, () =>
      stop(`it said more than ${LONGEST_MESSAGE} bytes in one message`),
    );
    const gate = pins
      ? offerGate({
          pins,
          server: options.server.name,
          onDrift: (drifts) => given.onDrift?.(describeDrift(drifts)),
          onRefused: (error) => stop(error.message),
        })
      : undefined;
    const read = async () => {
      for await (const { stream, bytes } of session.streams.output) {
        // stderr is always taken at once: a server that writes much of it must never wait for anybody.
        if (stream === 'stderr') log?.write(redact.bytes(bytes));
        else if (gate) for (const part of gate.take(bytes)) stdout.push(part);
        else stdout.push(bytes);
      }
      for (const part of gate?.end() ?? []) stdout.push(part);
    };
    const reading = read().catch(() => undefined);
    const ended = Promise.race([session.exited, reading]).then(
      async (exit) => {
        // What it said last arrives before its end is told.
        await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 500))]);
        if (fault !== undefined) return fault;
        return exit ? `it ended with code ${exit.code}` : 'its output ended';
      },
      () => 'the Docker daemon went away',
    );
    const channel: Channel = {
      send: lineWriter(session.streams.input),
      ended,
      async close() {
        try {
          await session.close();
        } finally {
          log?.write(redact.end());
          await log?.close();
        }
      },
    };
    return channel;
  };
}
