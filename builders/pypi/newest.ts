import type { ResolveOptions } from '../adapter.ts';
import type { Platform } from '../platform.ts';
import { normalizeProject, type Source } from '../source.ts';
import type { Configuration } from './config/index.ts';
import type { Session } from './fetch.ts';
import type { ListedFile } from './simple.ts';
import { admits, type Clause, isExact, parseSpecifiers } from './specifier.ts';
import { PYTHON_VERSION, parseWheelName, preferred } from './tags.ts';
import { canonicalVersion, compareVersions, isPrerelease, parseVersion, type Version } from './version.ts';

interface Release {
  readonly text: string;
  readonly version: Version;
  readonly files: readonly ListedFile[];
}

/**
 * The releases of a server after `chosen` that its source, the release age and the image's Python admit, newest first. uv passes over one
 * that it can't have without building something, and says nothing of that; who asked for the newest must not get one of years ago.
 * @param chosen what uv took @throws what reading the index's page throws
 */
export async function newerThan(
  chosen: string,
  source: Source,
  platforms: readonly Platform[],
  options: ResolveOptions,
  session: Session,
): Promise<readonly string[]> {
  const { configuration } = session.client;
  const asked = clausesOf(source);
  const taken = parseVersion(chosen);
  // Where the user has uv prefer what is old, or has chosen the version, the newest isn't wanted.
  if (!taken || isExact(asked) || configuration.resolution?.startsWith('lowest')) return [];
  const excepted = (options.young ?? []).filter(({ name }) => normalizeProject(name) === source.name);
  const clauses = [...asked, ...excepted.map(({ version }): Clause => ({ operator: '<=', version }))];
  const before = (version: string) =>
    excepted.some((one) => canonicalVersion(one.version) === canonicalVersion(version)) ? undefined : options.before;
  const files = await filesOf(source.name, session, options.signal);
  const admitted = releasesOf(files, source.name).filter(
    ({ text, files: own }) => admits(clauses, text) && isThere(own, before(text), platforms),
  );
  const final = admitted.filter(({ version }) => !isPrerelease(version));
  const counted = final.length === 0 || allowsPrereleases(asked, configuration) ? admitted : final;
  return counted
    .filter(({ version }) => compareVersions(version, taken) > 0)
    .sort((a, b) => compareVersions(b.version, a.version))
    .map(({ text }) => text);
}

/** A source's specifiers, without its extras. */
function clausesOf({ range }: Source): readonly Clause[] {
  return parseSpecifiers(range.replace(/^\[[^\]]*\]/, '')) ?? [];
}

/** As uv asks them: the first index that knows the name, or all of them. */
async function filesOf(project: string, session: Session, signal: AbortSignal | undefined): Promise<ListedFile[]> {
  const { indexes, strategy } = session.client.configuration;
  const found: ListedFile[] = [];
  for (const index of indexes) {
    const files = await session.files(index, project, signal);
    found.push(...(files ?? []));
    if (files && (strategy === undefined || strategy === 'first-index')) break;
  }
  return found;
}

function releasesOf(files: readonly ListedFile[], project: string): readonly Release[] {
  const releases = new Map<string, { text: string; version: Version; files: ListedFile[] }>();
  for (const file of files) {
    const text = versionIn(file.file, project);
    const version = text === undefined ? undefined : parseVersion(text);
    if (text === undefined || !version) continue;
    const key = canonicalVersion(text) ?? text;
    const release = releases.get(key) ?? { text, version, files: [] };
    release.files.push(file);
    releases.set(key, release);
  }
  return [...releases.values()];
}

/** The version in the name of a wheel or source distribution; undefined for any other file. */
function versionIn(file: string, project: string): string | undefined {
  const wheel = parseWheelName(file);
  if (wheel) return wheel.name === project ? wheel.version.replaceAll('_', '-') : undefined;
  const stem = /^(.{1,300})\.(?:tar\.(?:gz|bz2|xz|zst)|tgz|zip)$/i.exec(file)?.[1] ?? '';
  // Old ones keep '-' in the name: every cut that fits is the right one.
  for (let at = stem.indexOf('-'); at > 0; at = stem.indexOf('-', at + 1)) {
    const version = stem.slice(at + 1);
    if (normalizeProject(stem.slice(0, at)) === project && parseVersion(version)) return version;
  }
  return undefined;
}

/** Whether a release exists for whom nothing after `before` does: not only its source, while its wheels are still too young. */
function isThere(files: readonly ListedFile[], before: Date | undefined, platforms: readonly Platform[]): boolean {
  const own = files.filter(
    ({ yanked, requiresPython = '' }) =>
      yanked === undefined && admits(parseSpecifiers(requiresPython) ?? [], PYTHON_VERSION),
  );
  const old = own.filter(({ uploaded }) => before === undefined || Date.parse(uploaded ?? '') <= before.getTime());
  return (
    old.length > 0 &&
    platforms.every((platform) => preferred(old, platform) !== undefined || preferred(own, platform) === undefined)
  );
}

function allowsPrereleases(asked: readonly Clause[], { prerelease }: Configuration): boolean {
  if (prerelease === 'allow') return true;
  if (prerelease === 'disallow' || prerelease === 'if-necessary') return false;
  return asked.some(({ operator, version }) => {
    const named = operator === '!=' ? undefined : parseVersion(version.replace(/\.\*$/, ''));
    return named !== undefined && isPrerelease(named);
  });
}
