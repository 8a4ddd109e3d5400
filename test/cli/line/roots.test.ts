import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Home, homeOf } from '../../../cli/line/home.ts';
import { followedRoots, forgetRoot, listRoots, updateRoot } from '../../../cli/line/roots.ts';
import { sha256 } from '../../../digest/index.ts';
import { followRoot, loadPolicy, publicGoodRepository, publicGoodRoot } from '../../../trust/index.ts';
import { startTufRepository, type TufRepository, tufKey } from '../../fakes/tuf.ts';

/** Documents that are trusted roots, and differ. */
const rootOf = (id: number) => JSON.stringify({ ...publicGoodRoot().json, note: `${id}` });
const PAST = '2026-01-01T00:00:00Z';
const NOW = new Date('2026-11-22T12:00:00Z');

let folder: string;
let home: Home;
let tuf: TufRepository;
let root: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-roots-'));
  home = homeOf({ MCP_BUILD_HOME: join(folder, 'state') });
  tuf = await startTufRepository();
  root = join(folder, 'root.json');
  await writeFile(root, tuf.first);
});
afterEach(async () => {
  await tuf.stop();
  await rm(folder, { recursive: true, force: true });
});

const update = (name = 'acme', options = {}) => updateRoot(home, name, { mirror: tuf.url, root, now: NOW, ...options });
const kept = async () => (await listRoots(home)).map(({ name, digest, version }) => ({ name, digest, version }));

