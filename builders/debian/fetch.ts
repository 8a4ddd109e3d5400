import { McpBuildError } from '../../errors/index.ts';
import type { FetchOptions } from '../adapter.ts';
import type { Artifact, DebArtifact } from '../lock.ts';
import { download } from './download.ts';
import { archiveOf, isSecurity, type Mirror, type MirrorOptions, mirrorOf } from './mirror.ts';
import { isPoolPath } from './packages.ts';

/** Ceiling in bytes for a deb whose lock doesn't say its size; the largest that a base takes has 3 MB. */
const DEB_LIMIT = 256 * 1024 * 1024;

const DAY = 86_400_000;

export type DebFetchOptions = Pick<FetchOptions, 'environment' | 'signal'> & Pick<MirrorOptions, 'apt'>;

/**
 * One locked deb by its path in the pool: from the mirror of its suite's archive, else, as mirrors drop superseded packages, from the
 * snapshot service. The bytes are not checked yet.
 * @throws McpBuildError `artifact-unavailable`, `artifact-invalid`, `mirror-unset`, `mirror-invalid`, `mirror-unavailable`
 */
export async function* fetchDeb(artifact: Artifact, options: DebFetchOptions): AsyncGenerator<Uint8Array> {
  if (artifact.kind !== 'deb' || !isPoolPath(artifact.file)) throw invalid(artifact);
  const mirror = await mirrorOf(options);
  const settings = {
    mirror,
    limit: artifact.size ?? DEB_LIMIT,
    ...(options.signal ? { signal: options.signal } : {}),
  };
  for (const base of [archiveOf(mirror, artifact.index), ...snapshotsOf(mirror, artifact)]) {
    const bytes = await download(`${base}/${encodePath(artifact.file)}`, settings);
    if (!bytes) continue;
    yield* bytes;
    return;
  }
  throw gone(artifact, mirror);
}

/**
 * Where a snapshot service has the archive of the time at which the lock saw the deb. It keeps one state for every run of the archive
 * and answers with the last one before the time in the URL, so first a day later is asked for: the run that brought the deb is then over.
 * A URL that names its time itself (`…/archive/debian/<time>`) is taken as it stands.
 */
function snapshotsOf({ snapshot }: Mirror, { index, uploaded }: DebArtifact): string[] {
  if (!snapshot) return [];
  const archive = isSecurity(index) ? 'debian-security' : 'debian';
  const pinned = /^(.*)\/archive\/debian(?:-security)?\/([0-9TZ]+)$/.exec(snapshot);
  if (pinned) return [`${pinned[1]}/archive/${archive}/${pinned[2]}`];
  if (!uploaded) return [];
  const seen = Date.parse(uploaded);
  return [seen + DAY, seen].map((time) => `${snapshot}/archive/${archive}/${stampOf(new Date(time))}`);
}

function stampOf(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
}

/** Mirrors know debs by names with `+` and `~` as they are; only what a URL can't hold needs escaping. */
function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/').replaceAll('%2B', '+').replaceAll('%7E', '~');
}

function invalid(artifact: Artifact): McpBuildError {
  return new McpBuildError({
    code: 'artifact-invalid',
    message: `Base package ${artifact.name} is locked as "${artifact.file}", which is no path of a deb in a pool`,
    input: artifact.name,
    fix: 'Restore the lock from version control, or make it again with `mcp-build lock`.',
  });
}

function gone(artifact: DebArtifact, mirror: Mirror): McpBuildError {
  const tried = mirror.snapshot ? 'Neither the mirror nor the snapshot service has' : "The mirror doesn't have";
  return new McpBuildError({
    code: 'artifact-unavailable',
    message: `${tried} ${artifact.name} ${artifact.version} (${artifact.file})`,
    input: `${artifact.name}@${artifact.version}`,
    fix: 'Debian has probably superseded it. Take the current packages with `mcp-build base update` and lock again, or set MCP_BUILD_DEBIAN_SNAPSHOT to the URL of a snapshot service, which keeps old ones.',
    exit: 5,
  });
}
