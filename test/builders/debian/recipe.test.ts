import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as openpgp from 'openpgp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  formatBaseLock,
  imagesFolder,
  parseBaseLock,
  readBaseLock,
  readRecipe,
  recipes,
  writeBaseLock,
} from '../../../builders/debian/index.ts';
import { readKeys } from '../../../builders/debian/recipe.ts';
import { PLATFORMS } from '../../../builders/index.ts';

describe('the recipes that come with it', () => {
  test('are these, and each is locked for every platform', async () => {
    expect(await recipes()).toEqual(['node24', 'python313']);
    for (const name of await recipes()) {
      const recipe = await readRecipe(name);
      const lock = await readBaseLock(name);
      expect(Object.keys(lock.platforms).sort()).toEqual([...PLATFORMS].sort());
      expect(Object.keys(lock.releases).sort()).toEqual(recipe.suites.map((suite) => suite.name).sort());
      for (const platform of PLATFORMS) {
        const [base, runtime] = lock.platforms[platform]?.layers ?? [];
        const files = base?.files ?? [];
        const names = files.map((file) => file.name);
        expect(names).toEqual([...names].sort());
        expect(names).toEqual(expect.arrayContaining([...recipe.packages]));
        for (const omitted of Object.keys(recipe.omit)) expect(names).not.toContain(omitted);
        for (const file of files) {
          expect(file).toMatchObject({ kind: 'deb', file: expect.stringMatching(/^pool\//), size: expect.any(Number) });
          expect(['trixie', 'trixie-updates', 'trixie-security']).toContain(file.index);
        }
        expect(runtime?.files.map(({ kind, name: npm }) => `${kind} ${npm}`)).toEqual(
          name === 'node24' ? [`npm node-linux-${platform === 'linux/amd64' ? 'x64' : 'arm64'}`] : undefined,
        );
      }
      expect(parseBaseLock(formatBaseLock(lock), name)).toEqual(lock);
    }
  });

  test('hold no shell and no package manager', async () => {
    for (const name of await recipes()) {
      for (const { layers } of Object.values((await readBaseLock(name)).platforms)) {
        const names = layers.flatMap(({ files }) => files.map((file) => file.name));
        expect(names.filter((one) => /^(?:bash|dash|busybox.*|apt|dpkg|perl.*|coreutils|debconf)$/.test(one))).toEqual(
          [],
        );
      }
    }
  });

  test('trust public keys that are valid now, and no private ones', async () => {
    const names = new Set(
      (await Promise.all((await recipes()).map((name) => readRecipe(name)))).flatMap(({ suites }) =>
        suites.flatMap(({ keys }) => keys),
      ),
    );
    const fingerprints: string[] = [];
    for (const armoredKey of await readKeys([...names].sort())) {
      const key = await openpgp.readKey({ armoredKey });
      expect(key.isPrivate()).toBe(false);
      await expect(key.getSigningKey()).resolves.toBeDefined();
      fingerprints.push(key.getFingerprint());
    }
    expect(fingerprints).toEqual([
      '04b54c3cdca79751b16bc6b5225629df75b188bd',
      '5e04a1e3223a19a20706e20f9904613d4cce68c6',
      '41587f7db8c774bccf131416762f67a0b2c39de4',
    ]);
  });
});

describe('reading', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-images-'));
    await mkdir(join(folder, 'keys'));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  test.each(['nope', '../node24', 'Node24', '', 'a/b', 'x'.repeat(100)])('there is no recipe %j', async (name) => {
    await expect(readRecipe(name, [folder])).rejects.toMatchObject({ code: 'recipe-unknown', input: name, exit: 2 });
    await expect(readBaseLock(name, [folder])).rejects.toMatchObject({ code: 'recipe-unknown', input: name, exit: 2 });
  });

  test.each([
    'packages: [a',
    'packages: [libc6]\n',
    'suites: []\npackages: [libc6]\n',
    'suites: [{name: trixie, keys: []}]\npackages: [libc6]\n',
    'suites: [{name: trixie, keys: [../../k]}]\npackages: [libc6]\n',
    'suites: [{name: a/../b, keys: [k]}]\npackages: [libc6]\n',
    'suites: [{name: trixie, keys: [k]}]\npackages: [libc6]\nomit: {debconf: ""}\n',
    'suites: [{name: trixie, keys: [k]}]\npackages: [libc6]\nscripts: [x]\n',
    'suites: &a [{name: trixie, keys: [k]}]\npackages: [libc6]\nb: *a\n',
  ])('refuses the recipe %j', async (text) => {
    await writeFile(join(folder, 'x.yaml'), text);
    await expect(readRecipe('x', [folder])).rejects.toMatchObject({ code: 'recipe-invalid' });
  });

  test.each([
    '{',
    '{}',
    '{"lockVersion":2,"recipe":"x","releases":{},"platforms":{}}',
    '{"lockVersion":1,"recipe":"x","releases":{"trixie":"today"},"platforms":{}}',
  ])('refuses the lock %s', async (text) => {
    await writeFile(join(folder, 'x.yaml'), 'suites: [{name: trixie, keys: [k]}]\npackages: [libc6]\n');
    await writeFile(join(folder, 'x.lock.json'), text);
    await expect(readBaseLock('x', [folder])).rejects.toMatchObject({ code: 'base-lock-invalid' });
  });

  test('a key that is not there makes the recipe invalid', async () => {
    await expect(readKeys(['nope'], [folder])).rejects.toMatchObject({ code: 'recipe-invalid' });
  });

  test('what is written is read again', async () => {
    const lock = await readBaseLock('node24');
    await writeBaseLock(lock, [folder]);
    expect(await readBaseLock('node24', [folder, await imagesFolder()])).toEqual(lock);
  });
});
