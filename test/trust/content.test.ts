import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest } from '../../digest/index.ts';
import { copy, type Descriptor, type LayoutStore, openLayout, type Store, treeOf } from '../../registry/index.ts';
import { type ReadLayers, verifyContent } from '../../trust/index.ts';
import { writeImage } from '../registry/image.ts';

describe('layers that several images share', () => {
  let folder: string;
  let first: LayoutStore;
  let second: LayoutStore;
  let image: Descriptor;
  let large: Descriptor;
  let small: Descriptor;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'content-'));
    first = await openLayout(join(folder, 'first'));
    second = await openLayout(join(folder, 'second'));
    image = await writeImage(first, [400_000, 3_000]);
    await copy(first, second, image);
    const { blobs } = await treeOf(first, image);
    large = blobs.find(({ size }) => size >= 400_000)!;
    small = blobs.find(({ size }) => size >= 3_000 && size < 400_000)!;
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** A store that notes which blobs are read. */
  const watched = (store: LayoutStore): { readonly store: Store; readonly read: Digest[] } => {
    const read: Digest[] = [];
    return {
      read,
      store: {
        ...store,
        open: (descriptor, lending) => {
          read.push(descriptor.digest);
          return store.open(descriptor, lending);
        },
      },
    };
  };

  it('are read from one repository, and asked for in the others', async () => {
    const once: ReadLayers = new Map();
    const one = watched(first);
    const other = watched(second);
    expect((await verifyContent(one.store, image, { once })).problems).toEqual([]);
    expect((await verifyContent(other.store, image, { once })).problems).toEqual([]);
    expect(one.read).toContain(large.digest);
    expect(other.read).not.toContain(large.digest);
    expect(other.read).toContain(small.digest);
  });

  it('are read once by two at the same time', async () => {
    const once: ReadLayers = new Map();
    const one = watched(first);
    const other = watched(second);
    const both = await Promise.all([
      verifyContent(one.store, image, { once }),
      verifyContent(other.store, image, { once }),
    ]);
    expect(both.flatMap(({ problems }) => problems)).toEqual([]);
    expect([...one.read, ...other.read].filter((digest) => digest === large.digest)).toHaveLength(1);
  });

  it('are a problem where a repository lacks one', async () => {
    const once: ReadLayers = new Map();
    await verifyContent(first, image, { once });
    await rm(second.pathOf(large.digest));
    expect((await verifyContent(second, image, { once })).problems).toMatchObject([{ digest: large.digest }]);
  });

  it('are read again where what was read first was damaged', async () => {
    const once: ReadLayers = new Map();
    await writeFile(first.pathOf(large.digest), Buffer.alloc(large.size));
    const other = watched(second);
    const [bad, good] = await Promise.all([
      verifyContent(first, image, { once }),
      verifyContent(other.store, image, { once }),
    ]);
    expect(bad.problems).toMatchObject([{ digest: large.digest }]);
    expect(good.problems).toEqual([]);
    expect(other.read).toContain(large.digest);
  });

  it('are read in each where nothing is said of them', async () => {
    const other = watched(second);
    await verifyContent(first, image);
    await verifyContent(other.store, image);
    expect(other.read).toContain(large.digest);
  });
});
