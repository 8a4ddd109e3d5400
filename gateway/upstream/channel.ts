import type { Writable } from 'node:stream';
import { whenTurnEnds } from '../turn.ts';

/** A way to one running server: messages in both directions, whatever carries them. */
export interface Channel {
  /** Hands over one message without line breaks. @returns whether it was taken: not so when the server has stopped reading */
  send(message: string): boolean;
  /** Settles with why, when nothing more can be said or heard. */
  readonly ended: Promise<string>;
  /** To be called once, however it ended. */
  close(): Promise<void>;
}

/** Opens a way; what the server says goes to `receive`, one message at a time. */
export type OpenChannel = (receive: (message: Buffer) => void) => Promise<Channel>;

/** Longest message of a server, in bytes. */
export const LONGEST_MESSAGE = 64 * 1024 * 1024;
/** A server that doesn't read its input has at most so much waiting for it, in bytes. */
const MOST_WAITING = 64 * 1024 * 1024;

/** In characters: what Node writes from the stack. */
const SHORT = 16 * 1024;
const MOST_COPIED = 1024 * 1024;

/** Writes lines to a server's stdin; what is said within one turn of the event loop is written at once. */
export function lineWriter(input: Writable): (message: string) => boolean {
  let waiting: string[] = [];
  let memory: Buffer | undefined;
  let free = true;
  /** A long text goes out of memory that is used again, where Node would take new memory, of three times its length, for each. */
  const write = (text: string) => {
    const length = text.length < SHORT || !free ? 0 : Buffer.byteLength(text);
    if (length === 0 || length > MOST_COPIED) return input.write(text);
    memory ??= Buffer.allocUnsafeSlow(MOST_COPIED);
    free = false;
    return input.write(memory.subarray(0, memory.write(text)), () => {
      free = true;
    });
  };
  const flush = () => {
    const text = waiting.length === 1 ? `${waiting[0]}\n` : `${waiting.join('\n')}\n`;
    waiting = [];
    if (input.writable) write(text);
  };
  // A server that has closed its input answers with EPIPE: its end is what counts.
  input.on('error', () => undefined);
  return (message) => {
    if (!input.writable || input.writableLength > MOST_WAITING) return false;
    if (waiting.push(message) === 1) whenTurnEnds(flush);
    return true;
  };
}
