import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { bakeSystem } from '../../../builders/debian/index.ts';
import type { Artifact, Entry, LayerLock, Platform } from '../../../builders/index.ts';
import { layerKey } from '../../../builders/index.ts';
import { writeLayer } from '../../../builders/layer.ts';
import { integrityFromHex, sha256 } from '../../../digest/index.ts';
import { type DebMember, type DebSpec, makeDeb } from '../../fakes/deb.ts';
import { makeLibrary } from './elf.ts';

const LIB = 'usr/lib/x86_64-linux-gnu';

const BASE: readonly DebSpec[] = [
  {
    name: 'base-files',
    members: [
      { path: './bin', type: 'symlink', target: 'usr/bin' },
      { path: './root/', mode: 0o700 },
    ],
  },
  { name: 'libc6', members: [{ path: `./${LIB}/libc.so.6`, content: makeLibrary('libc.so.6') }] },
  { name: 'python3.13-minimal', members: [{ path: './usr/bin/python3.13', mode: 0o755 }] },
];

function artifactOf(spec: DebSpec): Artifact {
  return {
    kind: 'deb',
    name: spec.name,
    version: spec.version ?? '1.0-1',
    architecture: spec.architecture ?? 'amd64',
    file: `pool/main/x/${spec.name}.deb`,
    integrity: integrityFromHex('sha256', sha256(makeDeb(spec)).slice(7)),
    index: 'trixie',
  };
}

function layersOf(specs: readonly DebSpec[]): { readonly system: LayerLock; readonly below: readonly LayerLock[] } {
  return {
    system: { name: 'system', transform: 'debian-system/1', files: specs.map(artifactOf) },
    below: [{ name: 'base', transform: 'debian/1', files: BASE.map(artifactOf) }],
  };
}

function entries(specs: readonly DebSpec[], platform: Platform = 'linux/amd64'): AsyncGenerator<Entry> {
  const { system, below } = layersOf(specs);
  return bakeSystem(system, platform, openOf(specs), below);
}

function openOf(specs: readonly DebSpec[]) {
  return async function* open({ name }: Artifact): AsyncGenerator<Uint8Array> {
    yield makeDeb([...BASE, ...specs].find((spec) => spec.name === name)!);
  };
}

async function bake(specs: readonly DebSpec[]): Promise<Map<string, Entry & { readonly text?: string }>> {
  const found = new Map<string, Entry & { readonly text?: string }>();
  for await (const entry of entries(specs)) {
    expect(found.has(entry.path), `${entry.path} twice`).toBe(false);
    const parent = entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/')));
    if (parent) expect(found.get(parent)?.type, `parent of ${entry.path}`).toBe('directory');
    if (entry.type !== 'file') found.set(entry.path, entry);
    else {
      const bytes = entry.content instanceof Uint8Array ? Buffer.from(entry.content) : await buffer(entry.content);
      found.set(entry.path, { ...entry, text: bytes.toString('latin1') });
    }
  }
  return found;
}

function tool(...members: readonly DebMember[]): readonly DebSpec[] {
  return [{ name: 'tool', members }];
}

