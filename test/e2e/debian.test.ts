import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { artifactCache } from '../../builders/cache.ts';
import {
  type BaseLock,
  bakeBase,
  bakeSystem,
  fetchDeb,
  imagesFolders,
  lockSystem,
  readBaseLock,
  readRecipe,
  updateBase,
} from '../../builders/debian/index.ts';
import { mirrorOf } from '../../builders/debian/mirror.ts';
import { type Artifact, type LayerLock, PLATFORMS, type Platform } from '../../builders/index.ts';
import { type Layer, writeLayer } from '../../builders/layer.ts';
import { npm } from '../../builders/npm/index.ts';
import { isFault } from '../../errors/index.ts';
import { replacedBases } from './harness/bases.ts';
import { missing } from './harness/needs.ts';
import { root as checkout } from './harness/tree.ts';

const GOLDEN = join(checkout, 'test/fixtures/bases.json');
const environment = process.env;
const mirror = await mirrorOf({ environment }).then(
  () => undefined,
  (error: unknown) => (isFault(error) ? error.message : String(error)),
);
if (mirror !== undefined && environment.CI === 'true') throw new Error(mirror);
const reason = mirror ?? missing('root', 'unshare', 'chroot', 'tar');

describe.skipIf(reason !== undefined)(`bases from the real mirror${reason ? ` [skipped: ${reason}]` : ''}`, () => {
  let folder: string;
  const locks: Record<string, BaseLock> = {};

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-debian-'));
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  function options() {
    return { environment, cache: join(folder, 'npm'), workspace: undefined, before: undefined };
  }

  async function* fetch(artifact: Artifact): AsyncGenerator<Uint8Array> {
    yield* artifact.kind === 'npm' ? npm.fetch(artifact, options()) : fetchDeb(artifact, { environment });
  }

  function bake(layer: LayerLock, platform: Platform, below: readonly LayerLock[] = []) {
    const { open } = artifactCache(join(folder, 'cache'), fetch);
    if (layer.name === 'system') return bakeSystem(layer, platform, open, below);
    return layer.transform === 'debian/1' ? bakeBase(layer, platform, open) : npm.bake(layer, platform, open);
  }

  async function unpack(
    layer: LayerLock,
    platform: Platform,
    root: string,
    below: readonly LayerLock[] = [],
  ): Promise<Layer> {
    await mkdir(root, { recursive: true });
    const written = writeLayer(bake(layer, platform, below));
    const tar = spawn('tar', ['-xpzf', '-', '-C', root, '--numeric-owner'], { stdio: ['pipe', 'inherit', 'inherit'] });
    const exit = once(tar, 'exit');
    await pipeline(Readable.from(written.blob), tar.stdin);
    expect(await exit).toEqual([0, null]);
    return written.layer;
  }

  /** As the image's user, without network, and with nothing of this machine but its kernel. */
  function run(root: string, ...argv: readonly string[]) {
    const script =
      'mount -t tmpfs none "$1/dev" && mknod -m 666 "$1/dev/null" c 1 3 && mknod -m 666 "$1/dev/urandom" c 1 9 && root=$1 && shift && exec chroot --userspec=65532:65532 "$root" "$@"';
    return spawnSync('unshare', ['-mn', '--propagation', 'private', 'sh', '-c', script, 'sh', root, ...argv], {
      encoding: 'utf8',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: '/home/nonroot' },
    });
  }

  /** The libraries that a loader's cache lists. */
  function ldconfig(root: string, cache: string): readonly (string | undefined)[] {
    const { stdout } = spawnSync(join(root, 'usr/sbin/ldconfig'), ['-p', '-C', join(root, cache)], {
      encoding: 'utf8',
    });
    return [...stdout.matchAll(/^\t(\S+) \(/gm)].map((match) => match[1]).sort();
  }

  function layersOf(name: string, platform: Platform): readonly LayerLock[] {
    return locks[name]?.platforms[platform]?.layers ?? [];
  }

  test.each(['python313', 'node24'])('%s: the locked base can be brought up to date', async (name) => {
    const previous = await readBaseLock(name);
    const lock = await updateBase(await readRecipe(name), ['linux/amd64', 'linux/arm64'], {
      ...options(),
      previous,
      now: new Date(),
    });
    locks[name] = lock;
    const names = (base: BaseLock) => base.platforms['linux/amd64']?.layers[0]?.files.map((file) => file.name);
    expect(names(lock)).toEqual(names(previous));
    expect(JSON.stringify(lock)).not.toMatch(/https?:/);
  });

  test.each<[string, Platform, number]>([
    ['python313', 'linux/amd64', 20],
    ['python313', 'linux/arm64', 20],
    ['node24', 'linux/amd64', 4.5],
    ['node24', 'linux/arm64', 4.5],
  ])('%s for %s is small, has no shell, and is the same each time', async (name, platform, megabytes) => {
    const root = join(folder, name, platform);
    const [base] = layersOf(name, platform);
    const layer = await unpack(base!, platform, root);
    expect(layer.size).toBeLessThan(megabytes * 1_000_000);
    const again = writeLayer(bake(base!, platform));
    for await (const _ of again.blob);
    expect(await again.layer).toEqual(layer);

    const find = (...expression: string[]) => spawnSync('find', [root, ...expression], { encoding: 'utf8' }).stdout;
    expect(find('-perm', '/7000', '-not', '-path', '*/tmp')).toBe('');
    expect(find('-not', '-user', '0', '-not', '-path', '*/home/nonroot')).toBe('');
    expect(find('-not', '-type', 'd', '-regex', '.*/\\(sh\\|dash\\|bash\\|busybox\\|apt\\|dpkg\\|perl\\)')).toBe('');
    expect(spawnSync('grep', ['-rlE', '^#! ?/(usr/)?bin/(env )?(ba|da)?sh', root], { encoding: 'utf8' }).stdout).toBe(
      '',
    );
    expect(await readFile(join(root, 'usr/lib/os-release'), 'utf8')).toContain('VERSION_CODENAME=trixie');
    expect(await readFile(join(root, 'etc/ssl/certs/ca-certificates.crt'), 'utf8')).toMatch(
      /^-----BEGIN CERTIFICATE-----/,
    );
    const triplet = platform === 'linux/amd64' ? 'x86_64' : 'aarch64';
    const libc = await readFile(join(root, `usr/lib/${triplet}-linux-gnu/libc.so.6`));
    expect(libc.readUInt16LE(18)).toBe(platform === 'linux/amd64' ? 62 : 183);
  });

  const replaced = replacedBases();
  describe.skipIf(replaced !== undefined)(`committed${replaced ? ` [skipped: ${replaced}]` : ''}`, () => {
    // A new lock has new ones: MCP_BUILD_TEST_GOLDENS=write. Where one changes and the lock didn't, `debian/1` needs another number.
    test.each(['python313', 'node24'])('%s is the layer it always was', async (name) => {
      const { platforms } = await readBaseLock(name);
      const found: Record<string, string> = {};
      for (const platform of PLATFORMS) {
        const written = writeLayer(bake(platforms[platform]!.layers[0]!, platform));
        for await (const _ of written.blob);
        found[platform] = (await written.layer).diffId;
      }
      const golden = JSON.parse(await readFile(GOLDEN, 'utf8'));
      if (environment.MCP_BUILD_TEST_GOLDENS === 'write')
        await writeFile(GOLDEN, `${JSON.stringify({ ...golden, [name]: found }, null, 2)}\n`);
      else expect(found).toEqual(golden[name]);
    });
  });

  test('ldconfig finds the same libraries by itself', () => {
    const root = join(folder, 'python313/linux/amd64');
    spawnSync(join(root, 'usr/sbin/ldconfig'), ['-r', root, '-C', '/tmp/reference', '-X']);
    const ours = ldconfig(root, '/etc/ld.so.cache');
    expect(ours).toEqual(ldconfig(root, '/tmp/reference'));
    expect(ours).toContain('libssl.so.3');
  });

  test('files have the checksums that scanners read', () => {
    const root = join(folder, 'python313/linux/amd64');
    const sums = spawnSync('sh', ['-c', 'cat var/lib/dpkg/status.d/*.md5sums | md5sum --check --quiet --strict'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(sums).toMatchObject({ status: 0, stdout: '' });
  });

  test.runIf(process.arch === 'x64')('Python runs as nobody in particular, with what servers import', () => {
    const program = [
      'import ssl, sqlite3, ctypes, ctypes.util, bz2, lzma, zlib, zoneinfo, hashlib, uuid, locale, socket, asyncio, os, pwd, json, mimetypes',
      'import xml.etree.ElementTree, email, http.client, multiprocessing, decimal, concurrent.futures, unicodedata, venv, pydoc',
      "out = {'libs': [ctypes.util.find_library(n) for n in ('c', 'ssl', 'stdc++', 'nope')]}",
      "out['cas'] = len(ssl.create_default_context().get_ca_certs())",
      "out['db'] = sqlite3.connect(':memory:').execute('select 1').fetchone()[0]",
      "out['zone'] = str(zoneinfo.ZoneInfo('Europe/Berlin')); out['locale'] = locale.setlocale(locale.LC_ALL, '')",
      "out['user'] = pwd.getpwuid(os.getuid()).pw_name; out['port'] = socket.getservbyname('https')",
      "out['type'] = mimetypes.guess_type('a.webp')[0]; out['latin'] = 'é'.encode('iso-8859-15').hex()",
      "out['sh'] = os.path.exists('/bin/sh'); out['writable'] = [d for d in ('/', '/usr', '/etc', '/home') if os.access(d, os.W_OK)]",
      "out['sha'] = hashlib.new('sha3_256').name; print(json.dumps(out))",
    ].join('\n');
    const { stdout, stderr, status } = run(join(folder, 'python313/linux/amd64'), '/usr/bin/python3', '-c', program);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      libs: ['libc.so.6', 'libssl.so.3', 'libstdc++.so.6', null],
      cas: expect.any(Number),
      db: 1,
      zone: 'Europe/Berlin',
      locale: 'C.UTF-8',
      user: 'nonroot',
      port: 443,
      type: 'image/webp',
      latin: 'e9',
      sh: false,
      writable: [],
      sha: 'sha3_256',
    });
    expect(JSON.parse(stdout).cas).toBeGreaterThan(100);
  });

  test('what is added to a base finds its libraries, and ldconfig finds the same', async () => {
    const platform: Platform = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64';
    const root = join(folder, 'with-git');
    const images = await imagesFolders(environment);
    const [base] = (await readBaseLock('python313', images)).platforms[platform]!.layers;
    const names = ['git', 'libmagic1t64'];
    const layers = await lockSystem(names, [platform], { base: 'python313', now: new Date(), environment, images });
    await unpack(base!, platform, root);
    await unpack(layers[platform]!, platform, root, [base!]);
    const ours = ldconfig(root, '/etc/ld.so.cache');
    spawnSync(join(root, 'usr/sbin/ldconfig'), ['-r', root, '-C', '/tmp/reference', '-X']);
    expect(ours).toEqual(ldconfig(root, '/tmp/reference'));
    expect(ours).toEqual(expect.arrayContaining(['libcurl-gnutls.so.4', 'libssl.so.3', 'libmagic.so.1']));
    const find = "import ctypes.util; print(ctypes.util.find_library('magic'))";
    expect(run(root, '/usr/bin/python3', '-c', find)).toMatchObject({ status: 0, stdout: 'libmagic.so.1\n' });
    expect(run(root, '/usr/bin/git', '--version').stdout).toMatch(/^git version 2\./);
    // Without an address it says how it is used: every library it is linked to was found.
    expect(run(root, '/usr/lib/git-core/git-remote-https').stderr).toContain('usage: git remote-curl');
    const sums = 'cat var/lib/dpkg/status.d/*.md5sums | md5sum --check --quiet --strict';
    expect(spawnSync('sh', ['-c', sums], { cwd: root, encoding: 'utf8' })).toMatchObject({ status: 0, stdout: '' });
  });

  test.runIf(process.arch === 'x64')('Node runs on its base', async () => {
    const root = join(folder, 'node24/linux/amd64');
    const runtime = layersOf('node24', 'linux/amd64')[1];
    await unpack(runtime!, 'linux/amd64', root);
    const program = `
      const { readFileSync } = require('node:fs');
      const ca = readFileSync('/etc/ssl/certs/ca-certificates.crt');
      require('node:tls').createSecureContext({ ca });
      require('node:https').createServer;
      console.log(JSON.stringify({
        user: require('node:os').userInfo().username,
        zone: new Date(0).toLocaleString('de', { timeZone: 'Europe/Berlin' }),
        fetch: typeof fetch,
        major: process.versions.node.split('.')[0],
      }));`;
    const { stdout, stderr, status } = run(root, '/usr/local/bin/node', '-e', program);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ user: 'nonroot', zone: '1.1.1970, 01:00:00', fetch: 'function', major: '24' });
  });
});
