import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CARE, careFor, DRIVER } from './driver.ts';
import { failed, unavailable } from './faults.ts';
import { type Interpreter, TAG } from './interpreter.ts';

/** Compiles sources. */
export interface Compiler {
  /**
   * The byte-code of one source; undefined where it has none: it is no Python of this version, or holds constants that processors round
   * differently. Depends on nothing but the two arguments. @param path in the image, without the leading slash
   * @throws McpBuildError `bytecode-failed`, `bytecode-unavailable`
   */
  compile(path: string, source: Uint8Array): Promise<Uint8Array | undefined>;
  /** How many sources are worth to be given at once. */
  readonly parallel: number;
  /** Ends its processes. */
  close(): Promise<void>;
}

/** In milliseconds, for one source. The largest real ones take a second on a busy machine. */
const TIMEOUT = 60_000;
/** In bytes, of the byte-code of one source. */
const RESULT_LIMIT = 64 * 1024 * 1024;

/**
 * @param processes how many interpreters compile beside each other; one more only forks, which is fast as long as it has compiled nothing
 * itself. Each is started when it is first needed.
 */
export function compilerOf(interpreter: Interpreter, processes: number, timeout: number = TIMEOUT): Compiler {
  const workers = Array.from({ length: processes + 1 }, () => worker(interpreter, timeout));
  const queues = workers.map(() => Promise.resolve<unknown>(undefined));
  const waiting = workers.map(() => 0);
  return {
    parallel: processes * 2,
    compile(path, source) {
      const care = careFor(source);
      // The shortest queue: which process compiles a source doesn't show in the result.
      const at = care === CARE.none ? waiting.indexOf(Math.min(...waiting.slice(0, processes))) : processes;
      waiting[at]! += 1;
      const result = queues[at]!.then(() => workers[at]!.compile(care, path, source)).finally(() => {
        waiting[at]! -= 1;
      });
      queues[at] = result.catch(() => undefined);
      return result;
    },
    async close() {
      await Promise.all(workers.map((one) => one.close()));
    },
  };
}

type Child = ChildProcessByStdio<Writable, Readable, null>;

/** One interpreter, one source at a time. */
function worker(interpreter: Interpreter, timeout: number) {
  let running: { readonly child: Child; readonly answers: AsyncGenerator<Buffer> } | undefined;
  let ended: Promise<void> = Promise.resolve();

  async function start() {
    const child = spawn(interpreter.program, [...interpreter.words, '-c', DRIVER], {
      cwd: interpreter.folder,
      env: { ...interpreter.environment },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    let broken: unknown;
    ended = new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', (cause) => {
        broken = cause;
        resolve();
      });
    });
    // Its end shows as the end of its output; a write that comes too late must not end us.
    child.stdin.on('error', () => undefined);
    running = { child, answers: framesOf(child.stdout) };
    const tag = await within(child, timeout, () => running!.answers.next());
    if (tag?.value?.toString() === TAG) return running;
    await stop();
    if (broken) throw unavailable(`its interpreter can't be started (${codeOf(broken)})`, broken);
    throw unavailable("its interpreter doesn't start, or is another version");
  }

  async function stop(): Promise<void> {
    const before = running;
    running = undefined;
    before?.child.kill('SIGKILL');
    await ended;
  }

  return {
    async compile(care: number, path: string, source: Uint8Array): Promise<Uint8Array | undefined> {
      const { child, answers } = running ?? (await start());
      const name = Buffer.from(`/${path}`);
      const head = Buffer.alloc(9);
      head.writeUInt8(care, 0);
      head.writeUInt32BE(name.length, 1);
      head.writeUInt32BE(source.length, 5);
      const answer = await within(child, timeout, () => {
        child.stdin.write(Buffer.concat([head, name, source]));
        return answers.next();
      });
      if (answer === undefined || answer.done) {
        const why = answer === undefined ? `takes more than ${timeout / 1000} s` : 'crashes';
        await stop();
        throw failed(path, why);
      }
      return answer.value.length === 0 ? undefined : answer.value;
    },
    close: stop,
  };
}

/** Kills the process and gives undefined when it takes too long. */
async function within<T>(child: Child, timeout: number, work: () => Promise<T>): Promise<T | undefined> {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeout);
  try {
    const result = await work();
    return late ? undefined : result;
  } finally {
    clearTimeout(timer);
  }
}

/** Ends early on an answer that is cut off or far too long. */
async function* framesOf(output: Readable): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let held = 0;
  let wanted: number | undefined;
  for await (const chunk of output as AsyncIterable<Buffer>) {
    parts.push(chunk);
    held += chunk.length;
    for (;;) {
      if (held < (wanted ?? 4)) break;
      let bytes = Buffer.concat(parts);
      if (wanted === undefined) {
        wanted = bytes.readUInt32BE(0);
        if (wanted > RESULT_LIMIT) return;
        bytes = bytes.subarray(4);
      }
      const whole = bytes.length >= wanted;
      if (whole) {
        yield bytes.subarray(0, wanted);
        bytes = bytes.subarray(wanted);
        wanted = undefined;
      }
      parts = [bytes];
      held = bytes.length;
      if (!whole) break;
    }
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}
