import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  lockSystem,
  parsePackageName,
  readRecipe,
  type SystemOptions,
  updateBase,
  writeBaseLock,
} from '../../../builders/debian/index.ts';
import type { LayerLock, Platform } from '../../../builders/index.ts';
import type { DebSpec } from '../../fakes/deb.ts';
import { DebianMirror, makeKey, type SigningKey } from '../../fakes/debian-mirror.ts';

const NOW = new Date('2026-11-22T12:00:00Z');
const LOCKED = new Date('2026-10-01T00:00:00Z');
const BOTH: readonly Platform[] = ['linux/amd64', 'linux/arm64'];

const BASE: readonly DebSpec[] = ['amd64', 'arm64'].flatMap((architecture) => [
  { name: 'libc6', version: '2.41-1', architecture, fields: { Provides: 'libc-dev' } },
  {
    name: 'tool',
    version: '1.0-1',
    architecture,
    fields: { Depends: 'libc6 (>= 2.40), libtool1, perl:any, debconf | cdebconf' },
  },
  { name: 'libtool1', version: '1.0-1', architecture, fields: { Depends: 'libc6 (>= 2.40), libc-dev' } },
  { name: 'perl', version: '5.40.1-1', architecture, fields: { Depends: 'libc6' } },
  { name: 'debconf', architecture },
  { name: 'needs-awk', architecture, fields: { Depends: 'awk' } },
  { name: 'awk', architecture },
]);

let images: string;
let mirror: DebianMirror;
let key: SigningKey;

beforeAll(async () => {
  key = await makeKey();
});

beforeEach(async () => {
  images = await mkdtemp(join(tmpdir(), 'mcp-build-images-'));
  mirror = await DebianMirror.start();
  await mkdir(join(images, 'keys'));
  await mkdir(join(images, 'system'));
  await writeFile(join(images, 'keys/main.asc'), key.publicKey);
  await writeFile(
    join(images, 'small.yaml'),
    'suites: [{name: trixie, keys: [main]}]\npackages: [libc6]\nomit: {awk: nothing is configured}\n',
  );
  await writeFile(
    join(images, 'system/omit.yaml'),
    'always: {debconf: nothing is configured}\nof: {tool: {perl: a part that is not used}}\n',
  );
  await publish(LOCKED, BASE);
  const lock = await updateBase(await readRecipe('small', [images]), BOTH, {
    ...outside(),
    cache: images,
    before: undefined,
    workspace: undefined,
    previous: undefined,
  });
  await writeBaseLock(lock, [images]);
});

afterEach(async () => {
  await mirror.close();
  await rm(images, { recursive: true, force: true });
});

function outside() {
  return { environment: mirror.environment, apt: images, images: [images], now: NOW };
}

async function publish(date: Date, packages: readonly DebSpec[]): Promise<void> {
  await mirror.publish({ name: 'trixie', date, keys: [key], packages });
}

function lock(
  names: readonly string[],
  platforms: readonly Platform[] = ['linux/amd64'],
  more: Partial<SystemOptions> = {},
) {
  return lockSystem(names, platforms, { ...outside(), base: 'small', ...more });
}

function namesOf(layer: LayerLock | undefined): string[] | undefined {
  return layer?.files.map(({ name, version }) => `${name} ${version}`);
}

describe('lockSystem', () => {
  test('locks what the base lacks, for each platform, in a layer of its own', async () => {
    const layers = await lock(['tool'], BOTH);
    expect(Object.keys(layers)).toEqual(BOTH);
    for (const platform of BOTH) {
      expect(layers[platform]).toMatchObject({ name: 'system', transform: 'debian-system/1' });
      expect(namesOf(layers[platform])).toEqual(['libtool1 1.0-1', 'tool 1.0-1']);
    }
    expect(layers['linux/arm64']?.files[0]).toMatchObject({
      kind: 'deb',
      architecture: 'arm64',
      index: 'trixie',
      uploaded: LOCKED.toISOString(),
    });
    expect(JSON.stringify(layers)).not.toContain('127.0.0.1');
  });

  test('what is left out for another package, or by the recipe of the base, is there for who needs it or asks for it', async () => {
    expect(namesOf((await lock(['tool', 'perl']))['linux/amd64'])).toEqual([
      'libtool1 1.0-1',
      'perl 5.40.1-1',
      'tool 1.0-1',
    ]);
    expect(namesOf((await lock(['debconf']))['linux/amd64'])).toEqual(['debconf 1.0-1']);
    expect(namesOf((await lock(['needs-awk']))['linux/amd64'])).toEqual(['awk 1.0-1', 'needs-awk 1.0-1']);
  });

  test('adds no layer where the base has it all', async () => {
    expect(await lock(['libc6'], BOTH)).toEqual({});
  });

  test('a package that stays the same keeps its date', async () => {
    const before = (await lock(['tool']))['linux/amd64']!.files;
    await publish(
      NOW,
      BASE.map((spec) => (spec.name === 'libtool1' ? { ...spec, version: '1.1-1' } : spec)),
    );
    const after = (await lock(['tool'], ['linux/amd64'], { previous: { 'linux/amd64': before } }))['linux/amd64']!
      .files;
    expect(after.map(({ name, version, uploaded }) => [name, version, uploaded])).toEqual([
      ['libtool1', '1.1-1', NOW.toISOString()],
      ['tool', '1.0-1', LOCKED.toISOString()],
    ]);
  });

  test('reads no index older than the one the base was locked from', async () => {
    await publish(new Date(LOCKED.getTime() - 1000), BASE);
    await expect(lock(['tool'])).rejects.toMatchObject({ code: 'index-rollback', input: 'trixie' });
  });

  test('an index that nobody trusted signed is refused', async () => {
    await mirror.publish({ name: 'trixie', date: NOW, keys: [await makeKey()], packages: BASE });
    await expect(lock(['tool'])).rejects.toMatchObject({ code: 'index-signature' });
  });

  test('a base that is too old for the package is not mixed with a newer one', async () => {
    await publish(NOW, [
      { name: 'libc6', version: '2.41-2' },
      { name: 'tool', fields: { Depends: 'libc6 (>= 2.41-2)' } },
    ]);
    await expect(lock(['tool'])).rejects.toMatchObject({ code: 'dependency-unmet', input: 'tool' });
  });

  test('an unknown package, and a base without a lock, are named', async () => {
    await expect(lock(['nope'])).rejects.toMatchObject({ code: 'package-not-in-suite', input: 'nope' });
    await rm(join(images, 'small.lock.json'));
    await expect(lock(['tool'])).rejects.toMatchObject({ code: 'base-not-locked', input: 'small', exit: 2 });
  });
});

test.each(['git', 'libstdc++6', 'g++', 'python3.13-minimal'])('%s is the name of a package', (name) => {
  expect(parsePackageName(name)).toBe(name);
});

test.each(['', 'Git', '-y', '../git', 'git=1', 'git ripgrep', 'a', 'g\n'])('%j is not', (name) => {
  expect(() => parsePackageName(name)).toThrow(expect.objectContaining({ code: 'package-name-invalid', exit: 2 }));
});
