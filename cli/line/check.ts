import { readBaseLock } from '../../builders/debian/index.ts';
import type { Artifact, DebArtifact, Lock, NpmArtifact, WheelArtifact } from '../../builders/index.ts';
import { LOCAL_INDEX } from '../../builders/index.ts';
import { publishedNpm } from '../../builders/npm/index.ts';
import { publishedPypi } from '../../builders/pypi/index.ts';
import { isFault } from '../../errors/index.ts';
import type { Environment, Home } from './home.ts';

export interface LockFinding {
  readonly file: string;
  /** `mismatch`: the index has this name with another hash. `gone`: it no longer lists it. `unconfirmed`: nothing here can tell. */
  readonly status: 'mismatch' | 'gone' | 'unconfirmed';
  readonly detail: string;
}

export interface CheckOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly workspace: string;
}

/**
 * Holds every file of a lock against what the user's own indexes say today. An edit that swaps a file and its hash together is consistent in
 * itself; only whoever published the file can tell.
 */
export async function checkLock(lock: Lock, options: CheckOptions): Promise<readonly LockFinding[]> {
  const every = distinct(lock);
  const files = every.filter(({ index }) => index !== LOCAL_INDEX);
  const settings = { cache: options.home.cache, environment: options.environment, workspace: options.workspace };
  const npm = files.filter((file): file is NpmArtifact => file.kind === 'npm');
  const wheels = files.filter((file): file is WheelArtifact => file.kind === 'wheel');
  const debs = files.filter((file): file is DebArtifact => file.kind === 'deb');
  const found: LockFinding[] = every
    .filter(({ index }) => index === LOCAL_INDEX)
    .map(({ file }) => ({ file, status: 'unconfirmed', detail: 'a local file, which no index lists' }));
  const listed = new Map<Artifact, readonly string[]>([
    ...(npm.length > 0 ? await publishedNpm(npm, settings) : []),
    ...(wheels.length > 0 ? await publishedPypi(wheels, settings) : []),
  ]);
  for (const [file, hashes] of listed) {
    const name = `${file.name} ${file.version} (${file.file})`;
    if (hashes.length === 0) found.push({ file: name, status: 'gone', detail: 'no index lists it' });
    else if (!hashes.includes(file.integrity)) {
      found.push({
        file: name,
        status: 'mismatch',
        detail: `the lock has ${file.integrity}, the index ${hashes.join(', ')}`,
      });
    }
  }
  return [...found, ...(await checkDebs(lock, debs))];
}

/** Debs are held against the base that came with mcp-build, which was made from signed indices: mirrors don't list superseded ones. */
async function checkDebs(lock: Lock, debs: readonly DebArtifact[]): Promise<LockFinding[]> {
  if (debs.length === 0 || lock.base.kind !== 'recipe') return [];
  const base = await readBaseLock(lock.base.recipe).catch((error: unknown) => {
    if (isFault(error)) return undefined;
    throw error;
  });
  const known = new Map<string, string>();
  for (const { layers } of Object.values(base?.platforms ?? {})) {
    for (const { files } of layers)
      for (const file of files) if (file.kind === 'deb') known.set(file.file, file.integrity);
  }
  return debs.flatMap((deb): LockFinding[] => {
    const integrity = known.get(deb.file);
    const file = `${deb.name} ${deb.version} (${deb.file})`;
    if (integrity === undefined)
      return [
        {
          file,
          status: 'unconfirmed',
          detail: `not in today's base ${lock.base.kind === 'recipe' ? lock.base.recipe : ''}`,
        },
      ];
    if (integrity === deb.integrity) return [];
    return [{ file, status: 'mismatch', detail: `the lock has ${deb.integrity}, the base ${integrity}` }];
  });
}

function distinct(lock: Lock): Artifact[] {
  const files = new Map<string, Artifact>();
  for (const { layers } of Object.values(lock.platforms)) {
    for (const layer of layers)
      for (const file of layer.files) files.set(`${file.kind} ${file.file} ${file.integrity}`, file);
  }
  return [...files.values()];
}
