export { type Difference, isSame } from './compare.ts';
export { type ComparedLocks, type DiffOptions, diff, diffLocks, type LockToCompare, lockAt } from './locks.ts';
export { markdownOf, textOf } from './render.ts';
