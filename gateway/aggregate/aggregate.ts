import type { Identity } from '../identity.ts';
import { mayUse } from '../identity.ts';
import type { Hello } from '../peer.ts';
import { type Params, textOf } from '../rpc/message.ts';
import type { Service } from '../service.ts';
import { session } from '../session.ts';
import { type SessionLimits, sessionTable } from '../sessions.ts';
import type { Follower, Subscriptions, Watcher } from '../subscriptions.ts';
import { type Board, board } from './board.ts';
import { names } from './names.ts';

export interface AggregateOptions {
  readonly members: () => readonly Service[];
  readonly limits: SessionLimits;
  readonly say: (line: string) => void;
}

/** Every server under one address, each caller seeing those that they may use. */
export interface Aggregate extends Service {
  /** The servers, or who may use them, have changed. */
  refresh(): void;
}

/** What it is called in logs: no server can have this name. */
const ALL = '*';

const CAPABILITIES = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { listChanged: true, subscribe: true },
  completions: {},
  logging: {},
} as const;

const CHANGED = ['tools', 'prompts', 'resources'].map((kind) => `notifications/${kind}/list_changed`);
/** Of one server's instructions, in characters. */
const INSTRUCTIONS = 2_000;

export function aggregate({ members, limits, say }: AggregateOptions): Aggregate {
  const sessions = sessionTable(limits);
  const boards = new Map<string, Board>();
  const followers = new Map<Follower, () => Identity>();
  const followed = new Map<Service, () => void>();
  const awaited = new Set<Service>();
  /** What servers said of themselves when they were last greeted. */
  const greeted = new Map<Service, Hello>();

  const nobody: Identity = { id: '', name: '', expires: undefined, servers: new Set(), tools: new Set() };
  const visible = (identity: Identity) => members().filter(({ name }) => mayUse(identity, name));

  function helloFor(identity: Identity): Hello {
    const parts = visible(identity).flatMap((member) => {
      const hello = member.common.current()?.hello;
      if (hello) greeted.set(member, hello);
      const text = greeted.get(member)?.instructions;
      return text === undefined ? [] : [`${member.name}: ${text.slice(0, INSTRUCTIONS)}`];
    });
    const first = 'Tools and prompts of several servers; each name begins with its server’s and two underscores.';
    return {
      generation: 'modern',
      capabilities: CAPABILITIES,
      serverInfo: { name: 'mcp-build-gateway', version: '1' },
      instructions: [first, ...parts].join('\n\n'),
    };
  }

  /** Lists are told to have changed once a server that was left out of one is there. */
  function missing(member: Service, why: string): void {
    if (awaited.has(member)) return;
    awaited.add(member);
    say(`${member.name}: left out of the lists of all servers for now: ${why}`);
    const again = setInterval(() => {
      if (members().includes(member) && !member.common.current()) return;
      clearInterval(again);
      awaited.delete(member);
      if (members().includes(member)) tellAll();
    }, 1_000).unref();
  }

  function tellAll(): void {
    for (const method of CHANGED) for (const follower of followers.keys()) follower(method);
  }

  function follow(follower: Follower, identity: () => Identity): () => void {
    followers.set(follower, identity);
    return () => void followers.delete(follower);
  }

  /** Hears of changes of each server, for all who may use it. */
  function followMembers(): void {
    const now = new Set(members());
    for (const [member, leave] of followed) {
      if (now.has(member)) continue;
      leave();
      followed.delete(member);
      greeted.delete(member);
    }
    for (const member of now) {
      if (followed.has(member)) continue;
      const heard: Follower = (method) => {
        for (const [follower, identity] of followers) if (mayUse(identity(), member.name)) follower(method);
      };
      followed.set(member, member.subscriptionsOf(nobody).follow(heard));
    }
  }

  function boardFor(identity: Identity): Board {
    return board({ members, identity: () => identity, hello: () => helloFor(identity), missing });
  }

  function subscriptionsOf(identity: Identity): Subscriptions {
    const proxies = new Map<Watcher, Map<string, Watcher>>();
    const find = (uri: string) => {
      const by = names(members().map(({ name }) => name));
      const split = by.splitUri(uri);
      const member = visible(identity).find(({ name }) => name === split?.server);
      return split && member ? { by, member, own: split.own } : undefined;
    };
    const unwatch = (watcher: Watcher, uri: string) => {
      const found = find(uri);
      const proxy = proxies.get(watcher)?.get(found?.member.name ?? '');
      if (found && proxy) found.member.subscriptionsOf(identity).unwatch(proxy, found.own);
    };
    return {
      watch(watcher, uri) {
        const found = find(uri);
        if (!found) return false;
        const { by, member, own } = found;
        const mine = proxies.get(watcher) ?? new Map<string, Watcher>();
        proxies.set(watcher, mine);
        const proxy = mine.get(member.name) ?? { deliver: (text) => watcher.deliver(here(text, member.name, by)) };
        mine.set(member.name, proxy);
        return member.subscriptionsOf(identity).watch(proxy, own);
      },
      unwatch,
      follow: (follower) => follow(follower, () => identity),
      drop(watcher) {
        for (const [name, proxy] of proxies.get(watcher) ?? []) {
          members()
            .find((member) => member.name === name)
            ?.subscriptionsOf(identity)
            .drop(proxy);
        }
        proxies.delete(watcher);
      },
      updated: () => undefined,
      changed: () => undefined,
      again: () => undefined,
    };
  }

  const common = boardFor(nobody);

  return {
    name: ALL,
    timeout: 0,
    common,
    subscriptionsOf,
    hello: async (identity) => helloFor(identity),
    async open(identity, greeting, version, direct) {
      sessions.makeRoom(false);
      const held: { session?: ReturnType<typeof session> } = {};
      const now = () => held.session?.identity ?? identity;
      const behind = board({
        members,
        identity: now,
        hello: () => helloFor(now()),
        missing,
        client: {
          greeting,
          version,
          deliver: (text) => held.session?.deliver(text),
          asked: (id) => held.session?.asked.add(id),
        },
      });
      const leave = follow((method) => held.session?.deliver(JSON.stringify({ jsonrpc: '2.0', method })), now);
      const opened = session({
        identity,
        greeting,
        version,
        backend: behind,
        own: true,
        direct,
        onClosed(gone) {
          sessions.delete(gone);
          boards.delete(gone.id);
          leave();
          void behind.close();
        },
      });
      held.session = opened;
      boards.set(opened.id, behind);
      sessions.add(opened);
      return opened;
    },
    find: sessions.find,
    // Each server's own rules are asked when it is known which one is meant.
    refuses: () => undefined,
    mirrored(identity, params) {
      const given = typeof params?.name === 'string' ? params.name : '';
      const meant = names(members().map(({ name }) => name)).split(given);
      const member = meant && visible(identity).find(({ name }) => name === meant.server);
      return member ? member.mirrored(identity, { name: meant.own }) : [];
    },
    instead: () => undefined,
    offersAll: () => true,
    offered: (_identity, tools) => [...tools],
    call: (identity, behind, _request, write, caller) =>
      (behind === common ? boardFor(identity) : behind).call(write, caller),
    state: () => 'up',
    trouble: () => undefined,
    count: sessions.count,
    refresh() {
      followMembers();
      for (const each of boards.values()) each.refresh();
      tellAll();
    },
    async close() {
      sessions.close();
    },
  };
}

/** A change of a resource, under its URI here. */
function here(text: string, server: string, by: ReturnType<typeof names>): string {
  const { params, ...rest } = JSON.parse(text) as { params: Params };
  return JSON.stringify({ ...rest, params: { ...params, uri: by.uri(server, textOf(params.uri)) } });
}
