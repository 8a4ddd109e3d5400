import { createHash } from 'node:crypto';
import { meetingNames, readTexts, TECHNIQUES } from '../../../vetting/tools/poisoning.ts';
import type { Sample } from './corpus.ts';

/** Set by hand: text that nobody sees is no accident, and one sample is no statistic. */
export const FIXED: Readonly<Record<string, number>> = {
  invisible: 9,
  bidi: 9,
  'zero-width': 9,
  encoded: 5,
  offscreen: 4,
  endless: 1,
};
const FITTED = TECHNIQUES.map(({ id }) => id);

/** Taken off the bias: wrong alarms cost more than attacks that are one weak sign each. Chosen by cross-validation on the corpus. */
const CAUTION = 1;
const RIDGE = 0.002;
/** How much less a technique's weight is held back than that of a meeting of concepts: each is a pattern that somebody wrote for the purpose. */
const TRUST = 6;
const ROUNDS = 4;
const STEPS = 250;

export interface Model {
  readonly bias: number;
  /** Of techniques, by their id. */
  readonly weights: Readonly<Record<string, number>>;
  /** Of concepts, and of two in one sentence. */
  readonly meetings: Readonly<Record<string, number>>;
}

export interface Seen {
  readonly sample: Sample;
  readonly ids: ReadonlySet<string>;
  /** What each sentence speaks of, each once. */
  readonly sentences: readonly (readonly string[])[];
}

export function see(samples: readonly Sample[]): readonly Seen[] {
  return samples.map((sample) => {
    const { signals, sentences } = readTexts(sample.texts);
    const all = sentences.map(({ concepts }) => meetingNames(concepts));
    return {
      sample,
      ids: new Set(signals.map(({ id }) => id)),
      sentences: [...new Map([...all, []].map((names) => [names.join(' '), names])).values()],
    };
  });
}

interface Row {
  readonly on: readonly (readonly [feature: number, value: number])[];
  readonly offset: number;
  readonly attack: boolean;
}

/**
 * Logistic regression with a ridge over techniques and one sentence of each text. Of harmless texts every sentence is a row; of an attack only
 * the one that the model so far finds most suspicious, since the others are there to look harmless (multiple-instance learning). Gradient
 * descent with Nesterov's momentum and no randomness: the same corpus gives the same model.
 */
export function fitted(seen: readonly Seen[]): Model {
  const numbers = new Map<string, number>();
  const number = (name: string): number => {
    const known = numbers.get(name);
    if (known !== undefined) return known;
    numbers.set(name, numbers.size);
    return numbers.size - 1;
  };
  const rowOf = ({ sample, ids }: Seen, sentence: readonly string[]): Row => ({
    on: [
      ...FITTED.filter((id) => ids.has(id)).map((id) => [number(`technique ${id}`), TRUST] as const),
      ...sentence.map((name) => [number(name), 1] as const),
    ],
    offset: fixedOf(ids),
    attack: sample.attack,
  });
  const harmless = [
    ...new Map(
      seen
        .filter(({ sample }) => !sample.attack)
        .flatMap((one) => one.sentences.map((sentence) => rowOf(one, sentence)))
        .map((row) => [`${row.on.map(([feature]) => feature).join(' ')}/${row.offset}`, row]),
    ).values(),
  ];
  const hostile = seen
    .filter(({ sample }) => sample.attack)
    .map((one) => one.sentences.map((sentence) => rowOf(one, sentence)));
  let weights: readonly number[] = Array.from(numbers, () => 1);
  let bias = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const worst = hostile.flatMap((rows) => {
      const scores = rows.map(({ on }) =>
        on.reduce((sum, [feature, value]) => sum + value * (weights[feature] ?? 0), 0),
      );
      return rows[scores.indexOf(Math.max(...scores))] ?? [];
    });
    ({ weights, bias } = descend([...harmless, ...worst], numbers.size));
  }
  const round = (value: number) => Math.round(value * 100) / 100;
  const weightOf = (name: string) => weights[numbers.get(name) ?? -1] ?? 0;
  return {
    bias: round(bias - CAUTION),
    weights: { ...Object.fromEntries(FITTED.map((id) => [id, round(TRUST * weightOf(`technique ${id}`))])), ...FIXED },
    meetings: Object.fromEntries(
      [...numbers.keys()]
        .filter((name) => !name.startsWith('technique ') && round(weightOf(name)) > 0)
        .sort()
        .map((name) => [name, round(weightOf(name))]),
    ),
  };
}

function fixedOf(ids: ReadonlySet<string>): number {
  return Object.entries(FIXED).reduce((sum, [id, weight]) => sum + (ids.has(id) ? weight : 0), 0);
}

interface Rows {
  /** Where each row begins in the two that follow. */
  readonly begins: Int32Array;
  readonly features: Int32Array;
  readonly values: Float64Array;
}

function along({ begins, features, values }: Rows, row: number, vector: Float64Array): number {
  let sum = 0;
  const end = begins[row + 1] as number;
  for (let at = begins[row] as number; at < end; at += 1)
    sum += (values[at] as number) * (vector[features[at] as number] as number);
  return sum;
}

