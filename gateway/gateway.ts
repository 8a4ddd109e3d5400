import { type Bearer, bearer } from './access/bearer.ts';
import { providerKeys } from './access/keys.ts';
import { aggregate } from './aggregate/aggregate.ts';
import { BACKEND_LIMITS } from './backend.ts';
import { isLocal } from './config/address.ts';
import type { GatewayConfig, ServerConfig } from './config/parse.ts';
import { type Door, door } from './http/door.ts';
import { front, type Health, type Pages } from './http/front.ts';
import { type Guard, guard } from './http/guard.ts';
import { placesAt, sendMetadata } from './http/metadata.ts';
import { type Listening, listenOn, type TlsMaterial } from './http/serve.ts';
import type { Identity } from './identity.ts';
import { policy } from './policy/policy.ts';
import type { Refusal } from './rules.ts';
import { type Service, service } from './service.ts';
import { SESSION_LIMITS } from './sessions.ts';
import { hashToken } from './tokens.ts';
import type { OpenChannel } from './upstream/channel.ts';
import type { Observer } from './watching/observer.ts';

export interface GatewayOptions {
  readonly config: GatewayConfig;
  /** What gets an entry ready: locked, built, verified. What it gives is used for every start. */
  readonly prepare: (server: ServerConfig) => Promise<Prepared>;
  /** Tokens of `token create`, by hash, as they are now. */
  readonly tokens: () => ReadonlyMap<string, Identity>;
  readonly tls?: TlsMaterial;
  /** A client that takes nothing for so long is cut off, in milliseconds; half a minute by default. */
  readonly stalled?: number;
  /** Lets everybody in who reaches it, on addresses that others reach, too. */
  readonly anonymous: boolean;
  readonly say: (line: string) => void;
  /** Sees every call and what else happens. */
  readonly observer?: Observer;
  /** Answers what isn't about one server: see `Pages`. */
  readonly pages?: Pages;
}

export interface Prepared {
  readonly open: OpenChannel;
  /** Judges each tool as it is listed now, against what was signed. */
  readonly judge?: Refusal;
  /** Of the image that answers, where it is one; a daemon may start another than before. */
  readonly digest?: string | undefined;
}

export interface Gateway {
  readonly url: string;
  /** Starts what is new or changed and ends what is gone; everything else goes on. @throws what `prepare` throws for a server that is required */
  reload(config: GatewayConfig, tls?: TlsMaterial): Promise<void>;
  health(): Health;
  /** Each server as it stands. */
  servers(): readonly ServerState[];
  /** Ends a server until `start`, or starts it anew. @returns whether there is one of that name */
  control(name: string, action: 'stop' | 'start' | 'restart'): Promise<boolean>;
  /** Settles when every server has been prepared, or has failed to be. */
  readonly settled: Promise<void>;
  close(): Promise<void>;
}

export interface ServerState {
  readonly name: string;
  readonly state: string;
  readonly trouble: string | undefined;
  readonly digest: string | undefined;
  readonly sessions: number;
  /** Servers that run for one client each. */
  readonly containers: number;
}

interface Entry {
  /** As it stands in the configuration: what hasn't changed is left alone. */
  readonly text: string;
  readonly config: ServerConfig;
  readonly tokens: ReadonlySet<string>;
  service: Service | undefined;
  trouble: string | undefined;
  prepared: Prepared | undefined;
}

const CLOSE_GRACE = 2_000;

