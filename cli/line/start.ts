import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  type Built,
  formatSource,
  hostPlatform,
  type Launch,
  looksLikeFile,
  looksLikeServerJson,
  looksLikeSource,
  type Platform,
  parseSource,
} from '../../builders/index.ts';
import { isFault, McpBuildError } from '../../errors/index.ts';
import { withFileLock } from '../../files/index.ts';
import { type Descriptor, type LayoutStore, openLayout, type Store } from '../../registry/index.ts';
import {
  dockerRuntime,
  type Limits,
  type Machine,
  NO_PERMISSIONS,
  type Permissions,
  type Pins,
  pinsOf,
  type Reaper,
  type Runtime,
  reaper,
  type SessionOptions,
} from '../../runner/index.ts';
import {
  assess,
  attest,
  beyond,
  type DriftPolicy,
  type Evidence,
  keySigner,
  PREDICATES,
  readServer,
  type ServerPredicate,
  type Signer,
  signImage,
} from '../../trust/index.ts';
import { serverPredicate } from './attest.ts';
import { readLockFolder, writeOutputs } from './folder.ts';
import type { Environment, Home } from './home.ts';
import type { RegistryOptions } from './image.ts';
import { machineKey, type TrustedKey } from './keys.ts';
import { acceptedBefore, askedFor, ownKeysPolicy, policyOf, rememberAccepted } from './policy.ts';
import { stateLock } from './source.ts';
import { evidenceOf, requirePass } from './verify.ts';

export interface Verified {
  readonly store: Store;
  readonly image: Descriptor;
  readonly server: { readonly name: string; readonly version?: string };
  /** How its `server.json` says it is started. */
  readonly launch?: Launch;
  /** What it was signed to offer, where that was signed. */
  readonly pins?: Pins;
  /** Why it may start; absent where nothing was asked. */
  readonly grounds?: Grounds;
}

/** What a verdict stands on, for who has to grant or explain. */
export interface Grounds {
  /** The policy's file, or the words for what stands in its place. */
  readonly policy: string;
  readonly rule: string | undefined;
  /** The widest permissions, where the policy says them. */
  readonly widest: Permissions | undefined;
  /** What those who must sign it say of it, whether the policy asks for it or not. */
  readonly server: ServerPredicate | undefined;
  readonly drift: DriftPolicy;
}

export interface VerifiedOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly keys?: readonly TrustedKey[];
  /** Which command of a source's package, where it has several. */
  readonly bin?: string | undefined;
  readonly registry?: Omit<RegistryOptions, 'environment'>;
  /** Which package of a `server.json`, where it has several. */
  readonly package?: string | undefined;
  readonly progress: (line: string) => void;
  readonly say: (line: string) => void;
}

/** A name, image or source as an image that has just been verified for this machine's platform. @throws McpBuildError what the verdict says */
export async function verifiedImage(target: string, options: VerifiedOptions): Promise<Verified> {
  const found = looksLikeSource(target) ? await fromSource(target, options) : await fromReference(target, options);
  return found;
}

async function fromReference(target: string, options: VerifiedOptions): Promise<Verified> {
  const { home, environment, progress, registry } = options;
  // Of registries, nothing is loaded by who starts what is here.
  const { findImage } = await import('./image.ts');
  const found = await findImage(target, home, { ...registry, environment });
  const server = { name: found.server };
  if (found.place.kind !== 'remote' && found.place.kind !== 'archive') {
    const pins = await check(found.store, found.image, target, options);
    return { store: found.store, image: found.image, server, ...pins };
  }
  // Brought here whole and by digest, so that what is verified is what is started, whatever the registry says next.
  const store = await openLayout(home.store);
  const { copy } = await import('../../registry/index.ts');
  await copy(found.store, store, found.image, { progress: () => progress(`fetching ${target}`) });
  const pins = await check(store, found.image, target, options);
  return { store, image: found.image, server, ...pins };
}

