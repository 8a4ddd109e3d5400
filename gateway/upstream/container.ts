import { type Log, openLog, openSession, redactor, type SessionOptions } from '../../runner/index.ts';
import { type Channel, LONGEST_MESSAGE, lineWriter, type OpenChannel } from './channel.ts';
import { lines } from './lines.ts';

export interface ContainerChannel {
  readonly session: SessionOptions;
  /** The folder for what servers write to stderr. */
  readonly logs: string;
  readonly onStarted?: (container: string) => void;
}

/** A verified server in a container of its own. @throws McpBuildError what `openSession` throws */
export function containerChannel({ session: options, logs, onStarted }: ContainerChannel): OpenChannel {
  return async (receive) => {
    const redact = redactor(options.environment);
    const session = await openSession(options);
    onStarted?.(session.container);
    // A log is no reason not to run.
    const log: Log | undefined = await openLog(logs, session.container).catch(() => undefined);
    let tooLong = false;
    const stdout = lines(LONGEST_MESSAGE, receive, () => {
      tooLong = true;
      void session.kill('SIGKILL').catch(() => undefined);
    });
    const read = async () => {
      for await (const { stream, bytes } of session.streams.output) {
        // stderr is always taken at once: a server that writes much of it must never wait for anybody.
        if (stream === 'stderr') log?.write(redact.bytes(bytes));
        else stdout.push(bytes);
      }
    };
    const reading = read().catch(() => undefined);
    const ended = Promise.race([session.exited, reading]).then(
      async (exit) => {
        // What it said last arrives before its end is told.
        await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 500))]);
        if (tooLong) return `it said more than ${LONGEST_MESSAGE} bytes in one message`;
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
