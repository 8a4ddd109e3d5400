import { chmod, readdir, rm, stat } from 'node:fs/promises';
import net from 'node:net';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { makeFolders, withFileLock } from '../files/index.ts';
import { docker } from './docker.ts';
import { type Endpoint, endpointSchema } from './endpoint.ts';
import { LABEL, orphaned, thisOwner } from './owner.ts';
import { PRIVATE_FOLDER, removePrivate } from './private.ts';
import type { Runtime } from './runtime.ts';

/** What a run leaves to the reaper: said before the first container is made, so that there is no moment at which nobody knows. */
const guardedSchema = z.strictObject({
  endpoint: endpointSchema,
  /** Names of containers, made or not yet. */
  containers: z.array(z.string().regex(/^mcp-build-[a-zA-Z0-9_.-]{1,200}$/)).max(16),
  /** Folders with private files. */
  folders: z.array(z.string().max(4096)).max(4),
});
export type Guarded = z.infer<typeof guardedSchema>;

const messageSchema = z.union([z.strictObject({ guard: guardedSchema }), z.strictObject({ done: z.literal(true) })]);

const LINE_LIMIT = 64 * 1024;
/** How long a container may still appear after its run has died in the middle of making it, in milliseconds. */
const LATE = 10_000;
/** How long a daemon that doesn't answer is asked again, in milliseconds. After that it is the next sweep's. */
const PATIENCE = 600_000;
/** The same once the state folder is gone: what was thrown away with it, most likely a test's daemon, needs nobody for ten minutes. */
const FORSAKEN = 3_000;
const SWEEP_EVERY = 60_000;
/** A private file is needed for as long as a container takes to start. */
const STALE_FOLDER = 600_000;

export interface ReaperOptions {
  readonly socket: string;
  /** Ends after so many milliseconds without a run. */
  readonly idle: number;
  /** How a daemon is reached; Docker's by default. */
  readonly runtime?: (endpoint: Endpoint) => Pick<Runtime, 'remove' | 'list'>;
}

/**
 * Guards runs until none is left. A run is a connection: when it ends without having said that it is done, however its process died, what it
 * had is killed and removed.
 * @throws McpBuildError `busy` when another reaper serves this socket
 */
export async function serveReaper(options: ReaperOptions): Promise<void> {
  const folder = dirname(options.socket);
  await makeFolders(folder, 0o700);
  await chmod(folder, 0o700);
  const runtimes = new Map<string, Pick<Runtime, 'remove' | 'list'>>();
  const runtimeOf = (endpoint: Endpoint) => {
    const key = JSON.stringify(endpoint);
    const known = runtimes.get(key) ?? (options.runtime ?? docker)(endpoint);
    runtimes.set(key, known);
    return known;
  };
  const busy = new Set<unknown>();
  let patience = PATIENCE;
  const swept = new Map<string, number>();
  const track = (work: Promise<unknown>) => {
    busy.add(work);
    void work.catch(() => undefined).finally(() => busy.delete(work));
  };

  const server = net.createServer((connection) => {
    busy.add(connection);
    let guarded: Guarded | undefined;
    listen(connection, {
      onGuard(what) {
        guarded = what;
        const key = JSON.stringify(what.endpoint);
        if (Date.now() - (swept.get(key) ?? 0) < SWEEP_EVERY) return;
        swept.set(key, Date.now());
        track(sweep(runtimeOf(what.endpoint), what.folders.map(dirname)));
      },
      onDone() {
        guarded = undefined;
      },
      onEnd() {
        if (guarded) track(reap(runtimeOf(guarded.endpoint), guarded, () => patience));
        busy.delete(connection);
      },
    });
  });

  // The lock is what makes one reaper of several that start at once; only its holder may touch the socket's name.
  await withFileLock(
    `${options.socket}.lock`,
    async () => {
      await rm(options.socket, { force: true });
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(options.socket, resolve));
      await idleOrLost(options.socket, busy, options.idle);
    },
    50,
  );
  // Without its name it gets no new runs; those that it has are still guarded.
  while (busy.size > 0) {
    if (!(await stat(folder).catch(() => undefined))) patience = FORSAKEN;
    await pause(100);
  }
}

/** Waits until nobody has needed it for a while, or its socket has been taken away (somebody deleted the state folder). */
async function idleOrLost(socket: string, busy: ReadonlySet<unknown>, idle: number): Promise<void> {
  const own = (await stat(socket)).ino;
  let since = Date.now();
  for (;;) {
    await pause(Math.min(500, idle));
    const found = await stat(socket).catch(() => undefined);
    if (found?.ino !== own) return;
    if (busy.size > 0) since = Date.now();
    // Its name goes first: a run that comes now finds no reaper and starts one, rather than one that is about to end.
    if (Date.now() - since > idle) {
      await rm(socket, { force: true });
      return;
    }
  }
}

interface Listener {
  readonly onGuard: (what: Guarded) => void;
  readonly onDone: () => void;
  readonly onEnd: () => void;
}

function listen(connection: net.Socket, listener: Listener): void {
  let held = '';
  connection.setEncoding('utf8');
  connection.on('data', (text: string) => {
    held += text;
    if (held.length > LINE_LIMIT) return void connection.destroy();
    const lines = held.split('\n');
    held = lines.pop() ?? '';
    for (const line of lines) {
      const message = parse(line);
      if (!message) return void connection.destroy();
      if ('guard' in message) listener.onGuard(message.guard);
      else listener.onDone();
      connection.write('{"ok":true}\n');
    }
  });
  connection.on('error', () => undefined);
  connection.on('close', listener.onEnd);
}

function parse(line: string): z.infer<typeof messageSchema> | undefined {
  try {
    return messageSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

async function reap(runtime: Pick<Runtime, 'remove'>, guarded: Guarded, patience: () => number): Promise<void> {
  await Promise.all([
    ...guarded.folders.filter((folder) => PRIVATE_FOLDER.test(basename(folder))).map(removePrivate),
    ...guarded.containers.map((name) => removeSurely(runtime, name, patience)),
  ]);
}

/** Again and again for a while: the daemon may still be making what was asked for before the run died. */
async function removeSurely(runtime: Pick<Runtime, 'remove'>, name: string, patience: () => number): Promise<void> {
  const begun = Date.now();
  let answered = begun;
  for (let wait = 100; ; wait = Math.min(wait * 1.5, 1000)) {
    try {
      await runtime.remove(name);
      if (Date.now() - answered > LATE) return;
    } catch {
      answered = Date.now();
      if (answered - begun > patience()) return;
    }
    await pause(wait);
  }
}

/** Removes what runs of this user left that no reaper saw, because it was killed with them or the machine's daemon was away. */
export async function sweep(runtime: Pick<Runtime, 'list' | 'remove'>, parents: readonly string[]): Promise<number> {
  const here = await thisOwner();
  let removed = 0;
  for (const container of await runtime.list({ [LABEL.uid]: String(here.uid) })) {
    if (!(await orphaned(container.labels, here))) continue;
    await runtime.remove(container.name);
    removed += 1;
  }
  for (const parent of new Set(parents)) {
    for (const name of await readdir(parent).catch(() => [])) {
      if (!PRIVATE_FOLDER.test(name)) continue;
      const found = await stat(join(parent, name)).catch(() => undefined);
      if (found?.uid === here.uid && Date.now() - found.mtimeMs > STALE_FOLDER) await removePrivate(join(parent, name));
    }
  }
  return removed;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
