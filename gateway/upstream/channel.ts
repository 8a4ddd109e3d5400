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

/** In characters: shorter texts Node writes from the stack. */
const LONG = 16 * 1024;
const MOST_COPIED = 1024 * 1024;
const NEWLINE = 10;

/**
 * Writes lines to a server's stdin. Short ones that are said within one turn of the event loop are written at once; a long one goes out immediately, as
 * bytes: as texts, those of one turn would be the most that the heap holds, and be copied by each look for what can go.
 */
export function lineWriter(input: Writable): (message: string) => boolean {
  let waiting: string[] = [];
  let memory: Buffer | undefined;
  let free = true;
  const flush = () => {
    if (waiting.length === 0) return;
    const text = waiting.length === 1 ? `${waiting[0]}\n` : `${waiting.join('\n')}\n`;
    waiting = [];
    if (input.writable) input.write(text);
  };
  const writeLong = (text: string) => {
    const size = Buffer.byteLength(text) + 1;
    if (!free || size > MOST_COPIED) {
      const bytes = Buffer.allocUnsafeSlow(size);
      bytes[bytes.write(text)] = NEWLINE;
      input.write(bytes);
      return;
    }
    // Memory that is used again: new memory costs more than what is copied into it.
    memory ??= Buffer.allocUnsafeSlow(MOST_COPIED);
    free = false;
    memory[memory.write(text)] = NEWLINE;
    input.write(memory.subarray(0, size), () => {
      free = true;
    });
  };
  // A server that has closed its input answers with EPIPE: its end is what counts.
  input.on('error', () => undefined);
  return (message) => {
    if (!input.writable || input.writableLength > MOST_WAITING) return false;
    if (message.length >= LONG) {
      flush();
      writeLong(message);
    } else if (waiting.push(message) === 1) whenTurnEnds(flush);
    return true;
  };
}
