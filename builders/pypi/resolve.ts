import { isDeepStrictEqual } from 'node:util';
import { parseIntegrity, verified } from '../../digest/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import type { Resolution, ResolveOptions } from '../adapter.ts';
import type { LayerLock, WheelArtifact } from '../lock.ts';
import type { Platform } from '../platform.ts';
import { formatSource, normalizeProject, type Source } from '../source.ts';
import { TRANSFORM } from './bake.ts';
import { choose } from './choose.ts';
import { type Compiler, type Question, withCompiler } from './compile.ts';
import type { Configuration } from './config/index.ts';
import { ageFaultOf, diagnose, notNewest } from './diagnose.ts';
import { chooseScript } from './entrypoint.ts';
import { fetchWheel, type Session, sessionFor } from './fetch.ts';
import { inspect } from './inspect.ts';
import { SCRIPTS } from './layout.ts';
import { localArtifact, localRequirement, openLocal } from './local.ts';
import { newerThan } from './newest.ts';
import type { LockedPackage } from './pylock.ts';
import { formatRequirements, type Pin, parseInput, parsePins } from './requirements.ts';
import { sameVersion } from './version.ts';

/** Newest releases that are looked at until one isn't held back by the age of what it needs. */
const LOOKED_AT = 20;

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
  return make({ source, platforms, input: `${source.name}${source.range}\n`, pins: [] }, options);
}

/**
 * The resolution of native lock files that something else brought up to date: what they pin stays as it is and is held to the same
 * rules, what is no longer needed goes, what has become needed is added.
 * @param files `requirements.in` and `requirements.txt`. @throws McpBuildError `lock-invalid`, `lock-mismatch`; what `resolve` throws
 */
export async function refresh(
  source: Source,
  platforms: readonly Platform[],
  files: Readonly<Record<string, string>>,
  options: ResolveOptions,
): Promise<Resolution> {
  const asked = parseInput(files['requirements.in'] ?? '', source);
  const pins = parsePins(files['requirements.txt'] ?? '');
  return make({ source: asked, platforms, input: `${asked.name}${asked.range}\n`, pins }, options);
}

interface Start {
  readonly source: Source;
  readonly platforms: readonly Platform[];
  /** `requirements.in`. */
  readonly input: string;
  readonly pins: readonly Pin[];
}

async function make({ source, platforms, input, pins }: Start, options: ResolveOptions): Promise<Resolution> {
  const session = await sessionFor(options);
  return withCompiler(session.client.configuration, options, async (compiler) => {
    const resolved = await resolveNewest({ source, platforms, input, pins }, options, compiler, session);
    const layers: Partial<Record<Platform, readonly LayerLock[]>> = {};
    const servers: WheelArtifact[] = [];
    for (const one of resolved) {
      if (options.before) {
        const young = ageFaultOf(one.packages, options.before, options.young);
        if (young) throw young;
      }
      const origins = await compiler.origins(one.question);
      const wheels = one.packages.map((locked) =>
        options.local && locked.name === source.name
          ? localArtifact(locked.version, source, options.local, one.platform)
          : choose(locked, one.platform, origins, session),
      );
      for (const wheel of wheels) checkPin(wheel, pins);
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
      files: { 'requirements.in': input, 'requirements.txt': formatRequirements(layers) },
      layers,
      // Wheels have none: nothing of a package runs when it is installed. Start-up hooks are told by `startupHooks`.
      installScripts: [],
    };
  });
}

/** Who updated the versions updated the hashes too: bytes that they don't name are not what they looked at. */
function checkPin(wheel: WheelArtifact, pins: readonly Pin[]): void {
  const { hex } = parseIntegrity(wheel.integrity);
  const own = pins.filter(({ name, version }) => name === wheel.name && sameVersion(version, wheel.version));
  const hashes = own.flatMap((pin) => pin.sha256);
  if (hashes.length === 0 || hashes.includes(hex)) return;
  throw new McpBuildError({
    code: 'lock-mismatch',
    message: `requirements.txt has no hash of ${wheel.file} as the index has it`,
    input: wheel.file,
    fix: 'Find out which of the two is right before you lock again.',
    exit: 4,
  });
}

function layer(name: 'dependencies' | 'server', files: readonly WheelArtifact[]): LayerLock {
  return { name, transform: TRANSFORM, files };
}

/** Asks for the same on every platform, or throws why one of them can't have it. */
type Every = (requirements: readonly string[], afresh?: string) => Promise<readonly Resolved[]>;

/**
 * With the newest release of the server that its source and the release age admit, or not at all: an older one is taken where only the age
 * of something that the newest needs holds it back.
 */
async function resolveNewest(
  { source, platforms, pins }: Start,
  options: ResolveOptions,
  compiler: Compiler,
  session: Session,
): Promise<readonly Resolved[]> {
  const every = asking(source, platforms, pins, options, compiler, session.client.configuration);
  const wanted = options.local ? localRequirement(source, options.local) : `${source.name}${source.range}`;
  const found = await resolveAll(wanted, source, every);
  // What a file or a bot names is chosen already.
  if (options.local || pins.some(({ name }) => name === source.name)) return found;
  const chosen = versionOf(found[0]?.packages ?? [], source);
  let held: unknown;
  for (const [at, version] of (await newerThan(chosen, source, platforms, options, session)).entries()) {
    if (at === LOOKED_AT) throw held;
    try {
      return await every([wanted, `${source.name}==${version}`], source.name);
    } catch (error) {
      if (!isFault(error) || error.exit === 5) throw error;
      if (error.code !== 'too-new' && error.code !== 'age-unknown')
        throw notNewest(error, source, version, chosen, platforms);
      held ??= error;
    }
  }
  return found;
}

function asking(
  source: Source,
  platforms: readonly Platform[],
  pins: readonly Pin[],
  options: ResolveOptions,
  compiler: Compiler,
  configuration: Configuration,
): Every {
  const constraints = [
    ...pins.map(({ line }) => line),
    // Releases after the one that is excepted are as young as ever.
    ...(options.young ?? []).map(({ name, version }) => `${name}<=${version}`),
  ];
  return async (requirements, afresh) => {
    const found: Resolved[] = [];
    for (const platform of platforms) {
      options.progress?.(`resolving ${formatSource(source)} for ${platform}`);
      const question = {
        requirements,
        constraints,
        platform,
        before: options.before,
        overrides: Object.entries(options.overrides ?? {}).map(([name, version]) => requirementOf(name, version)),
        young: (options.young ?? []).map(({ name }) => normalizeProject(name)),
        ...(options.local ? { local: source.name } : {}),
        ...(afresh === undefined ? {} : { afresh }),
      };
      const answer = await compiler.compile(question);
      if (answer.kind === 'failed') throw await diagnose(answer.output, source, question, compiler, configuration);
      found.push({ platform, packages: answer.packages, question });
    }
    return found;
  };
}

/** Where platforms would get different releases of the server, the first release that all of them can have. */
async function resolveAll(wanted: string, source: Source, every: Every): Promise<readonly Resolved[]> {
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

/** A version alone is that version. */
function requirementOf(name: string, version: string): string {
  return `${name}${/^[=<>!~]/.test(version) ? '' : '=='}${version}`;
}

function versionOf(packages: readonly LockedPackage[], source: Source): string {
  const server = packages.find(({ name }) => name === source.name);
  if (!server) throw lost(source);
  return server.version;
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
    const { commands, serverName } = await inspect(server, () =>
      options.local ? openLocal(options.local) : checked(server, options),
    );
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
