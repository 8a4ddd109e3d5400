import {
  appendFile,
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { checkBackup, openSnapshot } from '../../../../cli/line/backup/check.ts';
import { configPart, type Part, statePart, workspacePart } from '../../../../cli/line/backup/parts.ts';
import { type Place, placeOf, readList, snapshotIds } from '../../../../cli/line/backup/place.ts';
import { type RestoreOptions, restoreBackup } from '../../../../cli/line/backup/restore.ts';
import { decrypterFor, openIdentity, readIdentities } from '../../../../cli/line/backup/seal.ts';
import { type TakeOptions, takeBackup } from '../../../../cli/line/backup/take.ts';
import { type Home, homeOf } from '../../../../cli/line/home.ts';
import { sha256 } from '../../../../digest/index.ts';
import { artifactManifest, EMPTY_CONFIG, imageManifest, MEDIA, openLayout } from '../../../../registry/index.ts';

let root: string;
let home: Home;
let place: Place;
let environment: Record<string, string>;
let identity: string;
let recipient: string;

beforeAll(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
});

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'backup-'));
  environment = { MCP_BUILD_HOME: join(root, 'home'), XDG_CONFIG_HOME: join(root, 'config') };
  home = homeOf(environment);
  place = placeOf(join(root, 'place'));
  await file('home/keys/mcp-build.key', 'a private key');
  await chmod(join(root, 'home/keys/mcp-build.key'), 0o600);
  await file('home/locks/server/image.lock.json', '{}');
  await file('home/cache/artifacts/aa', 'only a download');
  await file('home/audit/log.jsonl', '{"line":1}\n');
  await file('config/mcp-build/policy.yaml', 'version: 1\n');
  await file('work/mcp-build.yaml', 'servers: {}\n');
  await file('work/lockfiles/server/package-lock.json', '{"lockfileVersion":3}\n');
  await file('work/node_modules/x.js', 'not ours');
  await file('volume/notes.db', Buffer.alloc(300_000, 7));
  await file('volume/deep/er/file', 'x');
  await symlink('../notes.db', join(root, 'volume/deep/link'));
  await putImage('server:1.0', 'layer one');
});

afterEach(() => rm(root, { recursive: true, force: true }));

async function file(path: string, data: string | Buffer): Promise<void> {
  await mkdir(join(root, path, '..'), { recursive: true });
  await writeFile(join(root, path), data);
}

/** An image of one layer with something that is said about it. */
async function putImage(tag: string, text: string): Promise<void> {
  const store = await openLayout(home.store);
  const layer = await store.ingest([Buffer.from(text)] as never, MEDIA.layer);
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }),
  );
  const configured = await store.ingest([config] as never, MEDIA.config);
  const image = imageManifest({ config: configured, layers: [layer] });
  const root = await store.writeManifest(image.bytes, image.descriptor.mediaType);
  await store.tag(tag, root);
  await store.write(EMPTY_CONFIG.descriptor, [EMPTY_CONFIG.bytes] as never);
  const said = await store.ingest([Buffer.from(`signed: ${text}`)] as never, 'application/json');
  const referrer = artifactManifest({ artifactType: 'application/x-test', layers: [said], subject: root });
  await store.writeManifest(referrer.bytes, referrer.descriptor.mediaType);
}

function parts(): readonly Part[] {
  const volume = join(root, 'volume');
  return [statePart(home), configPart(environment), workspacePart(join(root, 'work')), { name: volume, path: volume }];
}

function take(options: Partial<TakeOptions> = {}) {
  return takeBackup(place, {
    home,
    parts: parts(),
    recipients: [recipient],
    passphrase: async () => 'correct horse',
    images: true,
    program: 'test',
    now: new Date('2026-11-20T10:00:00Z'),
    ...options,
  });
}

async function opener() {
  return decrypterFor([identity]);
}

async function restore(options: Partial<RestoreOptions> = {}) {
  const decrypter = await opener();
  return restoreBackup(place, await openSnapshot(place, undefined, decrypter), {
    home,
    decrypter,
    images: true,
    replace: false,
    target: (part, path) => (part === 'state' ? home.root : path),
    ...options,
  });
}

