/** Work that was given up because other work of the same pool has failed; never what is reported. */
class Cancelled extends Error {}

export interface Pool {
  /** Runs all of it, at most so many at a time; ends when everything that was begun has ended. @throws the first failure */
  each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void>;
  /** The same bytes, but cut off as soon as anything in the pool has failed. */
  watched(bytes: AsyncIterable<Uint8Array>, seen?: (length: number) => void): AsyncIterable<Uint8Array>;
}

export function openPool(parallel: number): Pool {
  let failure: { readonly error: unknown } | undefined;
  return {
    each: async (items, work) => {
      const queue = [...items];
      const worker = async (): Promise<void> => {
        for (let item = queue.shift(); item !== undefined && !failure; item = queue.shift()) {
          try {
            await work(item);
          } catch (error) {
            if (!(error instanceof Cancelled)) failure ??= { error };
          }
        }
      };
      await Promise.all(Array.from({ length: Math.max(1, Math.min(parallel, queue.length)) }, worker));
      if (failure) throw failure.error;
    },
    watched: (bytes, seen) => ({
      async *[Symbol.asyncIterator]() {
        for await (const chunk of bytes) {
          if (failure) throw new Cancelled();
          seen?.(chunk.length);
          yield chunk;
        }
      },
    }),
  };
}
