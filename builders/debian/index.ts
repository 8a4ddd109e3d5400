export { bakeBase } from './bake.ts';
export { closure, type Installed } from './closure.ts';
export { type DebFetchOptions, fetchDeb } from './fetch.ts';
export { type ImagesFolders, imagesFolder, imagesFolders } from './images.ts';
export { type BaseSummary, listBases } from './list.ts';
export {
  type BaseLock,
  formatBaseLock,
  parseBaseLock,
  type Recipe,
  readBaseLock,
  readRecipe,
  recipes,
  writeBaseLock,
} from './recipe.ts';
export { bakeSystem, baseOf } from './system-bake.ts';
export { lockSystem, parsePackageName, type SystemOptions } from './system-lock.ts';
export { type BaseChange, baseChanges, type UpdateOptions, updateBase } from './update.ts';
export { compareVersions as compareDebian } from './version.ts';
