import { isFault, McpBuildError } from '../errors/index.ts';
import { bridge, type Streams } from './bridge.ts';
import { offerGate } from './gate.ts';
import { hints } from './hints.ts';
import { type Drift, describeDrift, isBlocked, type Pins } from './pins.ts';
import { reporter } from './reached.ts';
import { type Redactor, redactor } from './redact.ts';
import type { Exit } from './runtime.ts';
import { openSession, type Session, type SessionOptions } from './session.ts';
import { STOP_SECONDS } from './spec.ts';

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** Signals to this process, as a thing to subscribe to. @returns what ends the subscription */
export type Signals = (listener: (signal: StopSignal) => void) => () => void;

/** What a run does with a server that is there. */
export type DriveOptions = Pick<
  SessionOptions,
  'server' | 'environment' | 'permissions' | 'say' | 'onDecision' | 'learn' | 'signal'
> &
  Passing;

export type RunOptions = SessionOptions & Passing;

interface Passing {
  readonly streams: Streams;
  readonly signals?: Signals;
  /** Told the name of the container once it runs, before anything of it is passed on. */
  readonly onStarted?: (container: string) => void;
  /** Given everything that is passed on to stderr, secrets taken out: see `openLog`. */
  readonly log?: (bytes: Uint8Array) => void;
  /** How long a server that has said nothing may ignore the end of its input, in milliseconds; 10,000 by default. */
  readonly inputGrace?: number;
  /** What it was signed to offer. Without, nothing is compared. */
  readonly pins?: Pins | undefined;
}

export interface RunResult {
  /** The server's own; 128+n after signal n; 0 where it was stopped because its client was gone or it ignored the end of its input. */
  readonly exitCode: number;
  readonly reason: 'exited' | 'signal' | 'client-gone' | 'input-ended';
}

type Reason = RunResult['reason'] | 'drift';

/** For the last bytes to arrive after a container has stopped, in milliseconds in which none came. */
const DRAIN = 5_000;

/**
 * Runs one server between a client's stdin and stdout, as `npx` would, and leaves nothing behind.
 * @throws McpBuildError see `openSession`; `docker-lost` when the daemon went away meanwhile; `tools-drift` when the server offers its client what
 * nobody signed
 */
export async function runContainer(given: RunOptions): Promise<RunResult> {
  return runSession(given, (hooks) => openSession({ ...given, ...hooks }));
}

/**
 * The same with a server that is opened in another way, as one that a keeper has started ahead.
 * @throws McpBuildError what `open` throws; `docker-lost`, `keeper-lost`
 */
export async function runSession(
  given: DriveOptions,
  open: (hooks: Pick<SessionOptions, 'say' | 'onDecision' | 'signal'>) => Promise<Session>,
): Promise<RunResult> {
  const redact = redactor(given.environment);
  // Everything that is printed goes through it: hints quote the server, and errors quote the daemon.
  const say = (line: string) => given.say(redact.text(line));
  const reached = reporter(say, given.learn === true);
  const options: DriveOptions = {
    ...given,
    say,
    onDecision(decision) {
      reached.see(decision);
      given.onDecision?.(decision);
    },
  };
  const early = new AbortController();
  let caught: StopSignal | undefined;
  let onSignal = (signal: StopSignal) => {
    caught ??= signal;
    early.abort();
  };
  const unsubscribe = options.signals?.((signal) => onSignal(signal)) ?? (() => undefined);
  const signal = options.signal ? AbortSignal.any([options.signal, early.signal]) : early.signal;
  try {
    const session = await open({
      say,
      signal,
      ...(options.onDecision ? { onDecision: options.onDecision } : {}),
    });
    options.onStarted?.(session.container);
    const result = await drive(session, options, redact, signal, caught, (listener) => {
      onSignal = listener;
    }).catch(async (error: unknown) => {
      // What went wrong first is what the user is told; what is left is the reaper's.
      await session.close().catch(() => undefined);
      throw error;
    });
    const { outOfMemory } = await session.close();
    reached.end();
    if (outOfMemory) options.say('the server used more memory than it may and was killed; give it more with --memory');
    return result;
  } catch (error) {
    if (caught && signal.aborted && !(error instanceof McpBuildError)) {
      return { exitCode: codeOf(caught), reason: 'signal' };
    }
    throw error;
  } finally {
    unsubscribe();
  }
}