/** Every file with its bytes, rights and times; caches and what a backup makes aside. */
async function tree(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    const path = join(entry.parentPath, entry.name);
    const stat = await lstat(path);
    const said = entry.isSymbolicLink()
      ? `-> ${await readlink(path)}`
      : entry.isFile()
        ? `${(stat.mode & 0o7777).toString(8)} ${Math.floor(stat.mtimeMs)} ${sha256(await readFile(path))}`
        : (stat.mode & 0o7777).toString(8);
    found[path.slice(root.length)] = said;
  }
  return found;
}

async function everything(): Promise<Record<string, string>> {
  const all = {
    ...(await tree(join(root, 'home/keys'))),
    ...(await tree(join(root, 'home/locks'))),
    ...(await tree(join(root, 'home/audit'))),
    ...(await tree(join(root, 'config'))),
    ...(await tree(join(root, 'work/lockfiles'))),
    ...(await tree(join(root, 'volume'))),
  };
  const store = await openLayout(home.store);
  for (const { tag, descriptor } of await store.list()) {
    all[`image ${tag}`] = `${descriptor.digest} ${(await store.referrers(descriptor.digest)).map((one) => one.digest)}`;
  }
  return all;
}

const losses: Record<string, readonly string[]> = {
  'the state folder': ['home'],
  'the images': ['home/store'],
  'the volumes': ['volume'],
  'the keys': ['home/keys'],
  'the configuration': ['config/mcp-build'],
  'the workspace': ['work'],
  everything: ['home', 'config', 'work', 'volume'],
};

