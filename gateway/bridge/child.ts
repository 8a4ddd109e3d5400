import { spawn } from 'node:child_process';
import { type Channel, LONGEST_MESSAGE, lineWriter, type OpenChannel } from '../upstream/channel.ts';
import { lines } from '../upstream/lines.ts';

/** Between the end of a server's input, SIGTERM and SIGKILL; in milliseconds, each. */
const PATIENCE = 2_500;

/** A server as a process beside this one, which is what started it. Its stderr is this one's. @param environment all that it has, no more */
export function childChannel(command: readonly string[], environment: Readonly<Record<string, string>>): OpenChannel {
  return async (receive) => {
    const [program = '', ...args] = command;
    // A group of its own, so that what it has started ends with it.
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: environment, detached: true });
    let fault: string | undefined;
    const signal = (name: NodeJS.Signals) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, name);
      } catch {
        // Nobody of it is left.
      }
    };
    const out = lines(LONGEST_MESSAGE, receive, () => {
      fault = `it said more than ${LONGEST_MESSAGE} bytes in one message`;
      signal('SIGKILL');
    });
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    const exited = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    const ended = new Promise<string>((resolve) => {
      // A process that it has left behind may hold its output open for ever.
      child.once('exit', () => {
        signal('SIGKILL');
        setTimeout(() => child.stdout.destroy(), 500).unref();
      });
      child.once('close', (code, by) => resolve(fault ?? `it ended with ${by ?? `code ${code}`}`));
      child.once('error', (error) => resolve(error.message));
    });
    const channel: Channel = {
      send: lineWriter(child.stdin),
      ended,
      async close() {
        child.stdin.end();
        for (const name of ['SIGTERM', 'SIGKILL'] as const) {
          if (await within(exited, PATIENCE)) break;
          signal(name);
        }
        await exited;
      },
    };
    return channel;
  };
}

async function within(done: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const result = await Promise.race([done.then(() => true), late]);
  clearTimeout(timer);
  return result;
}
