import { type Digest, verified } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import { unpackXz } from '../archive/index.ts';
import { streamControl } from './control.ts';
import { type DownloadOptions, downloadWhole } from './download.ts';
import { archiveOf, type Mirror } from './mirror.ts';
import { FIELDS, type Package, packageOf } from './packages.ts';
import { byHashPath, parseRelease, type Release, type ReleaseExpectation } from './release.ts';
import { verifyClearSigned } from './signature.ts';

/** In bytes. trixie's InRelease has 140 KB. */
const RELEASE_LIMIT = 8 * 1024 * 1024;
/** In bytes, packed and unpacked: trixie's index of amd64 has 10 and 57 MB. The signed size is the bound; this only keeps it sane. */
const INDEX_LIMIT = 512 * 1024 * 1024;

export interface SuiteOptions extends ReleaseExpectation {
  readonly mirror: Mirror;
  /** Armoured public keys, any one of which may sign the suite. */
  readonly keys: readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * What a suite is made of, as its archive signed it.
 * @throws McpBuildError `index-signature`, `index-mismatch`, `index-expired`, `index-rollback`, `index-invalid`, `mirror-unavailable`
 */
export async function readRelease(options: SuiteOptions): Promise<Release> {
  const { mirror, suite, keys, now } = options;
  const url = `${archiveOf(mirror, suite)}/dists/${suite}/InRelease`;
  const bytes = await downloadWhole(url, { ...transferOf(options), limit: RELEASE_LIMIT });
  if (!bytes) throw missing(suite, 'InRelease');
  const text = await verifyClearSigned(bytes, keys, { name: `InRelease of ${suite}`, now });
  return parseRelease(text, options);
}

/**
 * Every package of one architecture that a suite's component `main` has.
 * @throws McpBuildError `integrity` when an index isn't the signed one, `index-invalid`, `control-invalid`, `mirror-unavailable`
 */
export async function readPackages(
  release: Release,
  architecture: string,
  options: Pick<SuiteOptions, 'mirror' | 'signal'>,
): Promise<readonly Package[]> {
  const found: Package[] = [];
  for (const folder of release.separateAll ? [architecture, 'all'] : [architecture]) {
    const path = `main/binary-${folder}/Packages`;
    const name = `${path} of ${release.suite}`;
    const plain = release.files.get(path);
    const packed = release.files.get(`${path}.xz`);
    if (!plain || !packed || plain.size > INDEX_LIMIT || packed.size > INDEX_LIMIT) throw unlisted(release, path);
    const bytes = await readIndex(release, `${path}.xz`, packed, options);
    const text = verified(unpackXz([bytes], { name }), { name, integrity: plain.digest, size: plain.size });
    for await (const stanza of streamControl(text, name, FIELDS)) found.push(packageOf(stanza, release.suite));
  }
  return found;
}

async function readIndex(
  { suite, byHash }: Release,
  path: string,
  { digest, size }: { digest: Digest; size: number },
  options: Pick<SuiteOptions, 'mirror' | 'signal'>,
): Promise<Uint8Array> {
  const folder = `${archiveOf(options.mirror, suite)}/dists/${suite}`;
  for (const candidate of byHash ? [byHashPath(path, digest), path] : [path]) {
    const bytes = await downloadWhole(`${folder}/${candidate}`, { ...transferOf(options), limit: size });
    if (!bytes) continue;
    // Whole before it is unpacked: a decompressor is only shown what Debian signed.
    for await (const _ of verified([bytes], { name: `${path} of ${suite}`, integrity: digest, size }));
    return bytes;
  }
  throw missing(suite, path);
}

function transferOf({ mirror, signal }: Pick<SuiteOptions, 'mirror' | 'signal'>): Omit<DownloadOptions, 'limit'> {
  return { mirror, ...(signal ? { signal } : {}) };
}

function missing(suite: string, path: string): McpBuildError {
  return new McpBuildError({
    code: 'mirror-unavailable',
    message: `The mirror doesn't have ${path} of ${suite}`,
    input: suite,
    fix: 'Check MCP_BUILD_DEBIAN_MIRROR and MCP_BUILD_DEBIAN_SECURITY_MIRROR: they end where `dists` and `pool` begin.',
    exit: 5,
  });
}

function unlisted({ suite }: Release, path: string): McpBuildError {
  return new McpBuildError({
    code: 'index-invalid',
    message: `InRelease of ${suite} doesn't list ${path} and ${path}.xz in a size that can be read`,
    input: suite,
    fix: 'Check that the mirror carries this architecture.',
  });
}
