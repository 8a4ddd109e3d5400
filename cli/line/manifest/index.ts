export { addServer, type NewServer, removeServer } from './edit.ts';
export {
  defaultsOf,
  editManifest,
  findManifest,
  MANIFEST,
  readManifest,
  repositoryOf,
  selectServers,
  serverEntry,
  testValuesOf,
} from './file.ts';
export { parseManifest } from './read.ts';
export { MANIFEST_VERSION, manifestJsonSchema } from './schema.ts';
export type {
  AgeException,
  Manifest,
  ManifestSigner,
  Override,
  Secret,
  ServerEntry,
  TestSettings,
} from './types.ts';
export { expand, hasVariables, looksLikeToken, namesSecret } from './variables.ts';
