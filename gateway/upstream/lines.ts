const NEWLINE = 10;

/** Takes a stream of bytes apart into lines. */
export interface Lines {
  push(chunk: Uint8Array): void;
}

/**
 * @param receive told each line, without its end; its bytes stay its own
 * @param overflow told once when a line grows longer than `longest` bytes; nothing is received after that
 */
export function lines(longest: number, receive: (line: Buffer) => void, overflow: () => void): Lines {
  let pending: Buffer[] = [];
  let length = 0;
  let over = false;
  return {
    push(bytes) {
      if (over) return;
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      let from = 0;
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
        let end = at;
        if (end > from && chunk[end - 1] === 13) end -= 1;
        const last = Buffer.from(chunk.subarray(from, end));
        const line = length === 0 ? last : Buffer.concat([...pending, last]);
        pending = [];
        length = 0;
        from = at + 1;
        if (line.length > 0) receive(line);
      }
      if (from === chunk.length) return;
      length += chunk.length - from;
      if (length > longest) {
        over = true;
        pending = [];
        overflow();
        return;
      }
      // The giver uses the memory again.
      pending.push(Buffer.from(chunk.subarray(from)));
    },
  };
}
