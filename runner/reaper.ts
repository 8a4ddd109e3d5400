import { existsSync } from 'node:fs';
import net from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { McpBuildError } from '../errors/index.ts';
import type { Guarded } from './reaping.ts';
import { socketIn } from './socket.ts';

/** Promises that what a run has is removed when the run is gone, `kill -9` included. */
export interface Reaper {
  /** To be called before the containers are made. @throws McpBuildError `reaper-unavailable` */
  guard(what: Guarded): Promise<Guard>;
}

export interface Guard {
  /** The run has removed everything itself. */
  release(): Promise<void>;
  /** The run couldn't: it is the reaper's now. */
  abandon(): void;
}

export interface ReaperConfig {
  /** Of this user alone; made where it isn't there. */
  readonly folder: string;
  /** How long the process stays without a run, in milliseconds; 30,000 by default. */
  readonly idle?: number;
  /** Told when a run is no longer guarded, and nothing could be done. */
  readonly onTrouble?: (line: string) => void;
}

const START_TIMEOUT = 10_000;
const ANSWER_TIMEOUT = 5_000;
/** It holds a few connections: most of the memory a Node process takes by default is never used. */
const FLAGS = ['--max-old-space-size=24', '--max-semi-space-size=1', '--no-warnings'];

/**
 * One process per user and state folder watches over all runs. It is no child of any of them: clients kill whole trees of processes, and
 * a watcher that dies with the watched is none.
 */
export function reaper(config: ReaperConfig): Reaper {
  return {
    async guard(what) {
      const socket = await socketIn(config.folder, 'reaper.sock', 'reaper-unavailable');
      let released = false;
      let connection: net.Socket;
      const establish = async () => {
        connection = await register(socket, what, config.idle ?? 30_000);
        connection.once('close', () => {
          // It was killed, or ended as this run came: another takes over.
          if (!released) {
            establish().catch((error: Error) =>
              config.onTrouble?.(`nothing watches over this run any more (${error.message})`),
            );
          } else connection.destroy();
        });
      };
      await establish();
      return {
        async release() {
          if (released) return;
          released = true;
          await ask(connection, { done: true }).catch(() => undefined);
          connection.destroy();
        },
        abandon() {
          released = true;
          connection.destroy();
        },
      };
    },
  };
}

/** When this process last started one, by socket: fifty servers that begin together need one reaper, not fifty that race. */
const starts = new Map<string, number>();
/** In milliseconds. */
const AGAIN = 2_000;

async function register(path: string, what: Guarded, idle: number): Promise<net.Socket> {
  const deadline = Date.now() + START_TIMEOUT;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      const connection = await connect(path);
      try {
        await ask(connection, { guard: what });
        connection.unref();
        return connection;
      } catch (error) {
        // It ended between taking the connection and answering.
        connection.destroy();
        last = error;
      }
    } catch (error) {
      last = error;
      if (Date.now() - (starts.get(path) ?? 0) > AGAIN) {
        starts.set(path, Date.now());
        await start(path, idle);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  throw new McpBuildError({
    code: 'reaper-unavailable',
    message: `The process that cleans up after servers could not be started at ${path}`,
    input: path,
    fix: 'Check that the state folder (MCP_BUILD_HOME) can be written. Nothing was started.',
    cause: last,
  });
}

function connect(path: string): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const connection = net.connect(path);
    connection.once('error', reject);
    connection.once('connect', () => {
      connection.off('error', reject);
      connection.on('error', () => undefined);
      resolve(connection);
    });
  });
}

function ask(connection: net.Socket, message: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => end(new Error('no answer')), ANSWER_TIMEOUT);
    const onData = (data: Buffer) => (data.includes('"ok":true') ? end() : end(new Error('refused')));
    const onClose = () => end(new Error('closed'));
    const end = (error?: Error) => {
      clearTimeout(timer);
      connection.off('data', onData).off('close', onClose);
      if (error) reject(error);
      else resolve();
    };
    if (connection.destroyed) return end(new Error('closed'));
    connection.on('data', onData).once('close', onClose);
    connection.write(`${JSON.stringify(message)}\n`);
  });
}

/** Through a shell that ends at once, so that the new process belongs to nobody's tree; in a session of its own; with none of the user's variables. */
async function start(socket: string, idle: number): Promise<void> {
  const { spawn } = await import('node:child_process');
  const own = fileURLToPath(import.meta.url);
  const main = fileURLToPath(new URL(`./reaper-main${extname(own)}`, import.meta.url));
  const words = [process.execPath, ...FLAGS, main, socket, String(idle)];
  // An image of mcp-build has no shell: there it is a child, in a session of its own, in a container that ends as a whole.
  const [program = '', ...args] = existsSync('/bin/sh')
    ? ['/bin/sh', '-c', '"$@" </dev/null >/dev/null 2>&1 &', 'sh', ...words]
    : words;
  const child = spawn(program, args, {
    cwd: '/',
    detached: true,
    stdio: 'ignore',
    env: { PATH: '/usr/bin:/bin' },
  });
  child.on('error', () => undefined);
  child.unref();
}
