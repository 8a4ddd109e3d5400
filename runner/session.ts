import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { McpBuildError } from '../errors/index.ts';
import type { Descriptor, Store } from '../registry/index.ts';
import { differences } from './compare.ts';
import { type RunImage, readImage } from './image.ts';
import { LIMITS, type Limits } from './limits.ts';
import { LABEL, ownerLabels, thisOwner } from './owner.ts';
import { type Permissions, permissionRefused } from './permissions.ts';
import { environmentLaunch, type Private, privateParent, removePrivate, writePrivate } from './private.ts';
import type { Reaper } from './reaper.ts';
import type { Attached, Exit, Runtime } from './runtime.ts';
import { seccompProfile } from './seccomp.ts';
import { containerSpec, type Network, userFor } from './spec.ts';
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
  readonly machine: Machine;
  /** Lines for the user. */
  readonly say: (line: string) => void;
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
 * @throws McpBuildError `permission-refused`, `volume-missing`, `environment-undeclared`, `walls-differ`, `start-failed`, and what the image, the engine and the reaper throw
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { runtime, permissions, machine } = options;
  refuseUndeclared(permissions, options.environment);
  const run = randomBytes(8).toString('hex');
  const container = `mcp-build-${segment(options.server.name)}-${run.slice(0, 8)}`;
  const folder = join(privateParent(runtime.endpoint, machine.environment, machine.run), `mcp-build-${run}`);
  const sockets = runtime.endpoint.kind === 'unix' ? [runtime.endpoint.path] : [];
  const [volumes, image, facts, owner] = await Promise.all([
    resolveVolumes(permissions.volumes, { home: machine.home, state: machine.state, sockets }),
    readImage(options.store, options.image),
    runtime.facts(),
    thisOwner(),
  ]);
  const [imageId, network, guard] = await all([
    runtime.load(options.store, image, tagOf(options.server.name, image), options.signal),
    networkFor(permissions, runtime),
    options.reaper.guard({ endpoint: runtime.endpoint, containers: [container], folders: [folder] }),
  ]);
  const discard = async () => {
    try {
      await removePrivate(folder);
      await runtime.remove(container);
    } catch (error) {
      guard.abandon();
      throw error;
    }
    await guard.release();
  };
  try {
    options.signal?.throwIfAborted();
    const { note, ...user } = userFor(volumes, machine);
    if (note) options.say(note);
    const { launch, files } = environmentLaunch(image, options.args, options.environment);
    const wanted = [...files, ...(options.files ?? [])];
    const limits = options.limits ?? LIMITS;
    const spec = containerSpec({
      imageId,
      image,
      volumes,
      network,
      limits: { ...limits, cpus: Math.min(limits.cpus, facts.cpus) },
      seccomp: seccompProfile(),
      identity: {
        user,
        labels: {
          ...ownerLabels(owner),
          [LABEL.run]: run,
          [LABEL.role]: 'server',
          [LABEL.server]: options.server.name,
          [LABEL.version]: options.server.version ?? '',
          [LABEL.digest]: options.image.digest,
        },
      },
      launch: {
        ...launch,
        env: {},
        files: wanted.length > 0 ? await writePrivate(folder, wanted, user, machine) : [],
      },
    });
    await runtime.create(container, spec);
    const found = await runtime.inspect(container);
    const differing = differences(spec, image, found, facts);
    if (differing.length > 0) throw wallsDiffer(container, differing);
    return await begin(options, container, volumes, discard, () => removePrivate(folder));
  } catch (error) {
    await discard().catch(() => undefined);
    throw error;
  }
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

async function networkFor(permissions: Permissions, runtime: Runtime): Promise<Network> {
  if (permissions.network === 'none') return { kind: 'none' };
  if (permissions.network === 'all') return { kind: 'bridge', name: await runtime.openNetwork() };
  throw permissionRefused(
    permissions.network.join(', '),
    'single destinations are not supported yet',
    'Use --allow-net all, or none.',
  );
}

/** Like Promise.all, but a guard that was given while another part failed is released. */
async function all<A, B>(
  parts: readonly [Promise<A>, Promise<B>, ReturnType<Reaper['guard']>],
): Promise<[A, B, Awaited<ReturnType<Reaper['guard']>>]> {
  try {
    return await Promise.all(parts);
  } catch (error) {
    await parts[2].then((guard) => guard.release()).catch(() => undefined);
    throw error;
  }
}

function refuseUndeclared(permissions: Permissions, environment: Readonly<Record<string, string>>): void {
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

function wallsDiffer(container: string, list: ReturnType<typeof differences>): McpBuildError {
  const text = list.map(({ wall, wanted, found }) => `${wall} is ${found} instead of ${wanted}`).join('; ');
  return new McpBuildError({
    code: 'walls-differ',
    message: `Docker did not build the walls it was asked for: ${text}`,
    input: container,
    fix: "Nothing was started. Look for what changes containers in the daemon's configuration.",
    exit: 3,
  });
}

/** For people who list images: nothing is ever started by this name. */
function tagOf(server: string, image: RunImage): string {
  return `mcp-build/${segment(server)}:${image.manifest.digest.slice(7, 19)}`;
}

/** A name as a part of other names. */
function segment(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return plain.slice(0, 60).replace(/-+$/, '') || 'server';
}
