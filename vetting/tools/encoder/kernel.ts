import { readFileSync } from 'node:fs';

/** What `kernel.wat` exports. Addresses are bytes of `memory`; `kernel.wat` says what each does. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  quantize(x: number, rows: number, width: number, out: number, scales: number): void;
  multiply(
    a: number,
    rowScales: number,
    rows: number,
    width: number,
    weights: number,
    columnScales: number,
    bias: number,
    columns: number,
    out: number,
  ): void;
  gelu(x: number, count: number): void;
  normalize(x: number, y: number, rows: number, width: number, gain: number, bias: number): void;
  attend(q: number, k: number, v: number, rows: number, bytes: number, shares: number, out: number): void;
  accumulate(x: number, rows: number, width: number, weights: number, columns: number, out: number): void;
  relu(x: number, count: number): void;
}

export interface Kernel extends Exports {
  /** Takes room for that many bytes, which is never given back. @returns its address, aligned to 16 */
  room(bytes: number): number;
  /** The same, and writes there. */
  put(part: Uint8Array): number;
}

const PAGE = 65_536;

let compiled: WebAssembly.Module | undefined;

/** The kernel with a memory of its own, which grows as room is taken. */
export function openKernel(): Kernel {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('kernel.wasm', import.meta.url)));
  const exports = new WebAssembly.Instance(compiled).exports as unknown as Exports;
  const { memory } = exports;
  let next = 16;
  const room = (bytes: number): number => {
    const begin = next;
    next = (next + bytes + 15) & ~15;
    const missing = next - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
    return begin;
  };
  return {
    ...exports,
    room,
    put(part) {
      const begin = room(part.byteLength);
      new Uint8Array(memory.buffer).set(part, begin);
      return begin;
    },
  };
}
