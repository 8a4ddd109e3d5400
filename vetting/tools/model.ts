import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { hexOf, sha256 } from '../../digest/index.ts';
import { headed } from './headed.ts';

/** Text that nobody sees is no accident: what it weighs is set by hand, in log odds, and added to what the model says. */
export const HIDING: Readonly<Record<string, number>> = {
  invisible: 9,
  bidi: 9,
  'zero-width': 9,
  encoded: 5,
  'spaced-out': 4,
  offscreen: 4,
  endless: 1,
};

/** A convolution over words. */
export interface Layer {
  readonly width: number;
  /** Words between two that are looked at together. */
  readonly dilation: number;
  readonly into: number;
  /** Of each tap, of each input: `outputs` numbers. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

export interface Network {
  readonly layers: readonly Layer[];
  /** Of all layers' outputs at one place. */
  readonly out: Float32Array;
  readonly bias: number;
}

export interface Model {
  /** The beginning of the file's SHA-256. */
  readonly name: string;
  /** From here on a text is poisoned. */
  readonly bar: number;
  readonly hidden: number;
  /** Numbers that the encoder makes of a word, and how many are kept of them: `centre` and what `projection` (a row for each number) makes of them. */
  readonly width: number;
  readonly kept: number;
  readonly projection: Float32Array;
  readonly centre: Float32Array;
  /** Of a word's input: what is kept, then the marks, then the signs. */
  readonly size: number;
  readonly marks: ReadonlyMap<string, number>;
  readonly signs: ReadonlyMap<string, number>;
  /** What a sign weighs in the input. */
  readonly sign: number;
  readonly networks: readonly Network[];
}

const numbers = z.array(z.number());
const headerSchema = z.strictObject({
  width: z.int(),
  kept: z.int().multipleOf(16),
  hidden: z.int().multipleOf(16),
  widths: numbers,
  dilations: numbers,
  sign: z.number(),
  bar: z.number(),
  marks: z.array(z.string()),
  signs: z.array(z.string()),
  centre: numbers,
  scales: numbers,
  nets: z.array(
    z.strictObject({
      layers: z.array(z.strictObject({ scales: numbers, bias: numbers })),
      out: numbers,
      bias: z.number(),
    }),
  ),
});

let loaded: Model | undefined;

/** `model.bin`, as `test/vetting/tools/fit.py` writes it: the length of a header, the header, then bytes with a scale for each column. */
export function model(): Model {
  loaded ??= read(readFileSync(new URL('model.bin', import.meta.url)));
  return loaded;
}

function read(file: Uint8Array): Model {
  const { header, begin } = headed(file, headerSchema);
  const { width, kept, hidden, widths, dilations, sign, bar, ...rest } = header;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const size = kept + rest.marks.length + rest.signs.length;
  let at = begin;
  /** Columns are scaled. */
  const matrix = (rows: number, columns: number, scales: readonly number[]): Float32Array => {
    const values = new Float32Array(rows * columns);
    for (let index = 0; index < values.length; index += 1)
      values[index] = view.getInt8(at + index) * (scales[index % columns] as number);
    at += values.length;
    return values;
  };
  const projection = matrix(width, kept, rest.scales);
  const networks = rest.nets.map(({ layers, out, bias }) => ({
    layers: layers.map((layer, index) => {
      const into = index === 0 ? size : hidden;
      const words = widths[index] as number;
      return {
        width: words,
        dilation: dilations[index] as number,
        into,
        weights: matrix(words * into, hidden, layer.scales),
        bias: Float32Array.from(layer.bias),
      };
    }),
    out: Float32Array.from(out),
    bias,
  }));
  if (at !== file.byteLength) throw new Error('model.bin is not what its header says');
  const places = (list: readonly string[]) => new Map(list.map((name, index) => [name, index]));
  return {
    name: hexOf(sha256(file)).slice(0, 16),
    bar,
    hidden,
    width,
    kept,
    projection,
    centre: Float32Array.from(rest.centre),
    size,
    marks: places(rest.marks),
    signs: places(rest.signs),
    sign,
    networks,
  };
}
