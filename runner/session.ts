import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Digest } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import type { Descriptor, Store } from '../registry/index.ts';
import { capable } from './capable.ts';
import { type DaemonFacts, wallsDiffer } from './compare.ts';
import { refuseDenied } from './denied.ts';
import type { Decision, EgressOptions } from './egress.ts';
import { type RunImage, readImage } from './image.ts';
import { LIMITS, type Limits } from './limits.ts';
import { openWay, type Way } from './network.ts';
import { LABEL, ownerLabels, thisOwner } from './owner.ts';
import { type Permissions, permissionRefused } from './permissions.ts';
import { environmentLaunch, type Private, privateParent, removePrivate, writePrivate } from './private.ts';
import type { Reaper } from './reaper.ts';
import type { Attached, Exit, Runtime } from './runtime.ts';
import { seccompProfile } from './seccomp.ts';
import { type ContainerSpec, containerSpec, type PrivateFile, userFor } from './spec.ts';
import { type ResolvedVolume, resolveVolumes, unchanged } from './volumes.ts';

export interface SessionOptions {
  readonly runtime: Runtime;
  readonly store: Store;
  /** The index or manifest that has been verified; nothing but this digest is started. */
  readonly image: Descriptor;
  readonly server: { readonly name: string; readonly version?: string };
  readonly permissions: Permissions;
  readonly limits?: Limits;
  /** In place of the image's own; none keeps those. */
  readonly args: readonly string[];
  /** Values of declared variables. Whatever isn't declared is refused. */
  readonly environment: Readonly<Record<string, string>>;
  /** Configuration that only the server is to see. */
  readonly files?: readonly Private[];
  readonly reaper: Reaper;
  /** The daemon that it is started by, where it is one. */
  readonly daemon?: string | undefined;
  readonly machine: Machine;
  /** Lines for the user. */
  readonly say: (line: string) => void;
  /** Told of each attempt to reach something, where the permissions list destinations. */
  readonly onDecision?: (decision: Decision) => void;
  /** Lets a server reach the whole internet through the proxy, and reports what it reaches. */
  readonly learn?: boolean;
  /** How the proxy finds the addresses of a name; the system's resolver by default. */
  readonly resolve?: EgressOptions['resolve'];
  readonly signal?: AbortSignal;
}

