import { encoder } from './encoder/encoder.ts';
import { type Kernel, openKernel } from './encoder/kernel.ts';
import type { Layer, Model } from './model.ts';
import type { Word } from './words.ts';

/** What the networks say of a text. */
export interface Weight {
  /** Log odds that it steers the model, before what is hidden in it. */
  readonly score: number;
  /** The place that says so most. */
  readonly worst: number;
}

/** What the encoder reads where a kind of thing stands. */
const READ_AS: ReadonlyMap<string, string> = new Map([
  ['<path>', '/path'],
  ['<url>', 'http'],
  ['<mail>', '@'],
  ['<name>', '_'],
  ['<line>', '.'],
  ['<number>', '1'],
  ['<sign>', '?'],
]);

/** Words that are weighed at once. */
const BLOCK = 512;

/** Words of passages that are not encoded again, so that what a server says of a parameter in each of its tools is read once. */
const REMEMBERED = 30_000;

const memory = new Map<string, Float32Array>();
let remembered = 0;

/** What the encoder makes of each word of each passage, one after the other. It reads a passage without the others. */
export function encoded(passages: readonly (readonly Word[])[]): Float32Array {
  const { encode, width } = encoder();
  const found = new Float32Array(width * passages.reduce((sum, words) => sum + words.length, 0));
  let at = 0;
  for (const words of passages) {
    const list = words.map(({ text }) => READ_AS.get(text) ?? text);
    const key = list.join(' ');
    let numbers = memory.get(key);
    if (numbers === undefined) {
      numbers = encode(list);
      if (remembered + list.length > REMEMBERED) {
        memory.clear();
        remembered = 0;
      }
      memory.set(key, numbers);
      remembered += list.length;
    }
    found.set(numbers, at);
    at += numbers.length;
  }
  return found;
}

/**
 * Weighs each place of a text by the words around it, 13 to either side, and the text by its worst places: log-sum-exp, so that more words elsewhere never make a
 * text less suspicious.
 *
 * @param vectors of each word the model's `width` numbers
 */
export function weigh(words: readonly Word[], vectors: Float32Array, model: Model): Weight {
  const { placesOf } = opened(model);
  const found = placesOf(words, vectors);
  let score = 0;
  for (const [at, places] of found.entries())
    score += (logSumExp(places) + (model.networks[at]?.bias as number)) / found.length;
  let worst = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < words.length; at += 1) {
    let sum = 0;
    for (const places of found) sum += places[at] as number;
    if (sum > most) {
      most = sum;
      worst = at;
    }
  }
  return { score, worst };
}

interface Opened {
  /** Of each network, of each word, how much the text reads like an order there. */
  placesOf(words: readonly Word[], vectors: Float32Array): readonly Float32Array[];
}

const open = new WeakMap<Model, Opened>();

function opened(model: Model): Opened {
  let found = open.get(model);
  if (found === undefined) {
    found = load(model);
    open.set(model, found);
  }
  return found;
}

/** Puts a model's numbers where the kernel finds them. */
function load(model: Model): Opened {
  const { width, kept, size, hidden, projection, centre } = model;
  const kernel = openKernel();
  const put = (values: Float32Array): number =>
    kernel.put(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  const layers = model.networks.map((network) =>
    network.layers.map((layer) => ({ layer, weights: put(layer.weights) })),
  );
  const projected = put(projection);
  const shapes: readonly Layer[] = model.networks[0]?.layers ?? [];
  const reaches = shapes.map((layer) => ((layer.width - 1) / 2) * layer.dilation);
  const halo = reaches.reduce((sum, reach) => sum + reach, 0);
  // Rows before and behind those of a block: what no word stands in is zero.
  const margin = Math.max(0, ...reaches);
  const rows = BLOCK + 2 * halo;
  const given = kernel.room(4 * rows * width);
  const short = kernel.room(4 * rows * kept);
  const input = kernel.room(4 * (rows + 2 * margin) * size);
  const turns = [0, 1].map(() => kernel.room(4 * (rows + 2 * margin) * hidden));
  const floats = (address: number, count: number): Float32Array =>
    new Float32Array(kernel.memory.buffer, address, count);

  /** Fills `input` with the words of a block. */
  const enter = (words: readonly Word[], vectors: Float32Array, from: number, count: number): void => {
    floats(given, count * width).set(vectors.subarray(from * width, (from + count) * width));
    const begun = floats(short, count * kept);
    for (let row = 0; row < count; row += 1) begun.set(centre, row * kept);
    kernel.accumulate(given, count, width, projected, kept, short);
    const all = floats(input, (rows + 2 * margin) * size);
    all.fill(0);
    for (let row = 0; row < count; row += 1) {
      const { text, signs } = words[from + row] as Word;
      const begin = (margin + row) * size;
      all.set(begun.subarray(row * kept, (row + 1) * kept), begin);
      const mark = model.marks.get(text);
      if (mark !== undefined) all[begin + kept + mark] = 1;
      for (const name of signs) {
        const sign = model.signs.get(name);
        if (sign !== undefined) all[begin + kept + model.marks.size + sign] = model.sign;
      }
    }
  };

  return {
    placesOf(words, vectors) {
      const found = model.networks.map(() => new Float32Array(words.length));
      for (let begin = 0; begin < words.length; begin += BLOCK) {
        const finish = Math.min(words.length, begin + BLOCK);
        const from = Math.max(0, begin - halo);
        const count = Math.min(words.length, finish + halo) - from;
        enter(words, vectors, from, count);
        for (const [at, { out }] of model.networks.entries()) {
          let now = input;
          let into = size;
          for (const [index, { layer, weights }] of (layers[at] ?? []).entries()) {
            const to = turns[index % 2] as number;
            convolve(kernel, now, into, layer, weights, to, hidden, margin, count);
            const outputs = floats(to + 4 * margin * hidden, count * hidden);
            for (let place = begin; place < finish; place += 1) {
              const row = (place - from) * hidden;
              let sum = found[at]?.[place] as number;
              for (let unit = 0; unit < hidden; unit += 1)
                sum += (outputs[row + unit] as number) * (out[index * hidden + unit] as number);
              (found[at] as Float32Array)[place] = sum;
            }
            now = to;
            into = hidden;
          }
        }
      }
      return found;
    },
  };
}

/** One layer over `count` rows behind `margin` that are empty, with as many behind them. */
function convolve(
  kernel: Kernel,
  from: number,
  into: number,
  { width, dilation, bias }: Layer,
  weights: number,
  to: number,
  hidden: number,
  margin: number,
  count: number,
): void {
  const begin = to + 4 * margin * hidden;
  const outputs = new Float32Array(kernel.memory.buffer, to, (count + 2 * margin) * hidden);
  outputs.fill(0);
  for (let row = 0; row < count; row += 1) outputs.set(bias, (margin + row) * hidden);
  for (let tap = 0; tap < width; tap += 1) {
    const shift = (tap - (width - 1) / 2) * dilation;
    kernel.accumulate(
      from + 4 * (margin + shift) * into,
      count,
      into,
      weights + 4 * tap * into * hidden,
      hidden,
      begin,
    );
  }
  kernel.relu(begin, count * hidden);
}

function logSumExp(values: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > most) most = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - most);
  return most + Math.log(sum);
}
