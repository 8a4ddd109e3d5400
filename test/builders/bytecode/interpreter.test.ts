import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { interpreterLayer, libraryLayer, placeInterpreter } from '../../../builders/bytecode/index.ts';
import type { Entry } from '../../../builders/entry.ts';
import type { DebArtifact, LayerLock } from '../../../builders/index.ts';
import { integrity } from '../sample-lock.ts';

const NAMES = ['libc6', 'libexpat1', 'libpython3.13-minimal', 'libpython3.13-stdlib', 'python3.13-minimal', 'zlib1g'];
const deb = (name: string): DebArtifact => ({
  ...{ kind: 'deb', name, version: '1', architecture: 'amd64', integrity, file: `pool/${name}.deb`, index: 'trixie' },
});
const layer = (names: readonly string[]): LayerLock => ({ name: 'base', transform: 'debian/1', files: names.map(deb) });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'interpreter-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('of a base only what starts the interpreter is read, and of its sources only the standard library', () => {
  const base = layer(['tzdata', ...NAMES, 'libssl3t64']);
  expect(interpreterLayer(base).files.map(({ name }) => name)).toEqual(NAMES);
  expect(libraryLayer(base).files.map(({ name }) => name)).toEqual(['libpython3.13-minimal', 'libpython3.13-stdlib']);
  expect(() => interpreterLayer(layer(NAMES.slice(1)))).toThrow(
    expect.objectContaining({ code: 'bytecode-unavailable' }),
  );
});

const LIBRARIES = 'usr/lib/aarch64-linux-gnu';

async function* entries(loader: string): AsyncGenerator<Entry> {
  const file = (path: string): Entry => ({
    type: 'file',
    path,
    mode: 0o755,
    size: path.length,
    content: Buffer.from(path),
  });
  yield { type: 'directory', path: 'usr' };
  yield file(`${LIBRARIES}/${loader}`);
  yield { type: 'symlink', path: `${LIBRARIES}/libz.so.1`, target: 'libz.so.1.3.1' };
  yield file(`${LIBRARIES}/libz.so.1.3.1`);
  // What has no business among libraries goes nowhere.
  yield { type: 'symlink', path: `${LIBRARIES}/out`, target: '../../../../../out' };
  yield file('usr/bin/python3.13');
  yield file('usr/bin/other');
  yield file('etc/python3.13/sitecustomize.py');
  yield file('usr/lib/python3.13/encodings/__init__.py');
  yield file('usr/lib/python3.13/lib-dynload/resource.cpython-313-aarch64-linux-gnu.so');
  yield file('usr/lib/python3.13/lib-dynload/_ssl.cpython-313-aarch64-linux-gnu.so');
}

test('an interpreter is laid out for its own user alone, and started without anything of this machine', async () => {
  const root = await mkdtemp(join(folder, 'root-'));
  const made = await placeInterpreter(entries('ld-linux-aarch64.so.1'), 'linux/arm64', root);
  const files = (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  expect(files.sort()).toEqual([
    'usr/bin/python3.13',
    `${LIBRARIES}/ld-linux-aarch64.so.1`,
    `${LIBRARIES}/libz.so.1`,
    `${LIBRARIES}/libz.so.1.3.1`,
    'usr/lib/python3.13/encodings/__init__.py',
    'usr/lib/python3.13/lib-dynload/resource.cpython-313-aarch64-linux-gnu.so',
  ]);
  expect(await readlink(join(root, LIBRARIES, 'libz.so.1'))).toBe('libz.so.1.3.1');
  expect((await stat(made.program)).mode & 0o777).toBe(0o700);
  expect((await stat(join(root, 'usr/bin/python3.13'))).mode & 0o777).toBe(0o600);
  expect(await readFile(made.program, 'utf8')).toBe(`${LIBRARIES}/ld-linux-aarch64.so.1`);
  expect(Object.keys(made.environment).sort()).toEqual(['LC_ALL', 'PYTHONHASHSEED', 'PYTHONHOME']);
  expect(made.words.slice(0, 3)).toEqual(['--library-path', join(root, LIBRARIES), join(root, 'usr/bin/python3.13')]);
});

test('a base without the loader of this machine has no interpreter for it', async () => {
  const root = await mkdtemp(join(folder, 'root-'));
  await expect(placeInterpreter(entries('ld-linux-x86-64.so.2'), 'linux/arm64', root)).rejects.toMatchObject({
    code: 'bytecode-unavailable',
  });
});
