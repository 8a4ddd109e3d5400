import { createHash } from 'node:crypto';
import { signalsOf, TECHNIQUES } from '../../../vetting/tools/poisoning.ts';
import type { Sample } from './corpus.ts';

/** Set by hand: text that nobody sees is no accident, and one sample is no statistic. */
export const FIXED: Readonly<Record<string, number>> = {
  invisible: 8,
  bidi: 8,
  'zero-width': 8,
  encoded: 4,
  offscreen: 3,
  endless: 1,
};
export const FITTED = TECHNIQUES.map(({ id }) => id);

export interface Model {
  readonly bias: number;
  readonly weights: Readonly<Record<string, number>>;
}

export interface Seen {
  readonly sample: Sample;
  readonly ids: ReadonlySet<string>;
}

export function see(samples: readonly Sample[]): readonly Seen[] {
  return samples.map((sample) => ({ sample, ids: new Set(signalsOf(sample.texts).map(({ id }) => id)) }));
}

/** Logistic regression with a ridge, by plain gradient descent: no randomness, so that the same corpus gives the same model. */
export function fitted(seen: readonly Seen[], ridge = 0.001): Model {
  const weights = FITTED.map(() => 0);
  let bias = 0;
  const rows = seen.map(({ sample, ids }) => ({
    on: FITTED.flatMap((id, at) => (ids.has(id) ? [at] : [])),
    fixed: Object.entries(FIXED).reduce((sum, [id, weight]) => sum + (ids.has(id) ? weight : 0), 0),
    target: sample.attack ? 1 : 0,
  }));
  const attacks = rows.filter(({ target }) => target === 1).length;
  // Both kinds weigh the same, whatever their numbers.
  const weightOf = (target: number) => rows.length / (2 * (target === 1 ? attacks : rows.length - attacks));
  for (let step = 0; step < 3000; step++) {
    const gradient = FITTED.map((_, at) => ridge * (weights[at] ?? 0));
    let drift = 0;
    for (const { on, fixed, target } of rows) {
      const score = on.reduce((sum, at) => sum + (weights[at] ?? 0), bias + fixed);
      const error = ((1 / (1 + Math.exp(-score)) - target) * weightOf(target)) / rows.length;
      drift += error;
      for (const at of on) gradient[at] = (gradient[at] ?? 0) + error;
    }
    bias -= 2 * drift;
    // A technique never speaks for innocence: an attacker would use it for that.
    for (const [at, slope] of gradient.entries()) weights[at] = Math.max(0, (weights[at] ?? 0) - 2 * slope);
  }
  const round = (value: number) => Math.round(value * 100) / 100;
  return {
    bias: round(bias),
    weights: { ...Object.fromEntries(FITTED.map((id, at) => [id, round(weights[at] ?? 0)])), ...FIXED },
  };
}

export function scoreOf({ ids }: Seen, { bias, weights }: Model): number {
  return [...ids].reduce((sum, id) => sum + (weights[id] ?? 0), bias);
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
