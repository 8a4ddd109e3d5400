import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';
import { type DaemonFacts, wallsDiffer } from './compare.ts';
import { type Decision, type EgressOptions, serveEgress } from './egress.ts';
import { forwarder, PROXY_VARIABLES } from './forwarder.ts';
import type { RunImage } from './image.ts';
import type { Limits } from './limits.ts';
import { LABEL } from './owner.ts';
import type { Permissions } from './permissions.ts';
import { removePrivate, writePrivate } from './private.ts';
import type { Runtime } from './runtime.ts';
import { seccompProfile } from './seccomp.ts';
import { containerSpec, type Network, NONROOT } from './spec.ts';

/** A forwarder copies bytes: an interpreter and its buffers. */
const FORWARDER: Limits = {
  memory: 96 * 1024 * 1024,
  cpus: 1,
  pids: 300,
  files: 1024,
  tmp: 64 * 1024,
  home: 64 * 1024,
};
/** For an interpreter to start, in milliseconds, on a machine that is busy. */
const READY_TIMEOUT = 30_000;

export interface WayOptions {
  readonly runtime: Runtime;
  readonly image: RunImage;
  readonly imageId: Digest;
  readonly facts: DaemonFacts;
  readonly permissions: Permissions;
  readonly labels: Readonly<Record<string, string>>;
  /** Name of the forwarder's container, and the folder of the proxy's socket: both guarded before this is called. */
  readonly container: string;
  readonly folder: string;
  readonly uid: number | undefined;
  readonly onDecision: (decision: Decision) => void;
  readonly learn?: boolean;
  readonly resolve?: EgressOptions['resolve'];
  readonly signal?: AbortSignal;
}

/** How a server's packets leave it, if they do. */
export interface Way {
  readonly network: Network;
  /** Variables that tell it so. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/**
 * Opens what a server's permissions give it of the network: nothing, a bridge of its own kind, or a forwarder in a namespace without any interface,
 * behind which the proxy decides.
 * @throws McpBuildError `egress-unsupported`, `egress-unavailable`, `walls-differ`
 */
export async function openWay(options: WayOptions): Promise<Way> {
  const { network } = options.permissions;
  const shut = { env: {}, close: async () => undefined };
  if (network === 'all' && !options.learn) {
    return { ...shut, network: { kind: 'bridge', name: await options.runtime.openNetwork() } };
  }
  if (network === 'none' && !options.learn) return { ...shut, network: { kind: 'none' } };
  return behindProxy(options, typeof network === 'string' ? [] : network);
}

async function behindProxy(options: WayOptions, destinations: readonly string[]): Promise<Way> {
  const { runtime, container, folder } = options;
  const runs = forwarder(options.image);
  const user = { uid: NONROOT, gid: NONROOT };
  const files = await writePrivate(folder, [runs.file], user, options);
  const socket = join(folder, 'egress.sock');
  const egress = await serveEgress(socket, {
    destinations,
    onDecision: options.onDecision,
    ...(options.learn ? { learn: true } : {}),
    ...(options.resolve ? { resolve: options.resolve } : {}),
  });
  const close = async () => {
    await egress.close();
    await removePrivate(folder);
    await runtime.remove(container);
  };
  try {
    const spec = containerSpec({
      imageId: options.imageId,
      image: options.image,
      volumes: [],
      network: { kind: 'none' },
      limits: { ...FORWARDER, cpus: Math.min(FORWARDER.cpus, options.facts.cpus) },
      seccomp: seccompProfile(),
      identity: { user, labels: { ...options.labels, [LABEL.role]: 'forwarder' } },
      launch: {
        entrypoint: runs.entrypoint,
        args: runs.args,
        env: {},
        files: [...files, { source: socket, target: runs.socket }],
      },
    });
    const id = await runtime.create(container, spec);
    const differing = await runtime.differences(container, spec, options.image, options.facts);
    if (differing.length > 0) throw wallsDiffer(container, differing);
    await runtime.start(container);
    await withinTime(egress.ready, container, options.signal);
    return { network: { kind: 'joined', container: id }, env: PROXY_VARIABLES, close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

async function withinTime(ready: Promise<void>, container: string, signal?: AbortSignal): Promise<void> {
  const over = new AbortController();
  const either = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  try {
    const late = sleep(READY_TIMEOUT, true, { signal: either });
    if (!(await Promise.race([ready.then(() => false), late]))) return;
  } finally {
    over.abort();
  }
  throw new McpBuildError({
    code: 'egress-unavailable',
    message: 'What passes the server’s connections on did not start',
    input: container,
    fix: 'Single destinations need a daemon on this machine, as a Unix socket is shared with it. Elsewhere use --allow-net all, or none.',
  });
}
