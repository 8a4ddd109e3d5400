import { gunzip } from './gunzip.ts';
import type { Member } from './member.ts';
import { readTar, type TarOptions } from './tar.ts';

/**
 * The members of a gzipped tar: an npm tarball, an sdist.
 * @throws McpBuildError `archive-unsafe`, `archive-invalid`; whatever the input throws
 */
export function readTarGz(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: TarOptions,
): AsyncGenerator<Member> {
  return readTar(gunzip(chunks, options), options);
}
