import type { Backend } from './backend.ts';
import type { Params } from './rpc/message.ts';
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
  updated(params: Params | undefined, text: string): void;
  changed(method: string, params: Params | undefined): void;
  /** The server was started anew and knows nothing of it. */
  again(): void;
}

export type Watcher = Pick<Session, 'deliver'>;
export type Follower = (method: string, params: Params | undefined) => void;

export function subscriptions(backend: Backend): Subscriptions {
  const watched = new Map<string, Set<Watcher>>();
  const followers = new Set<Follower>();
  const tell = (method: 'resources/subscribe' | 'resources/unsubscribe', uri: string) => {
    // It says itself when the resource is unknown, but to nobody: a client that watches it hears nothing, as on any server.
    void backend
      .current()
      ?.ask(method, { uri }, 30_000)
      .catch(() => undefined);
  };
  const unwatch = (watcher: Watcher, uri: string) => {
    const watchers = watched.get(uri);
    if (!watchers?.delete(watcher) || watchers.size > 0) return;
    watched.delete(uri);
    tell('resources/unsubscribe', uri);
  };
  return {
    watch(watcher, uri) {
      const watchers = watched.get(uri);
      if (watchers) watchers.add(watcher);
      else if (watched.size >= MOST) return false;
      else {
        watched.set(uri, new Set([watcher]));
        tell('resources/subscribe', uri);
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
    updated(params, text) {
      if (typeof params?.uri !== 'string') return;
      for (const watcher of watched.get(params.uri) ?? []) watcher.deliver(text);
    },
    changed(method, params) {
      for (const follower of followers) follower(method, params);
    },
    again() {
      for (const uri of watched.keys()) tell('resources/subscribe', uri);
    },
  };
}
