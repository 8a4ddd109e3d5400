const NEWLINE = 10;
const RETURN = 13;
const EMPTY = Buffer.alloc(0);
/** Of memory that is kept for the next line, in bytes. */
const MOST_HELD = 1024 * 1024;

/** Takes a stream of bytes apart into lines. */
export interface Lines {
  push(chunk: Uint8Array): void;
}

/**
 * @param receive told each line, without its end; its bytes stay its own
 * @param overflow told once when a line grows longer than `longest` bytes; nothing is received after that
 */
export function lines(longest: number, receive: (line: Buffer) => void, overflow: () => void): Lines {
  // What has come of a line that isn't whole. Its memory is kept for the next one: new memory costs more than what is copied into it.
  let held = EMPTY;
  let length = 0;
  let over = false;
  const hold = (chunk: Buffer, from: number) => {
    const needed = length + chunk.length - from;
    if (needed > held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(4096, 2 ** Math.ceil(Math.log2(needed))));
      held.copy(larger, 0, 0, length);
      held = larger;
    }
    chunk.copy(held, length, from);
    length = needed;
  };
  return {
    push(bytes) {
      if (over) return;
      // The giver uses this memory again.
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      let from = 0;
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
        const line = Buffer.allocUnsafe(length + at - from);
        held.copy(line, 0, 0, length);
        chunk.copy(line, length, from, at);
        length = 0;
        if (held.length > MOST_HELD) held = EMPTY;
        from = at + 1;
        const end = line.at(-1) === RETURN ? line.length - 1 : line.length;
        if (end > 0) receive(end < line.length ? line.subarray(0, end) : line);
      }
      if (from === chunk.length) return;
      if (length + chunk.length - from > longest) {
        over = true;
        held = EMPTY;
        overflow();
        return;
      }
      hold(chunk, from);
    },
  };
}
