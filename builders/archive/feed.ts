const NOTHING = new Uint8Array(0);

/**
 * Pulls from a stream of chunks by count. What is buffered is given out without waiting and without copying, which is what
 * makes a parser over it fast; `exactly` copies only where a range lies across chunks. Holds one chunk at a time.
 */
export class Feed {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  #ended = false;
  #before = 0;

  constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#source = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  }

  /** Bytes given out so far. */
  get position(): number {
    return this.#before + this.#at;
  }

  /** Bytes that can be taken without waiting. */
  get ready(): number {
    return this.#chunk.length - this.#at;
  }

  /** The next `count` bytes when they are buffered. */
  take(count: number): Uint8Array | undefined {
    const end = this.#at + count;
    if (end > this.#chunk.length) return undefined;
    const bytes = this.#chunk.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  /** Waits until something is buffered; false at the end of the stream. */
  async more(): Promise<boolean> {
    while (this.ready === 0) {
      if (this.#ended) return false;
      const next = await this.#source.next();
      if (next.done) {
        this.#ended = true;
        return false;
      }
      this.#before += this.#chunk.length;
      this.#chunk = next.value;
      this.#at = 0;
    }
    return true;
  }

  /** Between 1 and `max` bytes, or undefined at the end of the stream. */
  async some(max = Number.POSITIVE_INFINITY): Promise<Uint8Array | undefined> {
    if (!(await this.more())) return undefined;
    return this.take(Math.min(max, this.ready));
  }

  /** The next `count` bytes, or as many as there are before the stream ends. The caller bounds `count`. */
  async exactly(count: number): Promise<Uint8Array> {
    const whole = this.take(count);
    if (whole) return whole;
    const bytes = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const part = await this.some(count - filled);
      if (!part) return bytes.subarray(0, filled);
      bytes.set(part, filled);
      filled += part.length;
    }
    return bytes;
  }

  /** Gives back the last `count` bytes of what was taken from the chunk that is buffered now. */
  back(count: number): void {
    if (count > this.#at) throw new RangeError('gave back more than the buffered chunk');
    this.#at -= count;
  }

  /** Lets the source release what it holds. Never throws: an error of the source was thrown when it was read. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await Promise.resolve(this.#source.return?.()).catch(() => undefined);
  }
}
