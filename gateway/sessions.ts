import type { Identity } from './identity.ts';
import type { Session } from './session.ts';

export interface SessionLimits {
  /** Clients held; the one unheard of for longest makes room for a new one. */
  readonly sessions: number;
  /** Servers that run for one client each. */
  readonly own: number;
  /** A client unheard of for so long is forgotten, in milliseconds. */
  readonly forget: number;
}

export const SESSION_LIMITS: SessionLimits = { sessions: 10_000, own: 32, forget: 3_600_000 };

/** The clients of one address. */
export interface Sessions {
  add(session: Session): void;
  /** The session, where it is this caller's. */
  find(id: string, identity: Identity): Session | undefined;
  delete(session: Session): void;
  /** Ends those unheard of for longest, until there is room for one more. */
  makeRoom(own: boolean): void;
  all(): Iterable<Session>;
  count(): { readonly sessions: number; readonly own: number };
  /** Ends all of them. */
  close(): void;
}

export function sessionTable(limits: SessionLimits): Sessions {
  const sessions = new Map<string, Session>();
  const ownCount = () => [...sessions.values()].filter(({ own }) => own).length;

  const sweep = setInterval(
    () => {
      const before = Date.now() - limits.forget;
      for (const each of sessions.values()) {
        if (each.used >= before || each.calls.size > 0 || each.connected) continue;
        if (!each.streams.find(0)?.attached) each.close();
      }
    },
    Math.max(100, limits.forget / 20),
  );
  sweep.unref();

  return {
    add: (session) => void sessions.set(session.id, session),
    find(id, identity) {
      const found = sessions.get(id);
      // Another's session is as unknown as one that never was.
      if (found?.identity.id !== identity.id) return undefined;
      const now = Date.now();
      // In the order of their last use, to the second: moving it at every call would copy the whole map again and again.
      if (now - found.used > 1000) {
        sessions.delete(id);
        sessions.set(id, found);
      }
      found.used = now;
      found.identity = identity;
      return found;
    },
    delete: ({ id }) => void sessions.delete(id),
    makeRoom(own) {
      let [all, owned] = [sessions.size, ownCount()];
      // In the order of their last use: see `find`.
      for (const each of sessions.values()) {
        if (all < limits.sessions && (!own || owned < limits.own)) return;
        if (all < limits.sessions && !each.own) continue;
        // Somebody who waits for an answer is not abandoned.
        if (each.calls.size > 0 || each.connected) continue;
        each.close();
        all -= 1;
        if (each.own) owned -= 1;
      }
    },
    all: () => sessions.values(),
    count: () => ({ sessions: sessions.size, own: ownCount() }),
    close() {
      clearInterval(sweep);
      for (const each of [...sessions.values()]) each.close();
    },
  };
}