describe('backup and restore', () => {
  test.each(Object.entries(losses))('brings back %s', async (_, lost) => {
    const before = await everything();
    await take();
    for (const path of lost) await rm(join(root, path), { recursive: true, force: true });
    await restore();
    expect(await everything()).toEqual(before);
  });

  test('leaves out downloads and what is not ours in a workspace', async () => {
    await take();
    await rm(join(root, 'home'), { recursive: true });
    await rm(join(root, 'work'), { recursive: true });
    await restore({ replace: true });
    await expect(lstat(join(root, 'home/cache'))).rejects.toThrow('ENOENT');
    await expect(lstat(join(root, 'work/node_modules'))).rejects.toThrow('ENOENT');
  });

  test('writes nothing again that has not changed', async () => {
    const first = await take();
    expect(first.written).toBe(4);
    const second = await take({ now: new Date('2026-11-21T10:00:00Z') });
    expect(second).toMatchObject({ written: 0, bytes: 0, images: 1, archives: 4 });
    // The same size and time, as a careful intruder would leave them.
    const notes = join(root, 'volume/notes.db');
    const { atime, mtime } = await lstat(notes);
    await writeFile(notes, Buffer.alloc(300_000, 8));
    await utimes(notes, atime, mtime);
    expect((await take({ now: new Date('2026-11-22T10:00:00Z') })).written).toBe(1);
  });

  test('reads nothing secret without the identity, and opens with the right one only', async () => {
    await take({ recipients: [] });
    for (const name of await readdir(place.archives)) {
      expect((await readFile(join(place.archives, name))).subarray(0, 21).toString()).toBe('age-encryption.org/v1');
    }
    const sealed = await readFile(place.identity);
    await expect(openIdentity(sealed, 'wrong', place.identity)).rejects.toMatchObject({ code: 'passphrase-wrong' });
    const own = await decrypterFor([await openIdentity(sealed, 'correct horse', place.identity)]);
    expect((await checkBackup(place, undefined, own)).faults).toEqual([]);
    const stranger = await decrypterFor([await generateX25519Identity()]);
    await expect(openSnapshot(place, undefined, stranger)).rejects.toMatchObject({ code: 'backup-not-yours' });
  });

  test('takes recipients and a key file of age, and remembers them', async () => {
    await take();
    const asked = () => Promise.reject(new Error('asked'));
    await take({ recipients: [], now: new Date('2026-11-21T10:00:00Z'), passphrase: asked });
    const key = join(root, 'key.txt');
    await writeFile(key, `# created: today\n# public key: ${recipient}\n${identity}\n`);
    const checked = await checkBackup(place, undefined, await decrypterFor(await readIdentities(key)));
    expect(checked).toMatchObject({ faults: [], decrypted: true, archives: 4 });
  });

  test('does not encrypt for a recipient that somebody else put into the place', async () => {
    await take({ recipients: [] });
    await rm(join(home.root, 'backups.json'));
    await expect(take({ recipients: [] })).rejects.toMatchObject({ code: 'backup-recipient-unknown' });
  });

  test('refuses a backup that is not the one that was made', async () => {
    const { digest } = await take();
    const decrypter = await opener();
    await expect(openSnapshot(place, undefined, decrypter, digest)).resolves.toMatchObject({ format: 1 });
    await expect(openSnapshot(place, undefined, decrypter, sha256('another'))).rejects.toMatchObject({
      code: 'backup-digest',
      exit: 3,
    });
  });

  test('has the newest last, among those of one second, too', async () => {
    const taken: string[] = [];
    for (const at of [1, 9, 10, 16, 99, 100, 255, 256, 999])
      taken.push((await take({ now: new Date(Date.UTC(2026, 10, 21, 10, 0, 0, at)) })).id);
    expect(await snapshotIds(place)).toEqual(taken);
  });

  test('keeps as many as it should, and what they need', async () => {
    await take();
    await putImage('server:2.0', 'layer two');
    await file('home/keys/second.key', 'another');
    await take({ now: new Date('2026-11-21T10:00:00Z') });
    await (await openLayout(home.store)).untag('server:1.0');
    const third = await take({ now: new Date('2026-11-22T10:00:00Z'), keep: { last: 1 } });
    expect(third.dropped).toHaveLength(2);
    expect(await snapshotIds(place)).toEqual([third.id]);
    expect(await readdir(place.archives)).toHaveLength(4);
    const images = await openLayout(place.images);
    expect((await images.list()).map(({ tag }) => tag)).toEqual([`${third.id}/server:2.0`]);
    expect((await checkBackup(place, undefined, await opener())).faults).toEqual([]);
  });

  test('changes nothing where something is in the way', async () => {
    await take();
    await file('config/mcp-build/policy.yaml', 'version: 2\n');
    const before = await everything();
    await rm(join(root, 'volume'), { recursive: true });
    await expect(restore()).rejects.toMatchObject({ code: 'restore-exists' });
    await expect(lstat(join(root, 'volume'))).rejects.toThrow('ENOENT');
    for (const path of Object.keys(before)) if (path.startsWith('/volume')) delete before[path];
    expect(await everything()).toEqual(before);
    const left = await readdir(root, { recursive: true });
    expect(left.filter((name) => name.includes('.tmp') || name.includes('before-restore'))).toEqual([]);
  });

  test('moves aside what is in the way when told to', async () => {
    await take();
    await writeFile(join(root, 'home/keys/mcp-build.key'), 'a newer key');
    const { aside } = await restore({ replace: true, images: false });
    const kept = aside.find((path) => path.endsWith('-keys'))!;
    expect(await readFile(join(kept, 'mcp-build.key'), 'utf8')).toBe('a newer key');
    expect(await readFile(join(root, 'home/keys/mcp-build.key'), 'utf8')).toBe('a private key');
  });

  test('is consistent while files are written', async () => {
    const log = join(root, 'home/audit/log.jsonl');
    let going = true;
    const writer = (async () => {
      for (let line = 2; going; line++) {
        await appendFile(log, `{"line":${line}}\n`);
        // As every file of ours is written: whole, under another name, renamed.
        await writeFile(join(root, 'home/keys/new.tmp'), `key ${line}`.padEnd(2000, '.'));
        await rename(join(root, 'home/keys/new.tmp'), join(root, 'home/keys/rotating.key'));
        await setTimeout(1);
      }
    })();
    for (let day = 10; day < 20; day++) await take({ now: new Date(`2026-11-${day}T10:00:00Z`) });
    going = false;
    await writer;
    for (const id of await snapshotIds(place)) {
      expect((await checkBackup(place, id, await opener())).faults).toEqual([]);
    }
    await rm(join(root, 'home'), { recursive: true });
    await restore({ images: false, target: (part) => (part === 'state' ? home.root : undefined) });
    const lines = (await readFile(log, 'utf8')).split('\n').slice(0, -1);
    expect(lines.map((line) => (JSON.parse(line) as { line: number }).line)).toEqual(lines.map((_, at) => at + 1));
    expect(await readFile(join(root, 'home/keys/rotating.key'), 'utf8')).toHaveLength(2000);
  });

  test('an interrupted backup is none, and the next one finishes', async () => {
    await take();
    await rm(join(place.snapshots, `${(await snapshotIds(place))[0]}.json`));
    await expect(snapshotIds(place)).rejects.toMatchObject({ code: 'backup-missing' });
    const next = await take({ now: new Date('2026-11-21T10:00:00Z') });
    expect((await checkBackup(place, next.id, await opener())).faults).toEqual([]);
  });
});

