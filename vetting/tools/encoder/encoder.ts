import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { headed } from '../headed.ts';
import { openKernel } from './kernel.ts';
import { piecesOf } from './pieces.ts';

/** Makes of each word, as its place in the text has it, `width` numbers. */
export interface Encoder {
  readonly width: number;
  /** @returns for each word `width` numbers, one word after the other */
  encode(words: readonly string[]): Float32Array;
  /** Whether a word is in the vocabulary as it is. */
  knows(word: string): boolean;
}

/** Of both ends of a window, so that each word has some before it and behind it. */
const BEFORE = 16;
const BEHIND = 8;

/** As in the vectors that a word's scale is shared by. */
const GROUP = 32;

const START = '[CLS]';
const END = '[SEP]';

const headerSchema = z.strictObject({
  width: z.int().multipleOf(GROUP),
  inner: z.int().multipleOf(8),
  heads: z.int(),
  layers: z.int(),
  positions: z.int(),
  pieces: z.string(),
});

/** Addresses in the kernel's memory. */
interface Matrix {
  readonly scales: number;
  readonly bias: number;
  readonly weights: number;
  readonly columns: number;
}

interface Norm {
  readonly gain: number;
  readonly bias: number;
}

interface Layer {
  readonly query: Matrix;
  readonly key: Matrix;
  readonly value: Matrix;
  readonly attended: Matrix;
  readonly first: Norm;
  readonly up: Matrix;
  readonly down: Matrix;
  readonly second: Norm;
}

let loaded: Encoder | undefined;

/**
 * The first layers of all-MiniLM-L6-v2 (`encoder.bin`, made by `test/vetting/tools/encoder.py`), a sentence encoder that has read a
 * billion pairs of English sentences. The same bits on every machine: sums are of whole numbers or in a fixed order.
 */
export function encoder(): Encoder {
  loaded ??= load(readFileSync(new URL('encoder.bin', import.meta.url)));
  return loaded;
}

