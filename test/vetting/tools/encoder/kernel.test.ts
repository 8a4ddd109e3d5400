import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { assembled } from '../../../../.ci/kernel.ts';
import { type Kernel, openKernel } from '../../../../vetting/tools/encoder/kernel.ts';

/** Numbers between -1 and 1, always the same. */
function noise(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

const put = (kernel: Kernel, values: Float32Array | Int8Array): number =>
  kernel.put(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
const floats = (kernel: Kernel, at: number, count: number): Float32Array =>
  new Float32Array(kernel.memory.buffer, at, count).slice();

describe('the kernel', () => {
  it('is what its source gives', async () => {
    const committed = readFileSync(new URL('../../../../vetting/tools/encoder/kernel.wasm', import.meta.url));
    expect(Buffer.from(await assembled()).equals(committed)).toBe(true);
  });

  it('multiplies rows by columns within what whole numbers lose', () => {
    const kernel = openKernel();
    const [rows, width, columns] = [6, 40, 12];
    const x = noise(rows * width, 1);
    const weights = Int8Array.from(noise(columns * width, 2), (value) => Math.round(value * 127));
    const scales = noise(columns, 3).map((value) => Math.abs(value) / 127);
    const bias = noise(columns, 4);
    const whole = kernel.room(2 * rows * width);
    const rowScales = kernel.room(4 * rows);
    const out = kernel.room(4 * rows * columns);
    kernel.quantize(put(kernel, x), rows, width, whole, rowScales);
    kernel.multiply(
      whole,
      rowScales,
      rows,
      width,
      put(kernel, weights),
      put(kernel, scales),
      put(kernel, bias),
      columns,
      out,
    );
    const found = floats(kernel, out, rows * columns);
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        let sum = bias[column] as number;
        for (let at = 0; at < width; at += 1)
          sum +=
            (x[row * width + at] as number) * (weights[column * width + at] as number) * (scales[column] as number);
        expect(found[row * columns + column]).toBeCloseTo(sum, 2);
      }
    }
  });

  it('attends to rows by what they share, also where their number is no multiple of four', () => {
    const kernel = openKernel();
    const [rows, size] = [7, 32];
    const [q, k, v] = [5, 6, 7].map((seed) => noise(rows * size, seed)) as [Float32Array, Float32Array, Float32Array];
    const out = kernel.room(4 * rows * size);
    const shares = kernel.room(4 * rows + 16);
    kernel.attend(put(kernel, q), put(kernel, k), put(kernel, v), rows, 4 * size, shares, out);
    const found = floats(kernel, out, rows * size);
    for (let row = 0; row < rows; row += 1) {
      const weights = Array.from({ length: rows }, (_, other) => {
        let sum = 0;
        for (let at = 0; at < size; at += 1) sum += (q[row * size + at] as number) * (k[other * size + at] as number);
        return Math.exp(sum);
      });
      const all = weights.reduce((sum, each) => sum + each, 0);
      for (let at = 0; at < size; at += 1) {
        const sum = weights.reduce((so, weight, other) => so + (weight * (v[other * size + at] as number)) / all, 0);
        expect(found[row * size + at]).toBeCloseTo(sum, 5);
      }
    }
  });

  it('normalises, bends and adds up as written', () => {
    const kernel = openKernel();
    const x = noise(16, 8);
    const at = put(kernel, x);
    kernel.normalize(
      at,
      put(kernel, new Float32Array(16)),
      1,
      16,
      put(kernel, new Float32Array(16).fill(1)),
      put(kernel, new Float32Array(16)),
    );
    const normal = floats(kernel, at, 16);
    expect(normal.reduce((sum, each) => sum + each, 0)).toBeCloseTo(0, 4);
    expect(normal.reduce((sum, each) => sum + each * each, 0)).toBeCloseTo(16, 3);

    const bent = put(kernel, Float32Array.of(-100, -1, 0, 1, 2, 10, 50, 100));
    kernel.gelu(bent, 8);
    for (const [index, value] of [0, -0.1588, 0, 0.8412, 1.9546, 10, 50, 100].entries())
      expect(floats(kernel, bent, 8)[index]).toBeCloseTo(value, 3);

    const out = kernel.room(64);
    const rows = Float32Array.of(2, 3);
    const weights = Float32Array.from({ length: 32 }, (_, index) => index);
    kernel.accumulate(put(kernel, rows), 1, 2, put(kernel, weights), 16, out);
    expect([...floats(kernel, out, 16)]).toEqual(
      Array.from({ length: 16 }, (_, index) => 2 * index + 3 * (16 + index)),
    );

    const signs = put(kernel, Float32Array.of(-1, 2, -3, 4));
    kernel.relu(signs, 4);
    expect([...floats(kernel, signs, 4)]).toEqual([0, 2, 0, 4]);
  });

  it('grows its memory as it is asked for room, and traps beyond it', () => {
    const kernel = openKernel();
    const far = kernel.room(1_000_000);
    expect(kernel.memory.buffer.byteLength).toBeGreaterThanOrEqual(far + 1_000_000);
    expect(() => kernel.relu(kernel.memory.buffer.byteLength, 4)).toThrow(WebAssembly.RuntimeError);
  });
});