async function drive(
  session: Session,
  options: DriveOptions,
  redact: Redactor,
  signal: AbortSignal,
  caught: StopSignal | undefined,
  onSignals: (listener: (signal: StopSignal) => void) => void,
): Promise<RunResult> {
  let reason: Reason = 'exited';
  let killTimer: NodeJS.Timeout | undefined;
  let inputTimer: NodeJS.Timeout | undefined;
  let lastOutput = Date.now();

  const stop = (why: Reason, first: NodeJS.Signals) => {
    if (reason === 'exited') reason = why;
    // Asked a second time: at once.
    const name = killTimer ? 'SIGKILL' : first;
    killTimer ??= setTimeout(() => void session.kill('SIGKILL').catch(() => undefined), STOP_SECONDS * 1000);
    session.kill(name).catch(() => undefined);
  };
  onSignals((name) => stop('signal', name));
  const onAbort = () => stop('signal', 'SIGTERM');
  signal.addEventListener('abort', onAbort, { once: true });
  if (caught) stop('signal', caught);
  else if (signal.aborted) onAbort();

  const { streams, inputGrace: grace = 10_000 } = options;
  const waitForSilence = () => {
    // A client that is slow to read keeps the server from saying more.
    if (streams.stdout.writableNeedDrain) lastOutput = Date.now();
    const left = lastOutput + grace - Date.now();
    if (left > 0) inputTimer = setTimeout(waitForSilence, left);
    else stop('input-ended', 'SIGTERM');
  };
  const seen = hints(contextOf(options), options.say);
  let refusal: McpBuildError | undefined;
  const gate =
    options.pins &&
    gateOf(options.pins, options, (error) => {
      refusal = error;
      // What was signed is not what runs: it gets no time to say goodbye.
      stop('drift', 'SIGKILL');
    });
  const ended = bridge(session.streams, streams, {
    onInputEnd() {
      lastOutput = Date.now();
      waitForSilence();
    },
    onOutput() {
      lastOutput = Date.now();
    },
    onClientGone: () => stop('client-gone', 'SIGTERM'),
    gate,
    onStderr(bytes) {
      seen.see(bytes);
      const shown = redact.bytes(bytes);
      options.log?.(shown);
      return shown;
    },
  });
  // The container's end decides; a stream that broke before it is a daemon that went away.
  ended.catch(() => undefined);
  try {
    const exit = await session.exited;
    await drained(ended, () => (streams.stdout.writableNeedDrain ? Date.now() : lastOutput));
    const rest = redact.end();
    options.log?.(rest);
    streams.stderr.write(rest);
    seen.end(reason === 'exited' ? exit.code : 0);
    if (!refusal) return { exitCode: exitCode(exit, reason), reason };
  } catch (cause) {
    throw refusal ?? (isFault(cause, 'keeper-lost') ? cause : lost(session.container, cause));
  } finally {
    clearTimeout(killTimer);
    clearTimeout(inputTimer);
    signal.removeEventListener('abort', onAbort);
  }
  throw refusal;
}

/** The client's answer is the gate's; the user's line and the log's are made here. */
function gateOf(pins: Pins, { server, say, log }: DriveOptions, onRefused: (error: McpBuildError) => void) {
  const tell = (line: string) => {
    say(line);
    log?.(Buffer.from(`mcp-build: ${line}\n`));
  };
  return offerGate({
    pins,
    server: server.name,
    onDrift(drifts: readonly Drift[]) {
      const blocked = drifts.some((drift) => isBlocked(pins, drift));
      const digests = drifts.slice(0, 3).map(({ digest }) => digest);
      tell(
        `tools-drift: not as signed: ${describeDrift(drifts)} (${digests.join(', ')})${blocked ? '; the server is stopped' : ''}`,
      );
    },
    onRefused,
  });
}

/** A slow client may take as long as it likes for what was said before the end; a stream that never ends may not. */
async function drained(ended: Promise<void>, lastOutput: () => number): Promise<void> {
  const begun = Date.now();
  const done = ended.then(
    () => true,
    () => true,
  );
  for (;;) {
    const left = Math.max(begun, lastOutput()) + DRAIN - Date.now();
    if (left <= 0) return;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<false>((resolve) => {
      timer = setTimeout(resolve, left, false);
    });
    const over = await Promise.race([done, timeout]);
    clearTimeout(timer);
    if (over) return;
  }
}

function exitCode(exit: Exit, reason: RunResult['reason']): number {
  if (reason === 'client-gone' || reason === 'input-ended') return 0;
  return exit.code;
}

function codeOf(signal: StopSignal): number {
  return 128 + { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }[signal];
}

function contextOf({ permissions }: DriveOptions) {
  const { network } = permissions;
  return {
    network: typeof network === 'string' ? network : ('hosts' as const),
    environment: permissions.environment,
    writable: permissions.volumes.filter(({ mode }) => mode === 'rw').map(({ path }) => path),
  };
}

function lost(container: string, cause: unknown): McpBuildError {
  return new McpBuildError({
    code: 'docker-lost',
    message: 'The Docker daemon went away while the server ran',
    input: container,
    fix: 'Start Docker again, and then the server. The container is removed as soon as the daemon is back.',
    cause,
  });
}

/** The signals of this process that a client or a terminal sends. While it is subscribed to, none of them ends the process by itself. */
export const processSignals: Signals = (listener) => {
  const names: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const handlers = names.map((name) => [name, () => listener(name)] as const);
  for (const [name, handler] of handlers) process.on(name, handler);
  return () => {
    for (const [name, handler] of handlers) process.off(name, handler);
  };
};
