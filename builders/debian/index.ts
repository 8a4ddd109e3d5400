export { bakeBase } from './bake.ts';
export { closure, type Installed } from './closure.ts';
export { type DebFetchOptions, fetchDeb } from './fetch.ts';
export {
  type BaseLock,
  formatBaseLock,
  imagesFolder,
  parseBaseLock,
  type Recipe,
  readBaseLock,
  readRecipe,
  recipes,
  writeBaseLock,
} from './recipe.ts';
export { type BaseChange, baseChanges, type UpdateOptions, updateBase } from './update.ts';
