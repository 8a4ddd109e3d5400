import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { bakeBase } from '../../../builders/debian/index.ts';
import type { Artifact, DebArtifact, Entry, LayerLock, Platform } from '../../../builders/index.ts';
import { integrityFromHex, sha256 } from '../../../digest/index.ts';
import { type DebMember, type DebSpec, makeDeb } from '../../fakes/deb.ts';
import { makeLibrary } from './elf.ts';

const LIBRARY = makeLibrary('libfoo.so.1');

const BASE: DebSpec = {
  name: 'base-files',
  members: [
    { path: './' },
    { path: './tmp/', mode: 0o1777 },
    { path: './root/', mode: 0o700 },
    { path: './var/tmp/', mode: 0o1777 },
    { path: './var/run/' },
    { path: './var/lock/', mode: 0o1777 },
    { path: './usr/share/man/man1/x.1' },
    { path: './bin', type: 'symlink', target: 'usr/bin' },
    { path: './lib', type: 'symlink', target: 'usr/lib' },
  ],
};

interface Baked {
  readonly type: Entry['type'];
  readonly mode?: number;
  readonly target?: string;
  readonly text?: string;
  readonly owner?: string;
}

async function bake(specs: readonly DebSpec[], platform: Platform = 'linux/amd64', edit: Partial<DebArtifact> = {}) {
  const debs = new Map(specs.map((spec) => [spec.name, makeDeb(spec)]));
  const files = specs.map((spec): Artifact => {
    const deb = debs.get(spec.name)!;
    return {
      kind: 'deb',
      name: spec.name,
      version: spec.version ?? '1.0-1',
      architecture: spec.architecture ?? 'amd64',
      file: `pool/main/x/${spec.name}.deb`,
      integrity: integrityFromHex('sha256', sha256(deb).slice(7)),
      index: 'trixie',
      ...edit,
    };
  });
  const layer: LayerLock = { name: 'base', transform: 'debian/1', files };
  const found = new Map<string, Baked>();
  const opened: string[] = [];
  async function* open({ name }: Artifact): AsyncGenerator<Uint8Array> {
    opened.push(name);
    yield debs.get(name)!;
  }
  for await (const entry of bakeBase(layer, platform, open)) {
    expect(found.has(entry.path), `${entry.path} twice`).toBe(false);
    // Every folder comes before what is in it.
    const parent = entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/')));
    if (parent) expect(found.get(parent)?.type, `parent of ${entry.path}`).toBe('directory');
    found.set(entry.path, await described(entry));
  }
  return found;
}

async function described(entry: Entry): Promise<Baked> {
  switch (entry.type) {
    case 'symlink':
    case 'hardlink':
      return { type: entry.type, target: entry.target };
    case 'directory':
      return { type: entry.type, mode: entry.mode ?? 0o755, owner: `${entry.uid ?? 0}:${entry.gid ?? 0}` };
    case 'file': {
      const bytes = entry.content instanceof Uint8Array ? Buffer.from(entry.content) : await buffer(entry.content);
      expect(bytes).toHaveLength(entry.size);
      return {
        type: 'file',
        mode: entry.mode ?? 0o644,
        text: bytes.toString('latin1'),
        owner: `${entry.uid ?? 0}:${entry.gid ?? 0}`,
      };
    }
  }
}

function only(members: readonly DebMember[], more: Partial<DebSpec> = {}): readonly DebSpec[] {
  return [{ name: 'pkg', members, ...more }];
}