describe('a TUF repository', () => {
  it('is followed to what it publishes, again and again, through a new root', async () => {
    tuf.publish({ target: rootOf(1) });
    expect(await update()).toMatchObject({ digest: sha256(rootOf(1)), version: 1, changed: true });
    expect(await update()).toMatchObject({ digest: sha256(rootOf(1)), changed: false });
    tuf.rotate();
    tuf.rotate();
    tuf.publish({ target: rootOf(2) });
    // Named once, where it is and what it began with are remembered.
    expect(await updateRoot(home, 'acme', { now: NOW })).toMatchObject({
      digest: sha256(rootOf(2)),
      version: 3,
      changed: true,
    });
    expect(await kept()).toEqual([{ name: 'acme', digest: sha256(rootOf(2)), version: 3 }]);
    expect(await readdir(join(home.root, 'roots'))).toEqual(['acme.json']);
  });

  const changes: Readonly<Record<string, readonly [string, () => void]>> = {
    'an expired timestamp': ['tuf-expired', () => tuf.publish({ target: rootOf(2), expires: { timestamp: PAST } })],
    'an expired snapshot': ['tuf-expired', () => tuf.publish({ target: rootOf(2), expires: { snapshot: PAST } })],
    'expired targets': ['tuf-expired', () => tuf.publish({ target: rootOf(2), expires: { targets: PAST } })],
    'an expired root': ['tuf-expired', () => tuf.rotate({ expires: PAST })],
    'an older timestamp': ['tuf-rollback', () => tuf.publish({ target: rootOf(2), version: 4 })],
    'a root that the old key didn’t sign': ['tuf-invalid', () => tuf.rotate({ by: [tufKey()] })],
    'metadata by another key': ['tuf-invalid', () => tuf.publish({ target: rootOf(2), signer: tufKey() })],
    'a target of another hash': [
      'tuf-invalid',
      () => {
        tuf.publish({ target: rootOf(2) });
        for (const path of tuf.files.keys()) {
          if (path.startsWith('/targets/')) tuf.files.set(path, Buffer.from(rootOf(3)));
        }
      },
    ],
    'a target that is larger than was said': [
      'tuf-too-large',
      () => tuf.publish({ target: rootOf(2), claimed: { length: 10 } }),
    ],
    'a target beyond what is read': ['tuf-too-large', () => tuf.publish({ target: 'x'.repeat(1024 * 1024 + 1) })],
    'a target that is no trusted root': ['root-invalid', () => tuf.publish({ target: '{"mediaType":"text/plain"}' })],
    'a timestamp without end': [
      'tuf-too-large',
      () => {
        tuf.files.set('/timestamp.json', Buffer.alloc(1_000_000, ' '));
      },
    ],
    'a root without end': [
      'tuf-too-large',
      () => {
        tuf.files.set('/2.root.json', Buffer.alloc(600_000, ' '));
      },
    ],
    garbage: [
      'tuf-invalid',
      () => {
        tuf.files.set('/timestamp.json', Buffer.from('<html>'));
      },
    ],
    'a timestamp that is gone': [
      'tuf-unavailable',
      () => {
        tuf.files.delete('/timestamp.json');
      },
    ],
    'a server that fails for a next root': [
      'tuf-unavailable',
      () => {
        tuf.fault = (path, response) => path === '/2.root.json' && Boolean(response.writeHead(401).end());
      },
    ],
  };
  it.each(Object.entries(changes))('is refused for %s, and what was kept stays', async (_name, [code, change]) => {
    tuf.publish({ target: rootOf(1), version: 5 });
    await update();
    const before = await readFile(join(home.root, 'roots', 'acme.json'));
    change();
    await expect(update()).rejects.toMatchObject({ code, exit: EXITS[code] ?? 3 });
    expect(await readFile(join(home.root, 'roots', 'acme.json'))).toEqual(before);
    expect(await readdir(join(home.root, 'roots'))).toEqual(['acme.json']);
    expect((await followedRoots(home)('acme'))?.json).toEqual(JSON.parse(rootOf(1)));
  });
  const EXITS: Readonly<Record<string, number>> = { 'tuf-unavailable': 5, 'root-invalid': 2 };

  it('that drips is given up', async () => {
    tuf.fault = (_path, response) => {
      response.writeHead(200).write(' ');
      return true;
    };
    const begun = performance.now();
    await expect(
      followRoot({ mirror: new URL(tuf.url), known: { root: tuf.first }, folder: join(folder, 'x'), deadline: 300 }),
    ).rejects.toMatchObject({ code: 'tuf-unavailable', exit: 5 });
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  it('of another beginning is not taken for the one that is known', async () => {
    tuf.publish({ target: rootOf(1) });
    await update();
    const other = await startTufRepository();
    try {
      other.publish({ target: rootOf(2), version: 9 });
      await writeFile(root, other.first);
      await expect(update('acme', { mirror: other.url })).rejects.toMatchObject({ code: 'root-differs', exit: 2 });
      // Nor by pointing to its mirror only.
      await expect(updateRoot(home, 'acme', { mirror: other.url, now: NOW })).rejects.toMatchObject({
        code: 'tuf-invalid',
      });
      expect(await forgetRoot(home, 'acme')).toBe(true);
      expect(await forgetRoot(home, 'acme')).toBe(false);
      expect(await update('acme', { mirror: other.url })).toMatchObject({ digest: sha256(rootOf(2)) });
    } finally {
      await other.stop();
    }
  });

  it.each([
    ['a name for a path', '../keys/x', {}, 'name-invalid'],
    ['no beginning', 'acme', { root: undefined }, 'root-unknown'],
    ['no mirror', 'acme', { mirror: undefined }, 'root-unknown'],
    ['a plain address', 'acme', { mirror: 'http://tuf.example.test/' }, 'address-invalid'],
    ['credentials in it', 'acme', { mirror: 'https://a:b@tuf.example.test/' }, 'address-invalid'],
    ['a beginning that isn’t there', 'acme', { root: '/nonexistent/root.json' }, 'file-unreadable'],
    ['another beginning for the public instance', 'public-good', {}, 'root-differs'],
  ])('is not followed with %s', async (_name, name, options, code) => {
    await expect(update(name, options)).rejects.toMatchObject({ code, exit: 2 });
    expect(tuf.seen).toEqual([]);
    expect(await listRoots(home)).toEqual([]);
  });
});

describe('the public instance', () => {
  it('is followed from what is pinned only: a mirror that signs for itself is refused', async () => {
    const { root: pinned, mirror } = publicGoodRepository();
    expect(mirror.protocol).toBe('https:');
    const { version } = (JSON.parse(pinned) as { signed: { version: number } }).signed;
    tuf.files.set(`/${version + 1}.root.json`, Buffer.from(tuf.first));
    tuf.publish({ target: rootOf(1) });
    await expect(updateRoot(home, 'public-good', { mirror: tuf.url, now: NOW })).rejects.toMatchObject({
      code: 'tuf-invalid',
      exit: 3,
    });
    expect(tuf.seen).toEqual([`/${version + 1}.root.json`]);
    expect(await followedRoots(home)('public-good')).toBeUndefined();
  });
});

describe('a policy', () => {
  const text = (name: string) => `version: 1
identities:
  ci: { issuer: https://issuer.example.test, identity: ci@example.test, root: ${JSON.stringify(name)} }
rules:
  - { name: all, images: ["*"], signatures: { by: [ci] } }
`;
  const rootIn = async (name: string) => {
    const path = join(folder, 'policy.yaml');
    await writeFile(path, text(name));
    const [signer] = (await loadPolicy(path, followedRoots(home))).rules[0]?.signature.by ?? [];
    return signer?.kind === 'identity' ? signer.root : undefined;
  };

  it('names a followed root, and never gets another one for it', async () => {
    await expect(rootIn('tuf:acme')).rejects.toMatchObject({ code: 'policy-invalid' });
    tuf.publish({ target: rootOf(1) });
    await update();
    const first = await rootIn('tuf:acme');
    expect(first?.json).toEqual(JSON.parse(rootOf(1)));
    tuf.publish({ target: rootOf(2) });
    await update();
    const second = await rootIn('tuf:acme');
    expect(second?.json).toEqual(JSON.parse(rootOf(2)));
    expect(second?.name).not.toBe(first?.name);
    await expect(rootIn('tuf:other')).rejects.toMatchObject({ code: 'policy-invalid' });
    expect((await rootIn('public-good'))?.json).toBe(publicGoodRoot().json);
  });

  it('gets the public root as it was followed, else the pinned one, and neither for one that is damaged', async () => {
    expect((await rootIn('public-good'))?.json).toBe(publicGoodRoot().json);
    tuf.publish({ target: rootOf(1) });
    await update();
    const path = join(home.root, 'roots', 'public-good.json');
    await writeFile(path, await readFile(join(home.root, 'roots', 'acme.json')));
    expect((await rootIn('public-good'))?.json).toEqual(JSON.parse(rootOf(1)));
    await writeFile(path, '{"mirror":');
    await expect(rootIn('public-good')).rejects.toMatchObject({ code: 'root-damaged', exit: 3 });
    expect(await forgetRoot(home, 'public-good')).toBe(true);
    expect((await rootIn('public-good'))?.json).toBe(publicGoodRoot().json);
  });
});
