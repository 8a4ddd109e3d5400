export type { Deb, DebControl } from './deb.ts';
export { readDeb } from './deb.ts';
export { gunzip } from './gunzip.ts';
export {
  DEFAULT_LIMITS,
  LIMITS_VARIABLE,
  type Limits,
  parseArchiveLimits,
  printable,
  type ReadOptions,
  useLimits,
} from './limits.ts';
export type { DirectoryMember, FileMember, HardlinkMember, Member, SymlinkMember } from './member.ts';
export { inMemory, type RandomAccess, type SpoolOptions, spool } from './spool.ts';
export { readTar, type TarOptions } from './tar.ts';
export { readTarGz } from './tar-gz.ts';
export { unpackXz } from './xz.ts';
export { listZip, readZip } from './zip.ts';