describe('bakeBase', () => {
  test('makes one root with /bin and /lib merged into /usr', async () => {
    const root = await bake([
      BASE,
      {
        name: 'old',
        members: [
          { path: './bin/' },
          { path: './bin/tool', content: 'tool', mode: 0o755 },
          { path: './lib/x86_64-linux-gnu/liba.so.1', type: 'symlink', target: 'liba.so.1.2' },
          { path: './lib/x86_64-linux-gnu/liba.so', type: 'symlink', target: '../../usr/share/a' },
          { path: './lib/x86_64-linux-gnu/libb.so', type: 'symlink', target: '../../bin/tool' },
          { path: './usr/bin/link', type: 'symlink', target: '/bin/tool' },
        ],
      },
    ]);
    expect(root.get('bin')).toEqual({ type: 'symlink', target: 'usr/bin' });
    expect(root.get('lib')).toEqual({ type: 'symlink', target: 'usr/lib' });
    expect(root.get('usr/bin/tool')).toMatchObject({ text: 'tool', mode: 0o755 });
    expect(root.get('usr/lib/x86_64-linux-gnu/liba.so.1')?.target).toBe('liba.so.1.2');
    expect(root.get('usr/lib/x86_64-linux-gnu/liba.so')?.target).toBe('../../share/a');
    expect(root.get('usr/lib/x86_64-linux-gnu/libb.so')?.target).toBe('../../bin/tool');
    expect(root.get('usr/bin/link')?.target).toBe('/bin/tool');
  });

  test('writes what maintainer scripts would have made, and runs none', async () => {
    const root = await bake([BASE, { name: 'tzdata', architecture: 'all', members: [] }]);
    expect(root.get('etc/passwd')?.text).toContain('nonroot:x:65532:65532:nonroot:/home/nonroot:');
    expect(root.get('etc/group')?.text).toContain('nonroot:x:65532:');
    expect(root.get('etc/nsswitch.conf')?.text).toContain('hosts: files dns\n');
    expect(root.get('home/nonroot')).toMatchObject({ type: 'directory', mode: 0o700, owner: '65532:65532' });
    expect(root.get('home')).toMatchObject({ mode: 0o755, owner: '0:0' });
    expect(root.get('tmp')?.mode).toBe(0o1777);
    expect(root.get('var/tmp')?.mode).toBe(0o1777);
    expect(root.get('root')?.mode).toBe(0o700);
    expect(root.get('var/run')).toEqual({ type: 'symlink', target: '/run' });
    expect(root.get('var/lock')).toEqual({ type: 'symlink', target: '/run/lock' });
    expect(root.get('etc/localtime')?.target).toBe('/usr/share/zoneinfo/Etc/UTC');
    expect([...root.keys()].filter((path) => /postinst|canary|python3|ssl/.test(path))).toEqual([]);
  });

  test('python3 is there where its interpreter is', async () => {
    const root = await bake([{ name: 'python3.13-minimal', members: [{ path: './usr/bin/python3.13', mode: 0o755 }] }]);
    expect(root.get('usr/bin/python3')?.target).toBe('python3.13');
  });

  test('joins the certificates in byte order, and leaves the single ones and their tool out', async () => {
    const folder = './usr/share/ca-certificates/mozilla';
    const root = await bake([
      {
        name: 'ca-certificates',
        architecture: 'all',
        members: [
          { path: `${folder}/b.crt`, content: 'B' },
          { path: `${folder}/Z.crt`, content: 'Z\n' },
          { path: `${folder}/a.crt`, content: 'A\n\n' },
          { path: './usr/sbin/update-ca-certificates', content: '#!/bin/sh\n', mode: 0o755 },
          { path: './usr/share/doc/ca-certificates/copyright', content: 'C' },
        ],
      },
    ]);
    expect(root.get('etc/ssl/certs/ca-certificates.crt')?.text).toBe('Z\nA\nB\n');
    expect(root.get('usr/lib/ssl/cert.pem')?.target).toBe('/etc/ssl/certs/ca-certificates.crt');
    expect([...root.keys()].filter((path) => /sbin|share\/ca-/.test(path))).toEqual([]);
    expect(root.has('usr/share/doc/ca-certificates/copyright')).toBe(true);
  });

  test('keeps licences and drops what only people read', async () => {
    const root = await bake(
      only([
        { path: './usr/share/doc/pkg/copyright', content: 'GPL' },
        { path: './usr/share/doc/pkg/changelog.gz' },
        { path: './usr/share/doc/pkg/examples/copyright' },
        { path: './usr/share/doc/pkg2', type: 'symlink', target: 'pkg' },
        { path: './usr/share/common-licenses/GPL-3', content: 'GPL' },
        { path: './usr/share/man/man1/pkg.1.gz' },
        { path: './usr/share/manual', content: 'not a manual page' },
        { path: './usr/share/locale/de/LC_MESSAGES/pkg.mo' },
        { path: './usr/share/lintian/overrides/pkg' },
        { path: './usr/share/bash-completion/completions/pkg' },
      ]),
    );
    expect([...root.keys()].filter((path) => path.startsWith('usr/share/'))).toEqual([
      'usr/share/doc',
      'usr/share/doc/pkg',
      'usr/share/doc/pkg/copyright',
      'usr/share/doc/pkg2',
      'usr/share/common-licenses',
      'usr/share/common-licenses/GPL-3',
      'usr/share/manual',
    ]);
  });

  test('tells scanners which package each file is of', async () => {
    const sums = `${'a'.repeat(32)}  bin/tool\n${'b'.repeat(32)}  usr/share/man/man1/tool.1\n${'c'.repeat(32)}  ../../etc/passwd\nnoise\n`;
    const root = await bake(
      only([{ path: './bin/tool', content: 'x' }], { md5sums: sums, fields: { Source: 'src (1.0)' } }),
    );
    const status = root.get('var/lib/dpkg/status.d/pkg')?.text ?? '';
    expect(status).toMatch(/^Package: pkg\nVersion: 1.0-1\nArchitecture: amd64\n/);
    expect(status).toContain('Source: src (1.0)\n');
    expect(status.endsWith(' Long text.\n')).toBe(true);
    expect(root.get('var/lib/dpkg/status.d/pkg.md5sums')?.text).toBe(`${'a'.repeat(32)}  usr/bin/tool\n`);
  });

  test("lists the platform's libraries in the loader's cache, by the link that is there", async () => {
    const members: DebMember[] = [
      { path: './usr/lib/x86_64-linux-gnu/libfoo.so.1.2.3', content: LIBRARY },
      { path: './usr/lib/x86_64-linux-gnu/libfoo.so.1', type: 'symlink', target: 'libfoo.so.1.2.3' },
      { path: './usr/lib/libbar.so.2.0', content: makeLibrary('libbar.so.2') },
      { path: './usr/lib/pkg/libplugin.so', content: makeLibrary('libplugin.so') },
      { path: './usr/lib/aarch64-linux-gnu/libfoo.so.1', content: makeLibrary('libarm.so.1', { machine: 183 }) },
    ];
    const cache = (await bake(only(members))).get('etc/ld.so.cache')?.text ?? '';
    expect(cache).toContain('libfoo.so.1\0/usr/lib/x86_64-linux-gnu/libfoo.so.1\0');
    expect(cache).toContain('libbar.so.2\0/usr/lib/libbar.so.2.0\0');
    expect(cache).not.toMatch(/plugin|libarm/);
    const arm =
      (await bake(only(members, { architecture: 'arm64' }), 'linux/arm64')).get('etc/ld.so.cache')?.text ?? '';
    expect(arm).toContain('libarm.so.1\0/usr/lib/aarch64-linux-gnu/libfoo.so.1\0');
  });

  test('drops set-uid and set-gid bits and every mode but two', async () => {
    const root = await bake(
      only([
        { path: './usr/bin/su', mode: 0o6755 },
        { path: './usr/bin/private', mode: 0o700 },
        { path: './etc/open', mode: 0o666 },
        { path: './srv/', mode: 0o2777 },
      ]),
    );
    expect(root.get('usr/bin/su')?.mode).toBe(0o755);
    expect(root.get('usr/bin/private')?.mode).toBe(0o755);
    expect(root.get('etc/open')?.mode).toBe(0o644);
    expect(root.get('srv')?.mode).toBe(0o755);
  });

  test('has what only Python needs where Python is', async () => {
    const libc: DebSpec[] = [
      {
        name: 'libc6',
        members: [
          { path: './usr/lib/x86_64-linux-gnu/gconv/EUC-JP.so' },
          { path: './usr/lib/python3.13/lib-dynload/_testcapi.cpython-313-x86_64-linux-gnu.so' },
          { path: './usr/lib/python3.13/lib-dynload/mmap.cpython-313-x86_64-linux-gnu.so' },
        ],
      },
      {
        name: 'libc-bin',
        members: [
          { path: './usr/sbin/ldconfig' },
          { path: './usr/bin/ldd' },
          { path: './usr/lib/locale/C.utf8/LC_CTYPE' },
        ],
      },
    ];
    const kept = async (specs: DebSpec[]) =>
      [...(await bake(specs)).keys()].filter((path) => /gconv|dynload\/|bin\/|LC_/.test(path));
    const both = 'usr/lib/python3.13/lib-dynload/mmap.cpython-313-x86_64-linux-gnu.so';
    expect(await kept(libc)).toEqual([both, 'usr/lib/locale/C.utf8/LC_CTYPE']);
    expect(await kept([...libc, { name: 'python3.13-minimal', members: [] }])).toEqual([
      both,
      'usr/sbin/ldconfig',
      'usr/lib/locale/C.utf8/LC_CTYPE',
      'usr/bin/python3',
    ]);
  });

  test('keeps hard links', async () => {
    const root = await bake(
      only([
        { path: './bin/a', content: 'a' },
        { path: './bin/b', type: 'hardlink', target: './bin/a' },
      ]),
    );
    expect(root.get('usr/bin/b')).toEqual({ type: 'hardlink', target: 'usr/bin/a' });
  });

  test('the same packages are the same entries', async () => {
    const specs = [BASE, ...only([{ path: './bin/a', content: 'a' }])];
    expect([...(await bake(specs))]).toEqual([...(await bake(specs))]);
  });
});

