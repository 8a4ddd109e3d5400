import { isDeepStrictEqual } from 'node:util';
import { integrityFromHex, verified } from '../../digest/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { Resolution, ResolveOptions } from '../adapter.ts';
import type { LayerLock, WheelArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { formatSource, type Source } from '../source.ts';
import { TRANSFORM } from './bake.ts';
import { type Compiler, type Question, withCompiler } from './compile.ts';
import type { Configuration, Index } from './config/index.ts';
import { ageFaultOf, diagnose, noWheel } from './diagnose.ts';
import { chooseScript } from './entrypoint.ts';
import { fetchWheel, type Session, sessionFor } from './fetch.ts';
import { inspect } from './inspect.ts';
import { SCRIPTS } from './layout.ts';
import type { LockedPackage, LockedWheel } from './pylock.ts';
import { formatRequirements } from './requirements.ts';
import { parseWheelName, preferred } from './tags.ts';
import { sameVersion } from './version.ts';

/** One platform's answer. */
interface Resolved {
  readonly platform: Platform;
  readonly packages: readonly LockedPackage[];
  readonly question: Question;
}

/**
 * Chooses every wheel of a server, one resolution a platform, with the same release of the server on all of them.
 * @throws McpBuildError `package-not-found`, `version-not-found`, `no-wheel`, `exotic-dependency`, `too-new`, `age-unknown`,
 * `unresolvable`, `hash-unknown`, `manifest-mismatch`, `not-a-server`, `bin-ambiguous`, `bin-not-found`, `python-missing`,
 * `uv-missing`, and those of the client and the configuration
 */
export async function resolve(
  source: Source,
  platforms: readonly Platform[],
  options: ResolveOptions,
): Promise<Resolution> {
  const session = await sessionFor(options);
  const { configuration } = session.client;
  return withCompiler(configuration, options, async (compiler) => {
    const resolved = await resolveAll(source, platforms, options, compiler, configuration);
    const layers: Partial<Record<Platform, readonly LayerLock[]>> = {};
    const servers: WheelArtifact[] = [];
    for (const one of resolved) {
      if (options.before) {
        const young = ageFaultOf(one.packages, options.before);
        if (young) throw young;
      }
      const origins = await compiler.origins(one.question);
      const wheels = one.packages.map((locked) => choose(locked, one.platform, origins, session));
      const server = wheels.find(({ name }) => name === source.name);
      if (!server) throw lost(source);
      servers.push(server);
      const dependencies = wheels.filter((wheel) => wheel !== server);
      layers[one.platform] = [
        ...(dependencies.length > 0 ? [layer('dependencies', dependencies)] : []),
        layer('server', [server]),
      ];
    }
    const { command, serverName, version } = await startOf(source, servers, options);
    return {
      version,
      ...(serverName === undefined ? {} : { serverName }),
      entrypoint: [`/${SCRIPTS}/${command}`],
      files: {
        'requirements.in': `${source.name}${source.range}\n`,
        'requirements.txt': formatRequirements(layers),
      },
      layers,
      // Wheels have none: nothing of a package runs when it is installed. Start-up hooks are told by `startupHooks`.
      installScripts: [],
    };
  });
}

function layer(name: 'dependencies' | 'server', files: readonly WheelArtifact[]): LayerLock {
  return { name, transform: TRANSFORM, files };
}

/** Where platforms would get different releases of the server, the first release that all of them can have. */
async function resolveAll(
  source: Source,
  platforms: readonly Platform[],
  options: ResolveOptions,
  compiler: Compiler,
  configuration: Configuration,
): Promise<readonly Resolved[]> {
  const every = async (requirements: readonly string[]) => {
    const found: Resolved[] = [];
    for (const platform of platforms) {
      options.progress?.(`resolving ${formatSource(source)} for ${platform}`);
      const question = { requirements, platform, before: options.before };
      const answer = await compiler.compile(question);
      if (answer.kind === 'failed') throw await diagnose(answer.output, source, question, compiler, configuration);
      found.push({ platform, packages: answer.packages, question });
    }
    return found;
  };
  const wanted = `${source.name}${source.range}`;
  const first = await every([wanted]);
  const versions = new Set(first.map(({ packages }) => versionOf(packages, source)));
  if (versions.size === 1) return first;
  let failure: unknown;
  for (const version of versions) {
    try {
      return await every([wanted, `${source.name}==${version}`]);
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

function versionOf(packages: readonly LockedPackage[], source: Source): string {
  const server = packages.find(({ name }) => name === source.name);
  if (!server) throw lost(source);
  return server.version;
}

/** The wheel of a package that pip would take. */
function choose(
  locked: LockedPackage,
  platform: Platform,
  origins: ReadonlyMap<string, Index>,
  session: Session,
): WheelArtifact {
  const own = locked.wheels.filter(({ file }) => isOf(file, locked));
  const wheel = preferred<LockedWheel>(own, platform);
  if (!wheel) throw noWheel([`${locked.name} ${locked.version}`], { platform });
  if (wheel.sha256 === undefined) throw hashUnknown(wheel.file);
  const [only] = session.client.configuration.indexes;
  const index = origins.get(locked.name) ?? only;
  if (!index) throw new Error('a configuration always has an index');
  session.remember(wheel.sha256, { index: index.name, url: wheel.url });
  return {
    kind: 'wheel',
    name: locked.name,
    version: locked.version,
    file: wheel.file,
    integrity: integrityFromHex('sha256', wheel.sha256),
    ...(wheel.size === undefined ? {} : { size: wheel.size }),
    ...(wheel.uploaded === undefined ? {} : { uploaded: wheel.uploaded.toISOString() }),
    index: index.name,
  };
}

function isOf(file: string, locked: LockedPackage): boolean {
  const wheel = parseWheelName(file);
  return (
    wheel !== undefined && wheel.name === locked.name && sameVersion(wheel.version.replaceAll('_', '-'), locked.version)
  );
}

/** Looks into the server's own wheel: the one thing besides metadata that is read when it is locked. */
async function startOf(
  source: Source,
  servers: readonly WheelArtifact[],
  options: ResolveOptions,
): Promise<{ command: string; serverName: string | undefined; version: string }> {
  const starts: { command: string; serverName: string | undefined; version: string }[] = [];
  const seen = new Set<string>();
  for (const server of servers) {
    if (seen.has(server.integrity)) continue;
    seen.add(server.integrity);
    const { commands, serverName } = await inspect(server, () => checked(server, options));
    starts.push({ command: chooseScript(source.name, commands, options.bin), serverName, version: server.version });
  }
  const [first, ...others] = starts;
  if (!first) throw lost(source);
  for (const other of others) if (!isDeepStrictEqual(other, first)) throw differs(source);
  return first;
}

function checked(wheel: WheelArtifact, options: ResolveOptions): AsyncIterable<Uint8Array> {
  const { file, integrity, size } = wheel;
  return verified(fetchWheel(wheel, options), { name: file, integrity, ...(size === undefined ? {} : { size }) });
}

function hashUnknown(file: string): McpBuildError {
  return new McpBuildError({
    code: 'hash-unknown',
    message: `The index gives no SHA-256 for ${file}, so it can't be pinned`,
    input: file,
    fix: 'Use an index that gives SHA-256 hashes (PEP 503 fragments or PEP 691).',
    exit: 4,
  });
}

function differs(source: Source): McpBuildError {
  return new McpBuildError({
    code: 'manifest-mismatch',
    message: `The wheels of ${formatSource(source)} for the different platforms start differently`,
    input: formatSource(source),
    fix: 'Lock one platform at a time.',
  });
}

function lost(source: Source): McpBuildError {
  return new McpBuildError({
    code: 'pylock-invalid',
    message: `What uv resolved doesn't hold ${formatSource(source)} itself`,
    input: formatSource(source),
    fix: 'Use another version of uv, or take yours off PATH, so that the pinned one is fetched.',
  });
}
