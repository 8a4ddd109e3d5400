import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readBaseLock, recipes } from '../../builders/debian/index.ts';
import { DebianMirror } from '../fakes/debian-mirror.ts';
import { currentBases, goneDebs } from './bases.ts';

let mirror: DebianMirror;
let paths: string[];

beforeEach(async () => {
  mirror = await DebianMirror.start();
  for (const recipe of await recipes()) {
    for (const { layers } of Object.values((await readBaseLock(recipe)).platforms)) {
      for (const { kind, index, file } of layers.flatMap(({ files }) => files)) {
        const archive = index.endsWith('-security') ? 'debian-security' : 'debian';
        if (kind === 'deb') mirror.files.set(`/${archive}/${file}`, Buffer.alloc(64));
      }
    }
  }
  paths = [...mirror.files.keys()];
});

afterEach(() => mirror.close());

describe('the committed base locks', () => {
  test('are used while the mirror has all they name, and each deb is asked for once', async () => {
    expect(paths.length).toBeGreaterThan(30);
    expect(await goneDebs(mirror.environment)).toEqual([]);
    expect(mirror.requests.map(({ path }) => path).sort()).toEqual([...paths].sort());
    expect((await currentBases(mirror.environment)).environment).toEqual({});
  });

  test('are out of date when it has not', async () => {
    const dropped = [paths[3]!, paths[20]!];
    for (const path of dropped) mirror.files.delete(path);
    const gone = await goneDebs(mirror.environment);
    expect(gone.map(({ file }) => file).sort()).toEqual(dropped.map((path) => path.replace(/^\/[^/]+\//, '')).sort());
  });

  test('are not blamed for a mirror that fails, or for none', async () => {
    for (const path of paths) mirror.faults.set(path, { kind: 'status', status: 403 });
    expect(await goneDebs(mirror.environment)).toEqual([]);
    expect(await goneDebs({ MCP_BUILD_DEBIAN_MIRROR: 'http://127.0.0.1:1/debian' })).toEqual([]);
  });

  test('do not matter to who names bases', async () => {
    const environment = { ...mirror.environment, MCP_BUILD_IMAGES: '/somewhere' };
    expect((await currentBases(environment)).environment).toEqual({});
    expect(mirror.requests).toEqual([]);
  });
});