describe('a hostile package', () => {
  test.each<[string, string, DebMember[]]>([
    ['leaves the root', 'archive-unsafe', [{ path: '../etc/passwd' }]],
    ['is absolute', 'archive-unsafe', [{ path: '/etc/passwd' }]],
    ['has a device', 'archive-unsafe', [{ path: './dev/sda', type: 'device' }]],
    ['has a fifo', 'archive-unsafe', [{ path: './run/x', type: 'fifo' }]],
    ['links out of the root', 'archive-unsafe', [{ path: './a', type: 'symlink', target: '../../etc' }]],
    [
      'writes through its own link',
      'archive-unsafe',
      [{ path: './a', type: 'symlink', target: 'etc' }, { path: './a/passwd' }],
    ],
    ['has a file twice', 'archive-unsafe', [{ path: './a' }, { path: './a' }]],
    ['has a file twice after the merge', 'file-conflict', [{ path: './bin/a' }, { path: './usr/bin/a' }]],
    [
      'replaces a folder of the merge by a link',
      'file-conflict',
      [{ path: './usr/bin', type: 'symlink', target: '/tmp' }, { path: './bin/sh' }],
    ],
    [
      'hard-links what was left out',
      'file-conflict',
      [{ path: './usr/share/man/x' }, { path: './usr/bin/x', type: 'hardlink', target: './usr/share/man/x' }],
    ],
    ['brings its own accounts', 'file-conflict', [{ path: './etc/passwd', content: 'root::0:0::/:/bin/sh\n' }]],
    ['makes the home a link', 'file-conflict', [{ path: './home', type: 'symlink', target: '/tmp' }]],
    [
      'puts a link where the list of packages goes',
      'file-conflict',
      [{ path: './var/lib', type: 'symlink', target: '/tmp' }],
    ],
  ])('that %s is refused', async (_, code, members) => {
    await expect(bake(only(members))).rejects.toMatchObject({ code });
  });

  test('that has a file of another package is refused', async () => {
    const specs = [...only([{ path: './usr/bin/a' }]), { name: 'thief', members: [{ path: './bin/a' }] }];
    await expect(bake(specs)).rejects.toMatchObject({ code: 'file-conflict', input: 'thief' });
  });

  test("that writes through another package's link is refused", async () => {
    const specs = [
      ...only([{ path: './etc/a', type: 'symlink', target: '/usr' }]),
      { name: 'thief', members: [{ path: './etc/a/b' }] },
    ];
    await expect(bake(specs)).rejects.toMatchObject({ code: 'file-conflict', input: 'thief' });
  });

  test.each<[string, Partial<DebArtifact>]>([
    ['another name', { name: 'pkg', version: '2.0-1' }],
    ['another architecture', { architecture: 'arm64' }],
  ])('that says %s than the lock is refused', async (_, edit) => {
    await expect(bake(only([]), 'linux/amd64', edit)).rejects.toMatchObject({
      code: 'manifest-mismatch',
      input: 'pkg',
    });
  });

  test('that is of another platform is refused', async () => {
    await expect(bake(only([]), 'linux/arm64')).rejects.toMatchObject({ code: 'manifest-mismatch', input: 'pkg' });
  });
});