/** @throws McpBuildError `address-unavailable`, and what `prepare` throws for a server that is required */
export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const { say } = options;
  let config = options.config;
  let entries = new Map<string, Entry>();
  const vouched = (of: GatewayConfig) => of.oauth !== undefined || of.tls?.clientCA !== undefined;
  const unprotected =
    options.tokens().size === 0 && !vouched(config) && config.servers.some(({ tokens }) => tokens.length === 0);
  const address =
    unprotected && !isLocal(config.address) && !options.anonymous
      ? ({ ...config.address, host: '127.0.0.1' } as typeof config.address)
      : config.address;
  let guarding: Guard;
  let doorway: Door;
  let provider: { readonly text: string; readonly bearer: Bearer } | undefined;
  const places = () => placesAt(config.baseURL?.href ?? listening.url);
  /** Where nobody without a token was let in, taking the last one away must not let everybody in. */
  let guarded = false;
  const anybody = (): boolean => !guarded && (options.anonymous || isLocal(address));

  function use(next: GatewayConfig): void {
    config = next;
    guarded ||= options.tokens().size > 0 || vouched(next);
    provider = providerOf(next);
    // Without a name of its own it is reached by address, which no page can make its own: only names are checked.
    guarding = guard({ hosts: next.hosts, origins: next.origins, anyHost: next.address.kind === 'unix' });
    doorway = door({
      anybody,
      stored: options.tokens,
      configured: (name) => entries.get(name)?.tokens,
      servers: () => [...entries.keys()],
      requestsPerSecond: next.requestsPerSecond,
      oauth: next.oauth && provider && { settings: next.oauth, bearer: provider.bearer },
      certificates: next.tls?.clientCA !== undefined,
      grants: next.grants,
      places,
    });
  }

  /** With the keys it knows already, where nothing of it has changed. */
  function providerOf({ oauth }: GatewayConfig): typeof provider {
    if (!oauth) return undefined;
    const text = JSON.stringify(oauth);
    return provider?.text === text ? provider : { text, bearer: bearer(oauth, providerKeys(oauth)) };
  }

  async function start(entry: Entry): Promise<void> {
    const { config: of } = entry;
    try {
      const prepared = await options.prepare(of);
      if (entries.get(of.name) !== entry) return;
      entry.prepared = prepared;
      entry.service = service({
        name: of.name,
        open: prepared.open,
        ...(prepared.judge ? { judge: prepared.judge } : {}),
        digest: () => prepared.digest,
        rules: of.rules,
        policy: policy(of.policy),
        sessions: of.behind.kind === 'remote' && of.sessions === 'auto' ? 'per-client' : of.sessions,
        lazy: of.lazy,
        first: of.behind.kind === 'remote' ? 'legacy' : 'modern',
        limits: {
          ...BACKEND_LIMITS,
          ...SESSION_LIMITS,
          ...defined({
            concurrent: of.maxConcurrent,
            queued: of.maxQueued,
            sessions: of.maxSessions,
            own: of.maxContainers,
            forget: of.forget,
          }),
        },
        timing: { idle: of.idle, ...defined({ pingEvery: of.ping, backOff: of.reconnect }) },
        timeout: of.timeout,
        say,
        ...(options.observer ? { observer: options.observer } : {}),
      });
      everything.refresh();
    } catch (error) {
      entry.trouble = error instanceof Error ? error.message : String(error);
      say(`${of.name}: ${entry.trouble}`);
      if (of.required) throw error;
    }
  }

  async function reload(next: GatewayConfig): Promise<void> {
    const fresh: Entry[] = [];
    const after = new Map<string, Entry>();
    for (const of of next.servers) {
      const text = JSON.stringify(of);
      const before = entries.get(of.name);
      const entry =
        before?.text === text && before.trouble === undefined
          ? before
          : {
              text,
              config: of,
              tokens: new Set(of.tokens.map(hashToken)),
              service: undefined,
              trouble: undefined,
              prepared: undefined,
            };
      if (entry !== before) fresh.push(entry);
      after.set(of.name, entry);
    }
    const gone = [...entries.values()].filter((entry) => after.get(entry.config.name) !== entry);
    entries = after;
    use(next);
    await Promise.all([
      ...gone.map((entry) => entry.service?.close().catch((error: unknown) => say(String(error)))),
      ...fresh.map(start),
    ]).finally(everything.refresh);
  }

  function health(): Health {
    const states = [...entries.values()].map(({ config: of, service: running, trouble }) => {
      const state = running ? running.state() : trouble === undefined ? 'starting' : 'failing';
      const why = trouble ?? running?.trouble();
      return [of.name, { state, ...(why === undefined ? {} : { trouble: why }) }] as const;
    });
    const up = states.every(([name, { state }]) => {
      const of = entries.get(name)?.config;
      // What is asleep until it is needed is as ready as can be.
      return state === 'up' || (state === 'stopped' && (of?.lazy === true || (of?.idle ?? 0) > 0));
    });
    return { ready: up, servers: Object.fromEntries(states) };
  }

  const everything = aggregate({
    members: () => [...entries.values()].flatMap(({ service: running }) => running ?? []),
    limits: SESSION_LIMITS,
    say,
  });
  use(config);
  const handler = front({
    guard: () => guarding,
    door: () => doorway,
    service: (name) => (name === undefined ? everything : entries.get(name)?.service),
    health,
    ...(options.pages ? { pages: options.pages } : {}),
    ...(options.observer ? { observer: options.observer } : {}),
    metadata: () => {
      const { oauth, grants } = config;
      if (!oauth) return undefined;
      const of = { places: places(), servers: [...entries.keys()], oauth, grants };
      return (path, response) => sendMetadata(response, path, of);
    },
    base: () => (config.baseURL?.pathname ?? '').replace(/\/+$/, ''),
    maxBody: () => config.maxBody,
  });
  if (address !== config.address) {
    say('no token protects every server, so only this machine is listened to: make one with `mcp-build token create`');
  }
  const listening: Listening = await listenOn(address, handler, options.tls, options.stalled);
  const settled = reload(config);
  settled.catch(() => undefined);
  return {
    url: listening.url,
    settled,
    health,
    servers() {
      const states = health().servers;
      return [...entries.values()].map(({ config: { name }, service: running, prepared }) => {
        const { sessions = 0, own: containers = 0 } = running?.count() ?? {};
        const { state = 'starting', trouble } = states[name] ?? {};
        return { name, state, trouble, digest: prepared?.digest, sessions, containers };
      });
    },
    async control(name, action) {
      const common = entries.get(name)?.service?.common;
      if (!common) return false;
      if (action !== 'start') await common.hold();
      if (action !== 'stop') common.release();
      return true;
    },
    async reload(next, tls) {
      if (tls) listening.renew(tls);
      if (JSON.stringify(next.address) !== JSON.stringify(config.address)) {
        say('another "addr" counts from the next start on');
        next = { ...next, address: config.address };
      }
      await reload(next);
    },
    async close() {
      const closing = listening.close(CLOSE_GRACE);
      const running = [...entries.values()];
      entries = new Map();
      await everything.close();
      await Promise.allSettled(running.map((entry) => entry.service?.close()));
      await closing;
    },
  };
}

function defined<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
