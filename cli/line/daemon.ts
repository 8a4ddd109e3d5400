import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { McpBuildError } from '../../errors/index.ts';
import { readBounded, writeAtomic } from '../../files/index.ts';
import {
  type Daemon,
  type GatewayConfig,
  type Offered,
  type Prepared,
  type ServerConfig,
  serveDaemon,
  type UnixPlace,
} from '../../gateway/index.ts';
import { removeOfDaemon } from '../../runner/index.ts';
import type { Environment, Home } from './home.ts';
import { prepareServer } from './serve.ts';
import { runtimeOf } from './start.ts';

/** The servers that a daemon starts by name, as its configuration has them now. */
export interface Offers {
  /** @throws McpBuildError `server-unknown`; why it doesn't verify */
  find(name: string): Promise<Offered>;
  /** Takes over a configuration, and verifies everything anew: what is the same and has the same image goes on. */
  reload(servers: GatewayConfig['servers']): Promise<void>;
  names(): readonly string[];
}

export interface OffersOptions {
  readonly prepare: (server: ServerConfig) => Promise<Prepared>;
  /** Its servers end: what they are started from isn't what it was. */
  readonly end: (name: string, why: string) => void;
  readonly say: (line: string) => void;
}

interface Entry {
  readonly server: ServerConfig;
  readonly text: string;
  prepared: Promise<Prepared>;
  /** When that was begun. */
  since: number;
}

/** For each client of a server that isn't shared, unless the configuration says it. */
const MOST_OWN = 32;
/** The one that all share, and another that takes its place. */
const SHARED = 2;
/** What didn't verify is not tried again sooner, however often it is asked for; in milliseconds. */
const AGAIN = 2_000;

export function offers({ prepare, end, say }: OffersOptions): Offers {
  const entries = new Map<string, Entry>();
  const begin = (server: ServerConfig): Promise<Prepared> => {
    const prepared = prepare(server);
    prepared.catch((error: Error) => say(`${server.name}: ${error.message}`));
    return prepared;
  };

  async function renew(server: ServerConfig): Promise<void> {
    const text = JSON.stringify(server);
    const before = entries.get(server.name);
    const old = await before?.prepared.catch(() => undefined);
    const prepared = begin(server);
    // What runs is left alone until it is known what takes its place.
    const fresh = await prepared.catch(() => undefined);
    entries.set(server.name, { server, text, prepared, since: Date.now() });
    if (!before || (fresh && old && before.text === text && fresh.digest === old.digest)) return;
    end(server.name, 'its configuration or its image has changed');
  }

  return {
    names: () => [...entries.keys()],
    async find(name) {
      const entry = entries.get(name);
      if (!entry) throw unknown(name);
      const tried = entry.prepared;
      const { open, digest } = await tried.catch((error: unknown) => {
        // It may verify by now: whoever asked is told what was wrong, and asks again.
        if (entry.prepared === tried && Date.now() - entry.since > AGAIN) {
          entry.since = Date.now();
          entry.prepared = begin(entry.server);
        }
        throw error;
      });
      return { open, digest, most: (entry.server.maxContainers ?? MOST_OWN) + SHARED };
    },
    async reload(servers) {
      const named = new Set(servers.map(({ name }) => name));
      for (const name of [...entries.keys()].filter((one) => !named.has(one))) {
        entries.delete(name);
        end(name, 'it is no longer in the configuration');
      }
      const known = servers.filter(({ name }) => entries.has(name));
      const fresh = servers.filter(({ name }) => !entries.has(name));
      for (const server of fresh) {
        // From the first moment on: who asks for it waits until it is verified.
        const entry = { server, text: JSON.stringify(server), prepared: begin(server), since: Date.now() };
        entries.set(server.name, entry);
      }
      await Promise.all([
        ...known.map(renew),
        ...fresh.map(({ name }) => entries.get(name)?.prepared.catch(() => undefined)),
      ]);
    },
  };
}

function unknown(name: string): McpBuildError {
  return new McpBuildError({
    code: 'server-unknown',
    message: `The daemon has no server "${name}"`,
    input: name,
    fix: 'Add it to the configuration that `mcp-build daemon` was given.',
  });
}

export interface RunDaemon {
  readonly home: Home;
  readonly environment: Environment;
  readonly place: UnixPlace;
  readonly locked: boolean;
  readonly servers: GatewayConfig['servers'];
  readonly progress: (line: string) => void;
  readonly say: (line: string) => void;
}

export interface RunningDaemon extends Pick<Offers, 'names' | 'reload'> {
  /** Settles when every server has been verified, or refused. */
  readonly verified: Promise<void>;
  close(): Promise<void>;
}

/** Starts what servers are asked from. @throws McpBuildError `docker-unavailable`, `address-unavailable` */
export async function openDaemon(options: RunDaemon): Promise<RunningDaemon> {
  const { home, environment, place, locked, servers, progress, say } = options;
  // Minutes of locking and building would be for nothing.
  const runtime = await runtimeOf(environment);
  await runtime.facts();
  const daemonId = await idOf(home, place);
  const running: { daemon?: Daemon } = {};
  const offered = offers({
    prepare: (server) =>
      prepareServer(server, {
        home,
        environment,
        daemonId,
        locked,
        progress,
        say,
        incident(incident) {
          if (incident.kind !== 'egress-refused') return;
          const { kind, host, port } = incident;
          running.daemon?.incident(server.name, { kind, host, port });
        },
      }),
    end: (name, why) => running.daemon?.end(name, why),
    say,
  });
  const ready = Promise.withResolvers<void>();
  const find = async (name: string) => {
    await ready.promise;
    return offered.find(name);
  };
  const daemon = await serveDaemon({ place, find, say });
  running.daemon = daemon;
  // Who has the socket is the only one of this id: what carries it is left from one that was killed.
  const left = await removeOfDaemon(runtime, daemonId).catch(() => 0);
  if (left > 0) say(`removed ${left} containers that an earlier daemon left`);
  // Known before anybody is answered, verified while they wait.
  const verified = offered.reload(servers);
  ready.resolve();
  return { names: offered.names, reload: offered.reload, verified, close: () => daemon.close() };
}

/** The same each time for one state and one socket. */
async function idOf(home: Home, place: UnixPlace): Promise<string> {
  const file = join(home.root, 'daemon-id');
  let id = (await readBounded(file, 100).catch(() => Buffer.alloc(0))).toString('utf8').trim();
  if (!/^[0-9a-f]{32}$/.test(id)) {
    id = randomBytes(16).toString('hex');
    await writeAtomic(file, `${id}\n`, 0o600);
  }
  const socket = place.kind === 'path' ? place.path : '';
  return createHash('sha256').update(`${id} ${socket}`).digest('hex').slice(0, 32);
}
