import { copy, openLayout, openRemote, parseRemoteReference } from '../../registry/index.ts';

/** One copy: `layout` is a folder whose image is called `image`, `remote` a reference with a tag. */
export interface Order {
  readonly direction: 'push' | 'pull';
  readonly layout: string;
  readonly remote: string;
}

/** In seconds: what passed, and what this process computed meanwhile, user and system. */
export interface Took {
  readonly seconds: number;
  readonly cost: number;
}

async function carryOut({ direction, layout, remote }: Order): Promise<void> {
  const folder = await openLayout(layout);
  const reference = parseRemoteReference(remote);
  const registry = openRemote(reference);
  const tag = reference.tag!;
  if (direction === 'push') await copy(folder, registry, await folder.resolve('image'), { tags: [tag] });
  else await copy(registry, folder, await registry.resolve(tag), { tags: ['image'] });
}

// A process that runs already, as a gateway or a publish does, without what a test runner puts around every import.
process.on('message', async (order: Order) => {
  const before = process.cpuUsage();
  const started = performance.now();
  await carryOut(order);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  process.send?.({ seconds, cost: (user + system) / 1e6 } satisfies Took);
});