/** Locked, built and signed on first use, then only verified. The lock and its signature are this machine's own. */
async function fromSource(target: string, options: VerifiedOptions): Promise<Verified> {
  const { home, environment, progress, say } = options;
  const folder = await stateLock(target, {
    home,
    environment,
    progress,
    bin: options.bin,
    package: options.package,
    onLocked: (version, packages, scripts) => {
      say(`first use of ${target}: locked ${version} with ${packages} packages; it stays that until it is updated`);
      for (const script of scripts) say(`${script} has an install script; it never runs`);
    },
  });
  const store = await openLayout(home.store);
  const { lock } = await readLockFolder(folder);
  const server = { name: lock.name, version: lock.source.version };
  const launch = lock.launch ? { launch: lock.launch } : {};
  // A policy speaks of packages, whichever document named this one.
  const asked = looksLikeServerJson(target) || looksLikeFile(target) ? formatSource(lock.source) : target;
  const known = await present(store, lock.index);
  const before = known && (await signed(store, known, asked, options));
  if (known && before) return { store, image: known, server, ...launch, ...before };
  const image = await withFileLock(`${folder}.build.lock`, async () => {
    const { buildLock } = await import('./build.ts');
    const built = await buildLock(lock, {
      platforms: Object.keys(lock.platforms) as Platform[],
      home,
      environment,
      workspace: undefined,
      store,
      locked: true,
      progress,
    });
    const key = await machineKey(home, (path) =>
      say(`made a key for this machine, ${path}: what it signs counts here only`),
    );
    await vouch(store, built, keySigner(key));
    await writeOutputs(folder, built.lock);
    return store.resolve(built.index.digest);
  });
  const pins = await check(store, image, asked, options);
  return { store, image, server, ...launch, ...pins };
}

/** Signs what was just built here, and says which server it is: what is asked for by source must be signed as that source. */
async function vouch(store: LayoutStore, built: Built, signer: Signer): Promise<void> {
  const now = new Date();
  const { descriptor } = await import('./build.ts');
  const server = serverPredicate(built.lock, { permissions: NO_PERMISSIONS, offer: undefined });
  const documents = [...built.images.map(({ manifest }) => manifest), built.index];
  for (const document of documents) await attest(store, descriptor(document), PREDICATES.server, server, signer, now);
  await signImage(store, descriptor(built.index), signer, now);
}

/** An image without a signature is one whose first use was interrupted: it is built from its lock again before it is signed. Any other refusal stands. */
async function signed(
  store: LayoutStore,
  image: Descriptor,
  target: string,
  options: VerifiedOptions,
): Promise<Pinned | undefined> {
  try {
    return await check(store, image, target, options);
  } catch (error) {
    if (['unsigned', 'attestation-missing', 'key-missing'].some((code) => isFault(error, code))) return undefined;
    throw error;
  }
}

type Pinned = Pick<Verified, 'pins' | 'grounds'>;

async function check(store: Store, image: Descriptor, target: string, options: VerifiedOptions): Promise<Pinned> {
  const { home, environment } = options;
  const source = looksLikeSource(target) ? parseSource(target) : undefined;
  const { policy, file } = options.keys
    ? ownKeysPolicy(options.keys)
    : await policyOf(home, environment, process.cwd());
  const [os = 'linux', architecture = 'amd64'] = hostPlatform().split('/');
  // Layers are hashed as they are handed to the daemon, which hashes what comes out of them again.
  const common = {
    layers: false,
    platforms: { os, architecture },
    asked: askedFor(imageName(target), source),
  } as const;
  const evidence = await evidenceOf(store, image, common);
  // Which server it claims to be decides which record counts against it; that claim is judged together with the rest.
  const claimed = claimedSource(evidence);
  const accepted = claimed ? await acceptedBefore(home, claimed) : undefined;
  const { verdict, server, offers, drift, rule, widest } = assess(
    policy,
    { ...evidence, ...(accepted ? { accepted } : {}) },
    new Date(),
  );
  requirePass(verdict, target);
  if (server) await rememberAccepted(home, server);
  const pins = pinsOf(offers, drift);
  const name = file ?? (options.keys ? '--key' : 'your own keys, as there is no policy');
  return { ...(pins ? { pins } : {}), grounds: { policy: name, rule, widest, server: offers[0], drift } };
}

/** Without tag and digest: what rules and exceptions of a policy match. */
function imageName(target: string): string {
  return looksLikeSource(target) ? target : target.replace(/@sha256:[0-9a-f]{64}$/, '').replace(/:[^:/]+$/, '');
}

