import type { NpmConfiguration } from './configuration.ts';
import type { Packument } from './packument.ts';

/** Of documents kept in memory, in bytes of their reduced form. */
const REMEMBERED = 24 * 1024 * 1024;
/** In milliseconds; what public registries allow a cache. */
const REMEMBERED_FOR = 300_000;

export interface Memory {
  get(name: string): Packument | undefined;
  set(name: string, packument: Packument, size: number): void;
}

const memories = new WeakMap<NpmConfiguration, Memory>();

/** What this process read with a configuration; the oldest goes first when it gets too much. */
export function memoryOf(configuration: NpmConfiguration): Memory {
  const known = memories.get(configuration);
  if (known) return known;
  const entries = new Map<string, { packument: Packument; size: number; until: number }>();
  let total = 0;
  const drop = (name: string) => {
    total -= entries.get(name)?.size ?? 0;
    entries.delete(name);
  };
  const memory: Memory = {
    get(name) {
      const entry = entries.get(name);
      if (entry && entry.until > Date.now()) return entry.packument;
      drop(name);
      return undefined;
    },
    set(name, packument, size) {
      drop(name);
      entries.set(name, { packument, size, until: Date.now() + REMEMBERED_FOR });
      total += size;
      // Oldest first: a Map keeps the order of insertion.
      for (const oldest of entries.keys()) {
        if (total <= REMEMBERED || oldest === name) break;
        drop(oldest);
      }
    },
  };
  memories.set(configuration, memory);
  return memory;
}
