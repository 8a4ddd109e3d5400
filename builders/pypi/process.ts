import { spawn } from 'node:child_process';
import { McpBuildError } from '../../errors/index.ts';

export interface Ran {
  /** Exit code; undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
  /** In milliseconds. */
  readonly timeout: number;
  /** Ceiling in bytes for each of the two outputs. */
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a program to its end, with no shell, no standard input and no variables but those given.
 * @throws McpBuildError `program-failed` when it can't be started, takes too long or prints too much
 */
export function run(program: string, words: readonly string[], options: RunOptions): Promise<Ran> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    const child = spawn(program, words, {
      cwd: options.folder,
      env: { ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeout,
      killSignal: 'SIGKILL',
      ...(options.signal ? { signal: options.signal } : {}),
    });
    const outputs: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
    let broken: McpBuildError | undefined;
    for (const name of ['stdout', 'stderr'] as const) {
      let size = 0;
      child[name].on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= options.limit) {
          outputs[name].push(chunk);
          return;
        }
        broken ??= failed(program, `prints more than ${options.limit} bytes`);
        child.kill('SIGKILL');
      });
    }
    child.on('error', (cause) => {
      if (options.signal?.aborted) reject(options.signal.reason);
      else reject(failed(program, `can't be started (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`, cause));
    });
    child.on('close', (code, killed) => {
      if (broken) reject(broken);
      else if (killed === 'SIGKILL')
        reject(failed(program, `took more than ${options.timeout / 1000} s, or was killed`));
      else {
        resolve({
          code: code ?? undefined,
          stdout: Buffer.concat(outputs.stdout).toString('utf8'),
          stderr: Buffer.concat(outputs.stderr).toString('utf8'),
        });
      }
    });
  });
}

function failed(program: string, what: string, cause?: unknown): McpBuildError {
  return new McpBuildError({
    code: 'program-failed',
    message: `${program} ${what}`,
    input: program,
    fix: 'Run it by hand to see what is wrong with it.',
    ...(cause === undefined ? {} : { cause }),
  });
}