describe('a damaged backup', () => {
  /** Every file of the backup whose bytes matter, flipped in turn at its start, in the middle and at its end. */
  test('is found and named, whichever byte it is, and nothing is restored from it', async () => {
    await take();
    const decrypter = await opener();
    const list = await readList(place, (await snapshotIds(place))[0]!);
    const files = (await readdir(place.root, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile() && entry.name !== 'identity.age' && entry.name !== 'oci-layout')
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.length).toBeGreaterThan(10);
    let flips = 0;
    for (const path of files) {
      const good = await readFile(path);
      for (const at of new Set([0, Math.floor(good.length / 2), good.length - 1])) {
        const bad = Buffer.from(good);
        bad[at]! ^= 0x20;
        await writeFile(path, bad);
        const { faults } = await checkBackup(place, list.id, decrypter);
        const named = faults.some(({ input, message }) => `${input} ${message}`.includes(path.split('/').at(-1)!));
        if (faults.length === 0) {
          // Only where the meaning is the same: space in JSON, or an annotation that nobody reads.
          expect(path).toMatch(/\.json$/);
          expect(await openSnapshot(place, list.id, decrypter)).toEqual(list);
        } else {
          expect(named, `${path} at ${at}: ${JSON.stringify(faults)}`).toBe(true);
          flips += 1;
        }
      }
      await writeFile(path, good);
    }
    expect(flips).toBeGreaterThan(files.length * 2);
    expect((await checkBackup(place, list.id, decrypter)).faults).toEqual([]);
  }, 120_000);

  test.each(['cut', 'lengthened', 'missing'])('is found where an archive is %s', async (how) => {
    await take();
    const path = join(place.archives, (await readdir(place.archives))[0]!);
    const good = await readFile(path);
    if (how === 'missing') await rm(path);
    else await writeFile(path, how === 'cut' ? good.subarray(0, -1) : Buffer.concat([good, Buffer.from('x')]));
    const before = await everything();
    for (const lost of ['config/mcp-build', 'volume']) await rm(join(root, lost), { recursive: true });
    await expect(restore({ replace: true })).rejects.toMatchObject({ code: 'backup-corrupt', input: path });
    await expect(lstat(join(root, 'volume'))).rejects.toThrow('ENOENT');
    expect((await everything())['/home/keys/mcp-build.key']).toBe(before['/home/keys/mcp-build.key']);
    expect((await readdir(root)).sort()).toEqual(['config', 'home', 'place', 'work']);
    expect((await checkBackup(place, undefined)).faults).toMatchObject([{ code: 'backup-corrupt', input: path }]);
  });

  test('that was sealed by somebody else is not unpacked out of its folder', async () => {
    const { sealedBytes, sealFor } = await import('../../../../cli/line/backup/seal.ts');
    const { unpack } = await import('../../../../cli/line/backup/unpack.ts');
    const { Header } = await import('tar');
    const { zstdCompressSync } = await import('node:zlib');
    for (const path of ['../evil', '/evil', 'a/../../evil']) {
      const block = Buffer.alloc(512);
      new Header({ path, type: 'File', size: 0, mode: 0o644 }).encode(block);
      const sealed = await sealedBytes(
        await sealFor([recipient]),
        zstdCompressSync(Buffer.concat([block, Buffer.alloc(1024)])),
      );
      const archive = join(root, 'evil.age');
      await writeFile(archive, sealed);
      const source = { file: archive, digest: sha256(sealed), size: sealed.length };
      await mkdir(join(root, 'into'), { recursive: true });
      await expect(unpack(source, await decrypterFor([identity]), join(root, 'into'))).rejects.toMatchObject({
        code: 'backup-corrupt',
      });
      await expect(lstat(join(root, 'evil'))).rejects.toThrow('ENOENT');
    }
  });
});