describe('bakeSystem', () => {
  test('has the files of its packages and none of the base', async () => {
    const root = await bake(
      tool(
        { path: './bin/' },
        { path: './bin/tool', content: 'tool', mode: 0o4755 },
        { path: './root/' },
        { path: './usr/share/man/man1/tool.1' },
        { path: './etc/cron.daily/tool' },
        { path: './usr/share/doc/tool/copyright', content: 'GPL' },
      ),
    );
    expect([...root.keys()]).toEqual([
      'usr',
      'usr/bin',
      'usr/bin/tool',
      'root',
      'usr/share',
      'usr/share/doc',
      'usr/share/doc/tool',
      'usr/share/doc/tool/copyright',
      'var',
      'var/lib',
      'var/lib/dpkg',
      'var/lib/dpkg/status.d',
      'var/lib/dpkg/status.d/tool',
      'var/lib/dpkg/status.d/tool.md5sums',
      'etc',
      'etc/ld.so.cache',
    ]);
    expect(root.get('usr/bin/tool')).toMatchObject({ mode: 0o755, text: 'tool' });
    // A folder that a layer names again replaces the attributes of the one below.
    expect(root.get('root')).toMatchObject({ mode: 0o700 });
  });

  test("replaces the loader's cache by one of the libraries of both", async () => {
    const root = await bake(
      tool(
        { path: `./${LIB}/libtool.so.1.2`, content: makeLibrary('libtool.so.1') },
        { path: `./${LIB}/libtool.so.1`, type: 'symlink', target: 'libtool.so.1.2' },
      ),
    );
    const cache = root.get('etc/ld.so.cache')?.text;
    expect(cache).toContain(`libc.so.6\0/${LIB}/libc.so.6\0`);
    expect(cache).toContain(`libtool.so.1\0/${LIB}/libtool.so.1\0`);
  });

  test('makes the links of alternatives, by priority, and lists them', async () => {
    const members = [
      { path: './usr/bin/mawk', mode: 0o755 },
      { path: `./${LIB}/blas/libblas.so.3.12`, content: makeLibrary('libblas.so.3') },
      { path: `./${LIB}/blas/libblas.so.3`, type: 'symlink', target: 'libblas.so.3.12' },
    ] as const;
    const root = await bake(tool(...members));
    expect(root.get('usr/bin/awk')).toMatchObject({ type: 'symlink', target: 'mawk' });
    expect(root.get(`${LIB}/libblas.so.3`)).toMatchObject({ type: 'symlink', target: 'blas/libblas.so.3' });
    expect(root.get('etc/ld.so.cache')?.text).toContain(`libblas.so.3\0/${LIB}/libblas.so.3\0`);
    const both = await bake(tool(...members, { path: './usr/bin/gawk', mode: 0o755 }));
    expect(both.get('usr/bin/awk')).toMatchObject({ target: 'gawk' });
    const own = await bake(tool(...members, { path: './usr/bin/awk', content: 'own', mode: 0o755 }));
    expect(own.get('usr/bin/awk')).toMatchObject({ type: 'file', text: 'own' });
  });

  test('git looks at repositories whoever owns them, and other layers have no word of it', async () => {
    const git = await bake([{ name: 'git', members: [{ path: './usr/bin/git', mode: 0o755 }] }]);
    expect(git.get('etc/gitconfig')?.text).toBe('[safe]\n\tdirectory = *\n');
    expect((await bake(tool({ path: './usr/bin/tool' }))).has('etc/gitconfig')).toBe(false);
  });

  test('a package may bring a link that the base has by hand', async () => {
    const root = await bake(tool({ path: './usr/bin/python3', type: 'symlink', target: 'python3.13' }));
    expect(root.has('usr/bin/python3')).toBe(false);
  });

  test('can be written as a layer, the same each time', async () => {
    const specs = tool({ path: './usr/bin/tool', content: 'x', mode: 0o755 });
    const digests = [];
    for (let at = 0; at < 2; at++) {
      const { blob, layer } = writeLayer(entries(specs));
      for await (const _ of blob);
      digests.push((await layer).diffId);
    }
    expect(digests[0]).toBe(digests[1]);
  });
});

describe('bakeSystem refuses', () => {
  test.each<[string, DebMember]>([
    ['a file of the base', { path: './usr/bin/python3.13', content: 'evil' }],
    ['a link in its place', { path: './usr/bin/python3', type: 'symlink', target: '/tmp/evil' }],
    ['a file that the base has by hand', { path: './etc/passwd', content: 'root::0:0' }],
    ['a link in the place of such a file', { path: './etc/group', type: 'symlink', target: '/tmp/x' }],
    ['a file below a link', { path: './var/run/x' }],
    ['a link in place of a folder', { path: './usr/bin', type: 'symlink', target: '/tmp' }],
  ])('%s', async (_, member) => {
    await expect(bake(tool(member))).rejects.toMatchObject({ code: 'file-conflict', input: 'tool' });
  });

  test.each<[string, DebMember]>([
    ['a path that leaves the root', { path: '../x' }],
    ['a hard link to a file of the base', { path: './usr/bin/p', type: 'hardlink', target: './usr/bin/python3.13' }],
  ])('%s', async (_, member) => {
    await expect(bake(tool(member))).rejects.toMatchObject({ code: 'archive-unsafe' });
  });

  test('another package than the one that is locked', async () => {
    const { system, below } = layersOf(tool());
    const open = async function* () {
      yield makeDeb({ name: 'other' });
    };
    const all = Array.fromAsync(bakeSystem(system, 'linux/amd64', open, below));
    await expect(all).rejects.toMatchObject({ code: 'manifest-mismatch' });
  });

  test('a lock without a base to stand on', async () => {
    const { system } = layersOf(tool());
    const all = Array.fromAsync(bakeSystem(system, 'linux/amd64', openOf(tool()), []));
    await expect(all).rejects.toMatchObject({ code: 'lock-mismatch', exit: 4 });
  });
});

describe('the key of a layer', () => {
  const { system, below } = layersOf(tool());
  const [base] = below;

  test('of system packages names the platform and the base', () => {
    const other: LayerLock = { ...base!, files: base!.files.slice(1) };
    const runtime: LayerLock = { name: 'runtime', transform: 'node-runtime/1', files: [] };
    const key = layerKey(system, 'linux/amd64', below);
    expect(layerKey(system, 'linux/arm64', below)).not.toBe(key);
    expect(layerKey(system, 'linux/amd64', [other])).not.toBe(key);
    expect(layerKey(system, 'linux/amd64', [base!, runtime])).toBe(key);
  });

  test('of others does not depend on what is below', () => {
    const server: LayerLock = { name: 'server', transform: 'npm/1', files: [] };
    expect(layerKey(server, 'linux/amd64', below)).toBe(layerKey(server, 'linux/arm64', []));
    expect(layerKey(base!, 'linux/amd64', [])).toBe(layerKey(base!, 'linux/amd64', [system]));
  });
});