function spread({ begins, features, values }: Rows, row: number, by: number, into: Float64Array): void {
  const end = begins[row + 1] as number;
  for (let at = begins[row] as number; at < end; at += 1)
    into[features[at] as number] = (into[features[at] as number] as number) + by * (values[at] as number);
}

function descend(
  rows: readonly Row[],
  features: number,
): { readonly weights: readonly number[]; readonly bias: number } {
  const attacks = rows.filter(({ attack }) => attack).length;
  // Both kinds weigh the same, whatever their numbers.
  const shares = Float64Array.from(rows, ({ attack }) => 1 / (2 * (attack ? attacks : rows.length - attacks)));
  const targets = Float64Array.from(rows, ({ attack }) => (attack ? 1 : 0));
  const offsets = Float64Array.from(rows, ({ offset }) => offset);
  // What only one attack speaks of is that attack's subject, not a sign.
  const often = new Int32Array(features);
  for (const { on, attack } of rows) if (attack) for (const [feature] of on) often[feature] = (often[feature] ?? 0) + 1;
  const used = rows.map(({ on }) => on.filter(([feature]) => (often[feature] ?? 0) >= 2));
  let begin = 0;
  const packed: Rows = {
    begins: Int32Array.from([0, ...used.map((on) => (begin += on.length))]),
    features: Int32Array.from(used.flatMap((on) => on.map(([feature]) => feature))),
    values: Float64Array.from(used.flatMap((on) => on.map(([, value]) => value))),
  };
  const step = 1 / (0.25 * curvature(packed, shares, features) + 0.3 + RIDGE);
  let weights = new Float64Array(features);
  let ahead = new Float64Array(features);
  let bias = 0;
  let biasAhead = 0;
  let momentum = 1;
  for (let at = 0; at < STEPS; at += 1) {
    const gradient = ahead.map((weight) => RIDGE * weight);
    let drift = 0;
    for (let row = 0; row < rows.length; row += 1) {
      const score = biasAhead + (offsets[row] as number) + along(packed, row, ahead);
      const error = (1 / (1 + Math.exp(-score)) - (targets[row] as number)) * (shares[row] as number);
      drift += error;
      spread(packed, row, error, gradient);
    }
    // A sign never speaks for innocence: an attacker would use it for that.
    const next = ahead.map((weight, feature) => Math.max(0, weight - step * (gradient[feature] as number)));
    const biasNext = biasAhead - step * drift;
    const grown = (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
    const push = (momentum - 1) / grown;
    const earlier = weights;
    ahead = next.map((weight, feature) => weight + push * (weight - (earlier[feature] as number)));
    biasAhead = biasNext + push * (biasNext - bias);
    weights = next;
    bias = biasNext;
    momentum = grown;
  }
  return { weights: [...weights], bias };
}

/** The largest eigenvalue of the rows' second moments, by power iteration: how far a step may go. */
function curvature(rows: Rows, shares: Float64Array, features: number): number {
  let direction = new Float64Array(features).fill(1);
  let length = 1;
  for (let at = 0; at < 12; at += 1) {
    const next = new Float64Array(features);
    for (let row = 0; row < shares.length; row += 1)
      spread(rows, row, (shares[row] as number) * along(rows, row, direction), next);
    length = Math.sqrt(next.reduce((sum, value) => sum + value * value, 0)) || 1;
    const scale = 1 / length;
    direction = next.map((value) => value * scale);
  }
  return length * 1.1;
}

export function scoreOf({ ids, sentences }: Seen, { bias, weights, meetings }: Model): number {
  const worst = Math.max(0, ...sentences.map((names) => names.reduce((sum, name) => sum + (meetings[name] ?? 0), 0)));
  return [...ids].reduce((sum, id) => sum + (weights[id] ?? 0), bias) + worst;
}

/** Which fold a group is in: by its name, so that it never moves. */
export function foldOf(name: string, folds: number): number {
  return createHash('sha256').update(name).digest().readUInt32BE(0) % folds;
}

/** Each sample judged by a model that was fitted without its fold. */
export function crossValidate(
  seen: readonly Seen[],
  fold: (one: Seen) => number,
  folds: number,
): readonly { readonly one: Seen; readonly score: number }[] {
  return Array.from({ length: folds }, (_, at) => at).flatMap((at) => {
    const model = fitted(seen.filter((one) => fold(one) !== at));
    return seen.filter((one) => fold(one) === at).map((one) => ({ one, score: scoreOf(one, model) }));
  });
}

/** Wilson's interval for a share, 95 %. */
export function wilson(hits: number, of: number): readonly [low: number, high: number] {
  const z = 1.96;
  const p = hits / of;
  const middle = p + (z * z) / (2 * of);
  const spread = z * Math.sqrt((p * (1 - p)) / of + (z * z) / (4 * of * of));
  const scale = 1 + (z * z) / of;
  return [Math.max(0, (middle - spread) / scale), Math.min(1, (middle + spread) / scale)];
}
