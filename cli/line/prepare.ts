import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { formatSource, parseSource } from '../../builders/index.ts';
import { type Digest, hexOf, sha256 } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { makeFolders, withFileLock, writeAtomic } from '../../files/index.ts';
import type { Environment, Home } from './home.ts';
import { isPrepared } from './prepared.ts';
import { mainProgram } from './program.ts';
import { type Verified, verifiedImage } from './start.ts';

export interface PrepareOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly bin?: string | undefined;
  readonly progress: (line: string) => void;
  readonly say: (line: string) => void;
}

/** In milliseconds. One that another process works on is not waited for here: whoever wants it follows that one. */
const TAKEN = 1000;
/** In milliseconds, between two looks at what a process in the background has written. */
const LOOK = 150;
const ATTEMPTS = 3;

/**
 * Locks, builds and signs a source that is not here yet, one process at a time, and writes down how that goes.
 * @throws McpBuildError `busy` where another process is at it; what locking and building throw
 */
export async function prepare(target: string, options: PrepareOptions): Promise<Verified> {
  const place = placeOf(target, options);
  await makeFolders(place.folder, 0o700);
  return withFileLock(
    place.lock,
    async () => {
      await rm(place.outcome, { force: true });
      await writeAtomic(place.log, '', 0o600);
      const write = (kind: 'note' | 'progress', line: string) => {
        // Synchronously, or the last line would be lost with the process.
        appendFileSync(place.log, `${new Date().toISOString()} ${kind} ${line.replace(/\s+/g, ' ')}\n`);
      };
      try {
        return await verifiedImage(target, {
          ...options,
          say: (line) => {
            write('note', line);
            options.say(line);
          },
          progress: (line) => {
            write('progress', line);
            options.progress(line);
          },
        });
      } catch (error) {
        await writeAtomic(place.outcome, JSON.stringify(faultOf(error)), 0o600);
        throw error;
      }
    },
    TAKEN,
  );
}

/**
 * Sees to it that a source is here, in a process of its own: a client that hangs up, kills this one or crashes does not lose the work,
 * and its next start finds it done. @throws McpBuildError what locking and building threw in that process
 */
export async function preparedInBackground(target: string, options: PrepareOptions): Promise<void> {
  const { home, bin } = options;
  if (await isPrepared(target, home, bin)) return;
  const place = placeOf(target, options);
  await makeFolders(place.folder, 0o700);
  options.say(`building ${formatSource(parseSource(target))}, once; it goes on if the client hangs up (${place.log})`);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const program = mainProgram();
    const child = spawn(
      program.command,
      [...program.args, 'prepare', target, ...(bin === undefined ? [] : ['--bin', bin])],
      {
        detached: true,
        stdio: 'ignore',
        env: { ...options.environment },
      },
    );
    const ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    // Somebody at a terminal who interrupts means the work, too; a client means only its own patience.
    const interrupt = () => {
      child.kill('SIGTERM');
      process.exit(130);
    };
    if (process.stderr.isTTY) process.once('SIGINT', interrupt);
    await follow(place, ended, options);
    process.off('SIGINT', interrupt);
    if (await isPrepared(target, home, bin)) return;
    const fault = await outcomeOf(place);
    if (fault) throw fault;
    // Another process was at it, or this one, and it was killed: nobody left a word.
  }
  throw died(place);
}

interface Place {
  readonly folder: string;
  readonly lock: string;
  readonly log: string;
  readonly outcome: string;
}

function placeOf(target: string, { home, bin }: Pick<PrepareOptions, 'home' | 'bin'>): Place {
  const source = parseSource(target);
  const folder = join(home.root, 'prepare');
  const key: Digest = sha256(JSON.stringify([formatSource(source), bin ?? null]));
  const name = `${source.name.replace(/[^a-z0-9]+/gi, '-').slice(0, 60)}-${hexOf(key).slice(0, 12)}`;
  return {
    folder,
    lock: join(folder, `${name}.lock`),
    log: join(folder, `${name}.log`),
    outcome: join(folder, `${name}.json`),
  };
}

/** Passes on what is written to the log until the process has ended and nobody holds the lock. */
async function follow(place: Place, ended: Promise<unknown>, { say, progress }: PrepareOptions): Promise<void> {
  let over = false;
  const end = () => {
    over = true;
  };
  void ended.then(end, end);
  let at = 0;
  let rest = '';
  for (;;) {
    const done = over && !(await exists(place.lock));
    const text = await tail(place.log, at);
    // A log that got shorter was begun anew.
    if (text === undefined) [at, rest] = [0, ''];
    else {
      at += Buffer.byteLength(text);
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [, kind, what = ''] = /^\S+ (note|progress) (.*)$/.exec(line) ?? [];
        if (kind === 'note') say(what);
        else if (kind === 'progress') progress(what);
      }
    }
    if (done) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK));
    if (over && (await exists(place.lock))) {
      // Held by a process that may have died: taking the lock tells, and gives it back at once.
      await withFileLock(place.lock, async () => undefined, LOOK).catch(() => undefined);
    }
  }
}

/** What a file holds from a place on; undefined where it is shorter than that. */
async function tail(path: string, from: number): Promise<string | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return '';
  try {
    const { size } = await file.stat();
    if (size < from) return undefined;
    const { bytesRead, buffer } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    // Only whole lines: a character that is cut at the end comes with its line.
    return buffer.subarray(0, buffer.subarray(0, bytesRead).lastIndexOf(10) + 1).toString('utf8');
  } finally {
    await file.close();
  }
}

const outcomeSchema = z.object({
  code: z.string(),
  message: z.string(),
  input: z.string().optional(),
  fix: z.string().optional(),
  exit: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4), z.literal(5)]),
});

function faultOf(error: unknown): z.infer<typeof outcomeSchema> {
  if (isFault(error)) {
    const { code, message, input, fix, exit } = error;
    return { code, message, ...(input ? { input } : {}), ...(fix ? { fix } : {}), exit: exit === 0 ? 1 : exit };
  }
  return { code: 'unexpected', message: error instanceof Error ? error.message : String(error), exit: 1 };
}

async function outcomeOf({ outcome }: Place): Promise<McpBuildError | undefined> {
  const text = await readFile(outcome, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const { code, message, input, fix, exit } = outcomeSchema.parse(JSON.parse(text));
  return new McpBuildError({ code, message, exit, ...(input ? { input } : {}), ...(fix ? { fix } : {}) });
}

function died({ log }: Place): McpBuildError {
  return new McpBuildError({
    code: 'prepare-died',
    message: 'The process that was building the image ended without a word',
    input: log,
    fix: 'Look at its log, then start the server again.',
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
