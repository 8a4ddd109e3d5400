import { join } from 'node:path';
import {
  hostPlatform,
  looksLikeFile,
  looksLikeServerJson,
  type Platform,
  parseSource,
  type Source,
} from '../../builders/index.ts';
import { hexOf } from '../../digest/index.ts';
import { withFileLock } from '../../files/index.ts';
import { hasLock, readLockFolder, writeLockFolder } from './folder.ts';
import type { Environment, Home } from './home.ts';
import type { Wanted } from './wanted.ts';

export interface StateLockOptions {
  readonly home: Home;
  readonly environment: Environment;
  /** Which command of the package, where it has several: a lock of its own. */
  readonly bin?: string | undefined;
  /** Which package of a `server.json`, where it has several. */
  readonly package?: string | undefined;
  /** `http`: with a bridge in front of it; a lock of its own. */
  readonly transport?: 'http' | undefined;
  /** The host's by default. */
  readonly platforms?: readonly Platform[] | undefined;
  readonly progress?: (line: string) => void;
  /** Told what the first lock of this source chose. */
  readonly onLocked?: (version: string, packages: number, installScripts: readonly string[]) => void;
}

/**
 * The folder of the lock that this user's machine keeps for a source; made on first use, then kept until it is updated. The
 * workspace has no say in it: clients start servers inside folders that strangers wrote.
 */
export async function stateLock(text: string, options: StateLockOptions): Promise<string> {
  const folder = await folderOf(text, options);
  const wanted = options.platforms ?? [hostPlatform()];
  if (await covers(folder, wanted)) return folder;
  await withFileLock(`${folder}.lock`, async () => {
    // Another process may have made it while this one waited.
    if (await covers(folder, wanted)) return;
    // Resolvers, loaded only here: what was locked before starts without them.
    const { lockSource, RELEASE_AGE_DAYS } = await import('./lock.ts');
    const { checkWanted, keepLocal, localPlaces, wantedSource } = await import('./wanted.ts');
    const { source, ...rest }: Wanted = await wantedSource(text, { ...options, workspace: undefined });
    const { vetLock } = await import('./lock-vet.ts');
    const { policyAge, vettingRules, withReleaseAge } = await import('./audit-policy.ts');
    const { rules } = await vettingRules(options.environment, undefined);
    const previous = (await hasLock(folder)) ? await readLockFolder(folder) : undefined;
    const kept = previous?.lock;
    const releaseAge = kept && kept.before === null ? 0 : Math.max(RELEASE_AGE_DAYS, policyAge(rules));
    const platforms = [...new Set([...(kept ? (Object.keys(kept.platforms) as Platform[]) : []), ...wanted])].sort();
    // A further platform of a kept lock must not quietly become another version.
    const pinned = kept ? pin(source, kept.source.version) : source;
    const locked = await lockSource(pinned, {
      platforms,
      releaseAge,
      home: options.home,
      environment: options.environment,
      workspace: undefined,
      launch: rest.launch,
      local: rest.local,
      now: new Date(),
      ...(options.bin === undefined ? {} : { bin: options.bin }),
      ...(options.transport === undefined ? {} : { transport: options.transport }),
      ...(options.progress ? { progress: options.progress } : {}),
    });
    await checkWanted(rest, locked, options);
    const { made } = await vetLock(locked, {
      ...{ home: options.home, environment: options.environment, workspace: undefined, now: new Date() },
      rules: withReleaseAge(rules, releaseAge),
      files: localPlaces(text),
      previous,
      ...(options.progress ? { progress: options.progress } : {}),
    });
    await keepLocal(made, localPlaces(text), options);
    await writeLockFolder(folder, {
      files: made.files,
      lock: { ...made.lock, source: { ...made.lock.source, range: source.range } },
    });
    const packages = new Set(
      Object.values(locked.lock.platforms).flatMap(({ layers }) =>
        layers.flatMap(({ name, files }) =>
          name === 'server' || name === 'dependencies' ? files.map((file) => `${file.name}@${file.version}`) : [],
        ),
      ),
    );
    options.onLocked?.(locked.lock.source.version, packages.size, locked.installScripts);
  });
  return folder;
}

/** The folder of the lock for a word of the command line, whether it is there or not. @throws McpBuildError as `wantedSource` */
export async function folderOf(
  text: string,
  options: Pick<StateLockOptions, 'home' | 'environment' | 'package' | 'bin' | 'transport'>,
): Promise<string> {
  if (!looksLikeServerJson(text) && !looksLikeFile(text))
    return stateLockFolder(options.home, parseSource(text), options.bin, options.transport);
  const { documentKey } = await import('./wanted.ts');
  const choice = [options.package ?? 'package', ...(options.bin === undefined ? [] : [options.bin])];
  return join(
    options.home.locks,
    looksLikeFile(text) ? 'file' : 'server-json',
    hexOf(await documentKey(text, options)),
    choice.map(segment).join(',') + (options.transport === undefined ? '' : `,,${options.transport}`),
  );
}

/** One folder a source; whatever a name or range holds is one path segment. No range has a comma behind an escaped one. */
export function stateLockFolder(home: Home, source: Source, bin?: string, transport?: 'http'): string {
  // Two commas: no command's name ends with one.
  const over = transport === undefined ? '' : `,,${transport}`;
  const range = segment(source.range || 'newest') + (bin === undefined ? '' : `,${segment(bin)}`) + over;
  return join(home.locks, source.ecosystem, segment(source.name), range);
}

function segment(text: string): string {
  return encodeURIComponent(text).replace(/^\./, '%2E').replace(/\*/g, '%2A');
}

async function covers(folder: string, platforms: readonly Platform[]): Promise<boolean> {
  if (!(await hasLock(folder))) return false;
  const { lock } = await readLockFolder(folder);
  return platforms.every((platform) => lock.platforms[platform] !== undefined);
}

function pin(source: Source, version: string): Source {
  return { ...source, range: source.ecosystem === 'npm' ? version : `==${version}` };
}
