import { setTimeout as sleep } from 'node:timers/promises';
import { McpBuildError } from '../errors/index.ts';
import { LABEL, orphaned, thisOwner } from './owner.ts';
import type { Runtime, Usage } from './runtime.ts';
import { STOP_SECONDS } from './spec.ts';

/** A server of this user that a daemon has. */
export interface RunningServer {
  readonly container: string;
  readonly server: string;
  readonly version: string;
  /** Of the image that was verified. */
  readonly digest: string;
  /** `created`, `running`, `exited`, … */
  readonly state: string;
  /** Seconds since the epoch. */
  readonly created: number;
  /** The process that it belongs to, and whether that is certainly gone: then the next sweep takes it. */
  readonly owner: { readonly pid: number; readonly gone: boolean };
}

/** The servers of this user, newest first, without the forwarders that stand beside them. */
export async function listServers(runtime: Pick<Runtime, 'list'>): Promise<readonly RunningServer[]> {
  const here = await thisOwner();
  const list = await runtime.list({ [LABEL.uid]: String(here.uid), [LABEL.role]: 'server' });
  const servers = await Promise.all(
    list.map(
      async ({ name, state, created, labels }): Promise<RunningServer> => ({
        container: name,
        server: labels[LABEL.server] ?? '',
        version: labels[LABEL.version] ?? '',
        digest: labels[LABEL.digest] ?? '',
        state,
        created,
        owner: { pid: Number(labels[LABEL.pid]), gone: await orphaned(labels, here) },
      }),
    ),
  );
  return servers.sort((a, b) => b.created - a.created || (a.container < b.container ? -1 : 1));
}

/**
 * The servers that a word of the user means: one container by its name, or all of a server by the server's.
 * @throws McpBuildError `not-running`
 */
export async function findServers(runtime: Pick<Runtime, 'list'>, name: string): Promise<readonly RunningServer[]> {
  const found = (await listServers(runtime)).filter(({ container, server }) => container === name || server === name);
  if (found.length > 0) return found;
  throw new McpBuildError({
    code: 'not-running',
    message: `No server "${name}" of yours is running`,
    input: name,
    fix: 'See which are with `mcp-build ps`.',
  });
}

/**
 * Asks a server to end, and ends it when it hasn't after a few seconds. The run it belongs to sees it end and cleans up; of one whose run is gone it is
 * removed here.
 */
export async function stopServer(
  runtime: Pick<Runtime, 'list' | 'kill' | 'remove' | 'inspect'>,
  server: RunningServer,
  grace = STOP_SECONDS * 1000,
): Promise<void> {
  const { container } = server;
  if (server.state === 'running') await runtime.kill(container, 'SIGTERM');
  const deadline = Date.now() + grace;
  while (Date.now() < deadline && (await isRunning(runtime, container))) await sleep(100);
  if (await isRunning(runtime, container)) await runtime.kill(container, 'SIGKILL');
  // Its own run is faster where there is one: what is gone already is no error.
  if (server.owner.gone) {
    await runtime.remove(container);
    await runtime.remove(`${container}-net`);
  }
}

async function isRunning(runtime: Pick<Runtime, 'inspect'>, container: string): Promise<boolean> {
  try {
    return (await runtime.inspect(container)).State.Running;
  } catch {
    return false;
  }
}

export interface Measured extends Usage {
  /** Of one processor: 1.5 is one and a half. */
  readonly load: number;
}

/** What a server uses, measured over a moment. @throws McpBuildError `container-missing` */
export async function measureServer(
  runtime: Pick<Runtime, 'usage'>,
  container: string,
  milliseconds = 500,
): Promise<Measured> {
  const first = await runtime.usage(container);
  const begun = performance.now();
  await sleep(milliseconds);
  const second = await runtime.usage(container);
  const elapsed = (performance.now() - begun) * 1e6;
  return { ...second, load: Math.max(0, (second.cpu - first.cpu) / elapsed) };
}

/** Removes whatever an earlier process of a daemon has left, which was killed together with its reaper. @returns how many containers it was */
export async function removeOfDaemon(runtime: Pick<Runtime, 'list' | 'remove'>, daemon: string): Promise<number> {
  const left = await runtime.list({ [LABEL.daemon]: daemon });
  await Promise.all(left.map(({ id }) => runtime.remove(id)));
  return left.length;
}
