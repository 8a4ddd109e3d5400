import type { Backend } from './backend.ts';
import { envelope, type Greeting, type Peer } from './peer.ts';
import { isObject, type Params } from './rpc/message.ts';
import type { Session } from './session.ts';

/** Most resources that are watched of one server for all its clients. */
const MOST = 10_000;

/** Who wants to hear of changes of the server that several share. */
export interface Subscriptions {
  /** @returns false where too much is watched already */
  watch(watcher: Watcher, uri: string): boolean;
  unwatch(watcher: Watcher, uri: string): void;
  /** Of lists that change. @returns what ends it */
  follow(follower: Follower): () => void;
  drop(watcher: Watcher): void;
  updated(params: Params | undefined): void;
  changed(method: string): void;
  /** The server was started anew and knows nothing of it. */
  again(): void;
}

export type Watcher = Pick<Session, 'deliver'>;
export type Follower = (method: string) => void;

export function subscriptions(backend: Backend, greeting: Greeting): Subscriptions {
  const watched = new Map<string, Set<Watcher>>();
  const followers = new Set<Follower>();
  /** Of a server of 2026: the requests that it tells of changes under, by resource. */
  let listening = new Map<string, number>();

  const listen = (peer: Peer, notifications: Params): number =>
    peer.request(
      (id) => {
        const params = { notifications, _meta: envelope(greeting) };
        return JSON.stringify({ jsonrpc: '2.0', id, method: 'subscriptions/listen', params });
      },
      { answer: () => undefined, fail: () => undefined, background: true },
    );

  function begin(uri: string): void {
    const peer = backend.current();
    if (peer?.hello.generation === 'modern') listening.set(uri, listen(peer, { resourceSubscriptions: [uri] }));
    // It says itself when the resource is unknown, but to nobody: a client that watches it hears nothing, as on any server.
    else void peer?.ask('resources/subscribe', { uri }, 30_000).catch(() => undefined);
  }

  function end(uri: string): void {
    const peer = backend.current();
    const id = listening.get(uri);
    listening.delete(uri);
    if (id !== undefined) peer?.cancel(id);
    else void peer?.ask('resources/unsubscribe', { uri }, 30_000).catch(() => undefined);
  }

  function unwatch(watcher: Watcher, uri: string): void {
    const watchers = watched.get(uri);
    if (!watchers?.delete(watcher) || watchers.size > 0) return;
    watched.delete(uri);
    end(uri);
  }

  return {
    watch(watcher, uri) {
      const watchers = watched.get(uri);
      if (watchers) watchers.add(watcher);
      else if (watched.size >= MOST) return false;
      else {
        watched.set(uri, new Set([watcher]));
        begin(uri);
      }
      return true;
    },
    unwatch,
    follow(follower) {
      followers.add(follower);
      return () => followers.delete(follower);
    },
    drop(watcher) {
      for (const uri of [...watched.keys()]) unwatch(watcher, uri);
    },
    updated(params) {
      const uri = params?.uri;
      if (typeof uri !== 'string') return;
      const text = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri } });
      for (const watcher of watched.get(uri) ?? []) watcher.deliver(text);
    },
    changed(method) {
      for (const follower of followers) follower(method);
    },
    again() {
      listening = new Map();
      const peer = backend.current();
      if (peer?.hello.generation === 'modern') {
        const wanted = lists(peer.hello.capabilities);
        if (Object.keys(wanted).length > 0) listen(peer, wanted);
      }
      for (const uri of watched.keys()) begin(uri);
    },
  };
}

function lists(capabilities: Params): Record<string, true> {
  const changes = (name: string) => isObject(capabilities[name]) && capabilities[name].listChanged === true;
  return {
    ...(changes('tools') ? { toolsListChanged: true } : {}),
    ...(changes('prompts') ? { promptsListChanged: true } : {}),
    ...(changes('resources') ? { resourcesListChanged: true } : {}),
  };
}
