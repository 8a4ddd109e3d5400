import type { ReadLayers } from '../../../trust/index.ts';
import type { Job } from './job.ts';

/**
 * Servers share their base, and most registries keep a layer once: the first server that pushes a base is waited for by the others on it, which
 * then have the registry mount what is there already instead of each sending the same fifty megabytes at once.
 */
export interface Mounts {
  /** This server's repository holds its base. */
  has(job: Job): void;
  /** Runs `push`, with a repository to mount the base from where there is one. */
  after(job: Job, push: (mountFrom: string | undefined) => Promise<void>): Promise<void>;
  /** Layers that this publish has read back from the server's registry. */
  read(job: Job): ReadLayers;
}

export function mounts(): Mounts {
  const known = new Map<string, Promise<string | undefined>>();
  const read = new Map<string, ReadLayers>();
  return {
    read: ({ reference: { registry } }) => {
      const layers: ReadLayers = read.get(registry) ?? new Map();
      read.set(registry, layers);
      return layers;
    },
    has: (job) => {
      const base = baseOf(job);
      if (!known.has(base)) known.set(base, Promise.resolve(job.reference.repository));
    },
    after: async (job, push) => {
      const base = baseOf(job);
      const first = known.get(base);
      if (first) return push(await first);
      const pushing = push(undefined);
      // Where the first fails, the next one sends for itself.
      known.set(
        base,
        pushing.then(
          () => job.reference.repository,
          () => undefined,
        ),
      );
      return pushing;
    },
  };
}

/** The lowest layer of the first platform: what is shared, or isn't, together with what lies on it. */
function baseOf({ reference, folder: { lock } }: Job): string {
  const [lowest] = Object.values(lock.platforms)[0]?.layers ?? [];
  const base = lock.base.kind === 'image' ? lock.base.digest : (lowest?.output?.digest ?? lock.base.recipe);
  return `${reference.registry} ${base}`;
}