/** What a run knows of the machine and its user. */
export interface Machine {
  readonly home: string;
  /** mcp-build's own folder. */
  readonly state: string;
  /** The part of it for sockets and private files. */
  readonly run: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** A server that runs, attached. */
export interface Session {
  readonly container: string;
  readonly streams: Attached;
  readonly exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Removes it, running or not. To be called once, however the session ended. */
  close(): Promise<{ readonly outOfMemory: boolean }>;
}

/**
 * From a verified digest to a running, attached container, or to nothing at all: whatever fails leaves no container and no file behind.
 * @throws McpBuildError `denied`, `daemon-incapable`, `permission-refused`, `volume-missing`, `environment-undeclared`, `environment-undeliverable`, `walls-differ`, `start-failed`,
 * `egress-unsupported`, `egress-unavailable`, and what the image, the engine and the reaper throw
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { runtime, permissions, machine } = options;
  refuseUndeclared(permissions, options.environment);
  await refuseDenied(machine.state, options.image.digest, options.server.name);
  const run = randomBytes(8).toString('hex');
  const container = `mcp-build-${segment(options.server.name)}-${run.slice(0, 8)}`;
  const parent = privateParent(runtime.endpoint, machine.environment, machine.run);
  const folder = join(parent, `mcp-build-${run}`);
  // Their names are known before there is anything to be found under them.
  const aside = { container: `${container}-net`, folder: join(parent, `mcp-build-${randomBytes(8).toString('hex')}`) };
  const sockets = runtime.endpoint.kind === 'unix' ? [runtime.endpoint.path] : [];
  const [volumes, image, facts, owner] = await Promise.all([
    resolveVolumes(permissions.volumes, { home: machine.home, state: machine.state, sockets }),
    readImage(options.store, options.image),
    runtime.facts(),
    thisOwner(),
  ]);
  for (const note of capable(facts)) options.say(note);
  const [imageId, guard] = await both(
    runtime.load(options.store, image, tagOf(options.server.name, image), options.signal),
    options.reaper.guard({
      endpoint: runtime.endpoint,
      containers: [container, aside.container],
      folders: [folder, aside.folder],
    }),
  );
  let way: Way | undefined;
  const discard = async () => {
    const ended = await Promise.allSettled([removePrivate(folder), runtime.remove(container)]);
    // After the server: what it still says on its way out goes nowhere.
    ended.push(...(await Promise.allSettled([way?.close()])));
    const failed = ended.find((part) => part.status === 'rejected');
    if (failed) {
      guard.abandon();
      throw failed.reason;
    }
    await guard.release();
  };
  try {
    options.signal?.throwIfAborted();
    const labels = {
      ...ownerLabels(owner),
      ...(options.daemon ? { [LABEL.daemon]: options.daemon } : {}),
      [LABEL.run]: run,
      [LABEL.server]: options.server.name,
      [LABEL.version]: options.server.version ?? '',
      [LABEL.digest]: options.image.digest,
    };
    way = await openWay({
      ...options,
      ...aside,
      image,
      imageId,
      facts,
      labels,
      uid: machine.uid,
      onDecision: options.onDecision ?? (() => undefined),
    });
    const spec = await plan(options, { imageId, image, facts, volumes, way, labels }, folder);
    await runtime.create(container, spec);
    const differing = await runtime.differences(container, spec, image, facts);
    if (differing.length > 0) throw wallsDiffer(container, differing);
    return await begin(options, container, volumes, discard, () => removePrivate(folder));
  } catch (error) {
    await discard().catch(() => undefined);
    throw error;
  }
}

export interface Parts {
  readonly imageId: Digest;
  readonly image: RunImage;
  readonly facts: DaemonFacts;
  readonly volumes: readonly ResolvedVolume[];
  readonly way: Pick<Way, 'network' | 'env'>;
  readonly labels: Readonly<Record<string, string>>;
}

/** The container that is wanted, but for where its private files lie. Nothing is written and nobody is asked. */
export function draft(options: SessionOptions, parts: Parts) {
  const { limits = LIMITS } = options;
  const { image, facts, volumes, way } = parts;
  const { note, ...user } = userFor(volumes, options.machine);
  const { launch, files } = environmentLaunch(image, options.args, options.environment);
  return {
    user,
    note,
    files: [...files, ...(options.files ?? [])],
    spec: (written: readonly PrivateFile[]): ContainerSpec =>
      containerSpec({
        imageId: parts.imageId,
        image,
        volumes,
        network: way.network,
        limits: { ...limits, cpus: Math.min(limits.cpus, facts.cpus) },
        seccomp: seccompProfile(),
        identity: { user, labels: { ...parts.labels, [LABEL.role]: 'server' } },
        launch: { ...launch, env: way.env, files: written },
      }),
  };
}

/** Writes the private files, and says what container is wanted. */
async function plan(options: SessionOptions, parts: Parts, folder: string): Promise<ContainerSpec> {
  const { user, note, files, spec } = draft(options, parts);
  if (note) options.say(note);
  return spec(files.length > 0 ? await writePrivate(folder, files, user, options.machine) : []);
}

/** Attach, ask to wait, start: in another order output or the exit code is lost. */
async function begin(
  { runtime, signal }: SessionOptions,
  container: string,
  volumes: readonly ResolvedVolume[],
  discard: () => Promise<void>,
  forgetFiles: () => Promise<void>,
): Promise<Session> {
  const waiting = new AbortController();
  const streams = await runtime.attach(container);
  let exited: Promise<Exit>;
  try {
    ({ exit: exited } = await runtime.wait(container, waiting.signal));
    signal?.throwIfAborted();
    await runtime.start(container);
    await forgetFiles();
    for (const volume of volumes) {
      if (!(await unchanged(volume))) throw permissionRefused(volume.path, 'was replaced while the server was started');
    }
  } catch (error) {
    // After a start that failed, `wait` would wait for ever.
    waiting.abort();
    streams.destroy();
    throw error;
  }
  return {
    container,
    streams,
    exited,
    kill: (name) => runtime.kill(container, name),
    async close() {
      waiting.abort();
      const state = await runtime.inspect(container).catch(() => undefined);
      streams.destroy();
      await discard();
      return { outOfMemory: state?.State.OOMKilled === true };
    },
  };
}

/** Like Promise.all, but a guard that was given while the other part failed is released. */
async function both<A, B extends { release(): Promise<void> }>(
  part: Promise<A>,
  guarding: Promise<B>,
): Promise<[A, B]> {
  try {
    return await Promise.all([part, guarding]);
  } catch (error) {
    await guarding.then((guard) => guard.release()).catch(() => undefined);
    throw error;
  }
}

/** @throws McpBuildError `environment-undeclared` */
export function refuseUndeclared(permissions: Permissions, environment: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(environment)) {
    if (permissions.environment.includes(name) && !value.includes('\0')) continue;
    throw new McpBuildError({
      code: 'environment-undeclared',
      message: `The variable ${name} is not among those the server may have`,
      input: name,
      fix: `Declare it, or pass it on with --env ${name}.`,
      exit: 2,
    });
  }
}

/** For people who list images: nothing is ever started by this name. */
function tagOf(server: string, image: RunImage): string {
  return `mcp-build/${segment(server)}:${image.manifest.digest.slice(7, 19)}`;
}

/** A name as a part of other names. */
export function segment(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return plain.slice(0, 60).replace(/-+$/, '') || 'server';
}