/** Reads what `encoder.py` writes. @throws Error if the file is not what its header says */
function load(file: Uint8Array): Encoder {
  const { header, begin } = headed(file, headerSchema);
  const { width, inner, heads, layers, positions, pieces } = header;
  const { put, room, ...kernel } = openKernel();
  const names = pieces.split(' ');
  const vocabulary = new Map(names.map((name, at) => [name, at]));
  let at = begin;
  const bytes = (count: number): Uint8Array => {
    const part = file.subarray(at, at + count);
    at += count;
    return part;
  };
  // A copy, which begins where a float may.
  const floats = (count: number): Float32Array => new Float32Array(new Uint8Array(bytes(4 * count)).buffer);
  const norm = (): Norm => ({ gain: put(bytes(4 * width)), bias: put(bytes(4 * width)) });
  const matrix = (columns: number, rows: number): Matrix => ({
    scales: put(bytes(4 * columns)),
    bias: put(bytes(4 * columns)),
    weights: put(bytes(columns * rows)),
    columns,
  });

  const embedded = norm();
  const places = floats(positions * width);
  const wordScales = floats((names.length * width) / GROUP);
  const words = bytes((names.length * width) / 2);
  const stack: readonly Layer[] = Array.from({ length: layers }, () => ({
    query: matrix(width, width),
    key: matrix(width, width),
    value: matrix(width, width),
    attended: matrix(width, width),
    first: norm(),
    up: matrix(inner, width),
    down: matrix(width, inner),
    second: norm(),
  }));
  if (at !== file.byteLength) throw new Error('encoder.bin is not what its header says');

  // Rows are even in number for the kernel.
  const most = positions + (positions % 2);
  const x = room(4 * most * width);
  const y = room(4 * most * width);
  const q = room(4 * most * width);
  const k = room(4 * most * width);
  const v = room(4 * most * width);
  const between = room(4 * most * inner);
  const whole = room(2 * most * inner);
  const rowScales = room(4 * most);
  const shares = room(4 * most + 16);
  const bytesOfRow = 4 * width;
  const bytesOfHead = bytesOfRow / heads;

  const embed = (row: Float32Array, piece: number, position: number): void => {
    const from = piece * width;
    for (let index = 0; index < width; index += 2) {
      const pair = words[(from + index) >> 1] as number;
      const scale = wordScales[((from + index) / GROUP) | 0] as number;
      row[index] = ((pair & 15) - 8) * scale + (places[position * width + index] as number);
      row[index + 1] = ((pair >> 4) - 8) * scale + (places[position * width + index + 1] as number);
    }
  };

  /** Leaves the rows of one window's tokens at `x`. */
  const run = (tokens: readonly number[]): void => {
    const rows = tokens.length;
    const even = rows + (rows % 2);
    const memory = new Float32Array(kernel.memory.buffer);
    memory.fill(0, x / 4, (x + even * bytesOfRow) / 4);
    memory.fill(0, y / 4, (y + even * bytesOfRow) / 4);
    for (const [position, token] of tokens.entries()) {
      const begin = (x + position * bytesOfRow) / 4;
      embed(memory.subarray(begin, begin + width), token, position);
    }
    kernel.normalize(x, y, even, width, embedded.gain, embedded.bias);
    const times = (from: number, into: number, { weights, scales, bias, columns }: Matrix, out: number): void =>
      kernel.multiply(from, rowScales, even, into, weights, scales, bias, columns, out);
    for (const layer of stack) {
      kernel.quantize(x, even, width, whole, rowScales);
      times(whole, width, layer.query, q);
      times(whole, width, layer.key, k);
      times(whole, width, layer.value, v);
      for (let head = 0; head < heads; head += 1) {
        const by = head * bytesOfHead;
        kernel.attend(q + by, k + by, v + by, rows, bytesOfRow, shares, y + by);
      }
      kernel.quantize(y, even, width, whole, rowScales);
      times(whole, width, layer.attended, q);
      kernel.normalize(x, q, even, width, layer.first.gain, layer.first.bias);
      kernel.quantize(x, even, width, whole, rowScales);
      times(whole, width, layer.up, between);
      kernel.gelu(between, even * inner);
      kernel.quantize(between, even, inner, whole, rowScales);
      times(whole, inner, layer.down, y);
      kernel.normalize(x, y, even, width, layer.second.gain, layer.second.bias);
    }
  };

  const start = vocabulary.get(START) as number;
  const end = vocabulary.get(END) as number;
  return {
    width,
    knows: (word) => vocabulary.has(word),
    encode(list) {
      const known = new Map<string, readonly number[]>();
      const taken = list.map((word) => {
        let found = known.get(word);
        if (found === undefined) {
          found = piecesOf(word, vocabulary);
          known.set(word, found);
        }
        return found;
      });
      const out = new Float32Array(list.length * width);
      for (const { from, begin, finish, to } of windows(taken, positions - 2)) {
        const tokens = [start];
        const firsts: number[] = [];
        for (let word = from; word < to; word += 1) {
          firsts.push(tokens.length);
          tokens.push(...(taken[word] as readonly number[]));
        }
        tokens.push(end);
        run(tokens);
        const memory = new Float32Array(kernel.memory.buffer);
        for (let word = begin; word < finish; word += 1) {
          const row = (x + (firsts[word - from] as number) * bytesOfRow) / 4;
          out.set(memory.subarray(row, row + width), word * width);
        }
      }
      return out;
    },
  };
}

interface Window {
  /** The first word that is looked at, the first that is told of, behind the last of either. */
  readonly from: number;
  readonly begin: number;
  readonly finish: number;
  readonly to: number;
}

/** Windows of at most `most` pieces that tell of each word once. */
function* windows(words: readonly (readonly number[])[], most: number): Generator<Window> {
  for (let begin = 0; begin < words.length; ) {
    let left = most;
    const size = (word: number): number => words[word]?.length ?? 0;
    let from = begin;
    while (from > 0 && begin - from < BEFORE && size(from - 1) <= left - (most * 4) / 5) {
      from -= 1;
      left -= size(from);
    }
    let to = begin;
    while (to < words.length && size(to) <= left) {
      left -= size(to);
      to += 1;
    }
    const finish = to === words.length ? to : Math.max(begin + 1, to - BEHIND);
    yield { from, begin, finish, to };
    begin = finish;
  }
}
