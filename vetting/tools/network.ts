import type { Layer, Model, Network } from './model.ts';
import type { Word } from './words.ts';

/** What the networks say of a text. */
export interface Weight {
  /** Log odds that it steers the model, before what is hidden in it. */
  readonly score: number;
  /** The place that says so most. */
  readonly worst: number;
}

/** What is not zero in the input for a word. */
interface Input {
  readonly places: readonly number[];
  readonly values: readonly number[];
}

/**
 * Weighs each place of a text by the words around it, 13 to either side, and the text by its worst places: log-sum-exp, so that more words elsewhere never make a
 * text less suspicious. Float32 sums in a fixed order, the same everywhere but for the last digits of `Math.exp`.
 */
export function weigh(words: readonly Word[], model: Model): Weight {
  const inputs = words.map((word) => inputOf(word, model));
  const found = model.networks.map((network) => placesOf(inputs, network, model));
  let score = 0;
  for (const [at, places] of found.entries())
    score += (logSumExp(places) + (model.networks[at] as Network).bias) / found.length;
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

function inputOf({ text, signs }: Word, model: Model): Input {
  const places: number[] = [];
  const values: number[] = [];
  const mark = model.marks.get(text);
  const word = mark === undefined ? model.words.get(text) : undefined;
  if (word === undefined) {
    places.push(model.vector + (mark ?? (model.marks.get('<other>') as number)));
    values.push(1);
  } else {
    for (let at = 0; at < model.vector; at += 1) {
      places.push(at);
      values.push(model.vectors[word * model.vector + at] as number);
    }
  }
  for (const name of signs) {
    const sign = model.signs.get(name);
    if (sign === undefined) continue;
    places.push(model.vector + model.marks.size + sign);
    values.push(model.sign);
  }
  return { places, values };
}

/** Of each word, how much the text reads like an order there. */
function placesOf(inputs: readonly Input[], { layers, out }: Network, { hidden }: Model): Float32Array {
  const places = new Float32Array(inputs.length);
  let now = inputs;
  for (const [index, layer] of layers.entries()) {
    const last = index === layers.length - 1;
    now = convolved(now, layer, hidden, places, out.subarray(index * hidden, (index + 1) * hidden), last);
  }
  return places;
}

/** Adds what a layer has to say of each place to `places`. */
function convolved(
  inputs: readonly Input[],
  { width, dilation, into, weights, bias }: Layer,
  hidden: number,
  places: Float32Array,
  out: Float32Array,
  last: boolean,
): readonly Input[] {
  const sums = new Float32Array(hidden);
  const outputs: Input[] = [];
  const reach = (width - 1) / 2;
  for (let at = 0; at < inputs.length; at += 1) {
    sums.set(bias);
    for (let tap = 0; tap < width; tap += 1) {
      const input = inputs[at + (tap - reach) * dilation];
      if (input !== undefined) add(sums, input, weights, tap * into, hidden);
    }
    let sum = places[at] as number;
    const nonzero: number[] = [];
    const values: number[] = [];
    for (let unit = 0; unit < hidden; unit += 1) {
      const value = sums[unit] as number;
      if (value <= 0) continue;
      sum += value * (out[unit] as number);
      if (last) continue;
      nonzero.push(unit);
      values.push(value);
    }
    places[at] = sum;
    if (!last) outputs.push({ places: nonzero, values });
  }
  return outputs;
}

function add(sums: Float32Array, { places, values }: Input, weights: Float32Array, row: number, hidden: number): void {
  for (let index = 0; index < places.length; index += 1) {
    const value = values[index] as number;
    const from = (row + (places[index] as number)) * hidden;
    for (let unit = 0; unit < hidden; unit += 1)
      sums[unit] = (sums[unit] as number) + value * (weights[from + unit] as number);
  }
}

function logSumExp(values: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > most) most = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - most);
  return most + Math.log(sum);
}