function claimedSource({ attestations }: Evidence): { ecosystem: 'npm' | 'pypi'; name: string } | undefined {
  for (const { said } of attestations) {
    if (said.kind !== 'statement' || said.statement.predicateType !== PREDICATES.server) continue;
    const server = readServer(said.statement.predicate);
    if (server) return server.source;
  }
  return undefined;
}

async function present(store: LayoutStore, digest: Descriptor['digest'] | undefined): Promise<Descriptor | undefined> {
  if (digest === undefined) return undefined;
  try {
    return await store.resolve(digest);
  } catch (error) {
    if (isFault(error, 'not-found')) return undefined;
    throw error;
  }
}

export interface SessionInput {
  readonly verified: Verified;
  readonly home: Home;
  readonly environment: Environment;
  readonly permissions: Permissions;
  readonly values: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly limits?: Limits;
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal;
  /** The daemon that the environment leads to, by default. */
  readonly runtime?: Runtime;
}

/** What the runner needs to know to start a verified image on this machine. @throws McpBuildError `permission-refused` beyond what the policy allows */
export async function sessionOptions(input: SessionInput): Promise<SessionOptions & Pinned> {
  const { verified, home, environment, say } = input;
  const { args, values, permissions } = withDefaults(verified, input);
  refuseBeyond(verified, permissions, verified.server.name);
  return {
    runtime: input.runtime ?? (await runtimeOf(environment)),
    store: verified.store,
    image: verified.image,
    server: verified.server,
    permissions,
    args,
    environment: values,
    reaper: reaperOf(home, say),
    machine: machineOf(home, environment),
    say,
    ...(verified.pins ? { pins: verified.pins } : {}),
    ...(input.limits ? { limits: input.limits } : {}),
    ...(input.signal ? { signal: input.signal } : {}),
  };
}

/** What the user doesn't say is as its publisher has signed it: arguments, and variables that have a value by default. */
function withDefaults(
  { grounds }: Verified,
  { args, values, permissions }: SessionInput,
): Pick<SessionInput, 'args' | 'values' | 'permissions'> {
  const signed = grounds?.server;
  if (!signed) return { args, values, permissions };
  const defaults = signed.environment.filter(
    (one) => one.default !== undefined && !one.secret && !Object.hasOwn(values, one.name),
  );
  return {
    args: args.length > 0 ? args : signed.args,
    values: { ...Object.fromEntries(defaults.map((one) => [one.name, one.default ?? ''])), ...values },
    permissions: {
      ...permissions,
      environment: [...new Set([...permissions.environment, ...defaults.map(({ name }) => name)])],
    },
  };
}

/**
 * Before there is a policy, whoever types a flag is the policy; where one says the widest, flags stay within it.
 * @throws McpBuildError `permission-refused`
 */
export function refuseBeyond({ grounds }: Verified, permissions: Permissions, target: string): void {
  const wider = grounds?.widest ? beyond(permissions, grounds.widest) : [];
  if (wider.length === 0) return;
  throw new McpBuildError({
    code: 'permission-refused',
    message: `${target} may not be given ${wider.join(', ')}: the rule "${grounds?.rule}" of ${grounds?.policy} allows less`,
    input: target,
    fix: 'Ask for less, or have the permissions of that rule widened by whoever answers for the policy.',
    exit: 3,
  });
}

export function runtimeOf(environment: Environment): Promise<Runtime> {
  return dockerRuntime(environment);
}

export function reaperOf(home: Home, say: (line: string) => void): Reaper {
  return reaper({ folder: home.run, onTrouble: say });
}

export function machineOf(home: Home, environment: Environment): Machine {
  return {
    home: homedir(),
    state: home.root,
    run: home.run,
    environment,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  };
}

/** Where the stderr of each run is kept. */
export function logFolder(home: Home): string {
  return join(home.run, 'logs');
}

/** Reads `--env NAME`, which takes the value from the caller's environment, and `--env NAME=value`. @throws McpBuildError `environment-missing` */
export function environmentValues(words: readonly string[], environment: Environment): Record<string, string> {
  const values: Record<string, string> = {};
  for (const word of words) {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? environment[name] : word.slice(equals + 1);
    if (value === undefined) {
      throw new McpBuildError({
        code: 'environment-missing',
        message: `The variable ${name} is not set`,
        input: name,
        fix: `Set it where mcp-build is started, or leave out --env ${name}.`,
        exit: 2,
      });
    }
    values[name] = value;
  }
  return values;
}
