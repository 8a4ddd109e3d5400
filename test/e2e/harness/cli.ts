import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { toolCache } from './needs.ts';
import { root } from './tree.ts';

export const MAIN = join(root, 'cli/main.ts');

export interface CliOptions {
  readonly cwd: string;
  /** On top of the environment of `childEnvironment`; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  /**
   * Closes stdin once this was printed to stdout, as a client does that waits for its answer: servers may drop what they were asked
   * when their client hangs up (Python's SDK does). Without it, stdin is closed behind `input`.
   */
  readonly until?: RegExp;
  /** In milliseconds; 240,000 by default. */
  readonly timeout?: number;
  /** Runs as this user and group: root writes where nobody may. */
  readonly uid?: number;
}

export interface CliResult {
  /** The exit code; 128 plus the signal's number where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as JSON. @throws SyntaxError where it isn't one document */
  json<T>(): T;
}

/** Runs `node cli/main.ts` as a user would and waits for its end. */
export async function cli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd,
    env: childEnvironment(options.env),
    stdio: 'pipe',
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    out.push(chunk);
    if (options.until?.test(Buffer.concat(out).toString())) child.stdin.end();
  });
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  // A child that ends before it has read all its input is no error of the test.
  child.stdin.on('error', () => undefined);
  if (options.until === undefined) child.stdin.end(options.input ?? '');
  else child.stdin.write(options.input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeout ?? 240_000);
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit, signal) => resolve(exit ?? 128 + (signal === 'SIGKILL' ? 9 : 15)));
  });
  clearTimeout(timer);
  const stdout = Buffer.concat(out).toString();
  const stderr = Buffer.concat(err).toString();
  return { code, stdout, stderr, json: <T>() => JSON.parse(stdout) as T };
}

/** As `cli`, for a call that must succeed. @throws Error with what it printed */
export async function cliDone(args: readonly string[], options: CliOptions): Promise<CliResult> {
  const result = await cli(args, options);
  if (result.code !== 0)
    throw new Error(`mcp-build ${args.join(' ')} ended with ${result.code}:\n${result.stderr}${result.stdout}`);
  return result;
}

/** The test's environment without what vitest and npm add to it, and with this Node and the installed tools first on PATH. */
export function childEnvironment(extra: CliOptions['env'] = {}): Record<string, string> {
  const entries = Object.entries({ ...process.env, ...extra }).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined &&
      (Object.hasOwn(extra, entry[0]) || !/^(VITEST|NODE_ENV$|npm_(?!config_))/.test(entry[0])),
  );
  const environment = Object.fromEntries(entries);
  environment.PATH = [dirname(process.execPath), join(toolCache(), 'bin'), environment.PATH ?? ''].join(delimiter);
  return environment;
}

export interface Workplace {
  /** An empty working directory. */
  readonly cwd: string;
  /** MCP_BUILD_HOME, fresh. */
  readonly home: string;
  readonly env: Readonly<Record<string, string>>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A folder and a state of its own for one test.
 * @param warm shares downloads (not the store, not the locks) with other tests and runs, as a user's second build would
 */
export async function workplace(warm: 'warm' | 'cold' = 'warm'): Promise<Workplace> {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-build-e2e-'));
  // Other users are let in, for the tests that run as one.
  await chmod(folder, 0o755);
  const cwd = join(folder, 'work');
  const home = join(folder, 'home');
  await mkdir(cwd);
  await mkdir(home);
  if (warm === 'warm') {
    const shared = join(toolCache(), 'downloads');
    await mkdir(shared, { recursive: true });
    await symlink(shared, join(home, 'cache'));
  }
  return {
    cwd,
    home,
    env: { MCP_BUILD_HOME: home, MCP_BUILD_PASSPHRASE: 'only for tests' },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
