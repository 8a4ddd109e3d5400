import { expect, test } from 'vitest';
import { bakeBytecode, bytecodeLayer, type Compiler, sourceLayer } from '../../../builders/bytecode/index.ts';
import { SOURCE_LIMIT } from '../../../builders/bytecode/selection.ts';
import type { Entry } from '../../../builders/entry.ts';
import { type LayerLock, layerKey } from '../../../builders/index.ts';
import { integrity } from '../sample-lock.ts';

const SITE = 'usr/local/lib/python3.13/dist-packages';

/** Answers in the order that `wait` decides; the byte-code names its source. */
function fake(wait: (path: string) => number = () => 0): Compiler & { readonly seen: [string, string][] } {
  const seen: [string, string][] = [];
  return {
    seen,
    parallel: 3,
    async compile(path, source) {
      const text = Buffer.from(source).toString();
      seen.push([path, text]);
      await new Promise((resolve) => setTimeout(resolve, wait(path)));
      if (text.startsWith('broken')) throw new Error(text);
      return text === 'none' ? undefined : Buffer.from(`code of ${text}`);
    },
    close: async () => undefined,
  };
}

function file(path: string, text: string): Entry {
  return { type: 'file', path: `${SITE}/${path}`, size: text.length, content: Buffer.from(text) };
}

async function bake(entries: AsyncIterable<Entry> | readonly Entry[], compiler: Compiler): Promise<[string, string][]> {
  const out: [string, string][] = [];
  const all =
    Symbol.asyncIterator in entries
      ? entries
      : (async function* () {
          yield* entries;
        })();
  for await (const entry of bakeBytecode(all, compiler)) {
    if (entry.type !== 'file') throw new Error(`${entry.path} is no file`);
    expect(entry.size).toBe((entry.content as Uint8Array).length);
    expect(entry.mode).toBe(0o644);
    out.push([entry.path, Buffer.from(entry.content as Uint8Array).toString()]);
  }
  return out;
}

test('byte-code comes in the order of its sources, whichever is compiled first', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  const compiler = fake((path) => (path.endsWith('b.py') ? 40 : 1));
  const out = await bake(
    [...names.map((name) => file(`${name}.py`, name)), { type: 'directory', path: `${SITE}/x` }],
    compiler,
  );
  expect(out).toEqual(names.map((name) => [`${SITE}/__pycache__/${name}.cpython-313.pyc`, `code of ${name}`]));
});

test('what does not compile has no byte-code, and what is no module is not compiled', async () => {
  const compiler = fake();
  const out = await bake([file('a.py', 'none'), file('b.txt', 'b'), file('c.py', 'c')], compiler);
  expect(out.map(([path]) => path)).toEqual([`${SITE}/__pycache__/c.cpython-313.pyc`]);
  expect(compiler.seen.map(([path]) => path)).toEqual([`${SITE}/a.py`, `${SITE}/c.py`]);
});

test('a source is read before the next entry is asked for: its bytes are only lent', async () => {
  const shared = Buffer.alloc(1);
  async function* lent(): AsyncGenerator<Entry> {
    for (const name of ['a', 'b', 'c']) {
      shared.write(name);
      const content =
        name === 'b'
          ? (async function* () {
              yield shared;
            })()
          : shared;
      yield { type: 'file', path: `${SITE}/${name}.py`, size: 1, content };
    }
    shared.fill('?');
  }
  const out = await bake(
    lent(),
    fake(() => 10),
  );
  expect(out.map(([, text]) => text)).toEqual(['code of a', 'code of b', 'code of c']);
});

test('what is left out is read to its end all the same: whoever gives it checks it then', async () => {
  let ends = 0;
  async function* checked(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('x');
    ends += 1;
  }
  const entries: Entry[] = [
    { type: 'file', path: `${SITE}/data.bin`, size: 1, content: checked() },
    { type: 'file', path: `${SITE}/large.py`, size: SOURCE_LIMIT + 1, content: checked() },
  ];
  const compiler = fake();
  expect(await bake(entries, compiler)).toEqual([]);
  expect(ends).toBe(2);
  expect(compiler.seen).toEqual([]);
});

test('the first that fails ends it, and nothing is left unhandled', async () => {
  const entries = ['a', 'broken b', 'broken c', 'd', 'e', 'f'].map((text, at) => file(`m${at}.py`, text));
  await expect(bake(entries, fake())).rejects.toThrow('broken b');
  await new Promise((resolve) => setTimeout(resolve, 20));
});

const deb = (name: string, version: string, architecture: string) => ({
  ...{
    kind: 'deb' as const,
    name,
    version,
    architecture,
    integrity,
    file: `pool/${name}_${architecture}.deb`,
    index: 'trixie',
  },
});
const base = (version: string, architecture = 'amd64', other = '1'): LayerLock => ({
  name: 'base',
  transform: 'debian/1',
  files: [
    deb('libc6', other, architecture),
    deb('libpython3.13-minimal', version, architecture),
    deb('python3.13-minimal', version, architecture),
  ],
});
const wheels = (name: 'dependencies' | 'server', version: string): LayerLock => ({
  name,
  transform: 'pypi/1',
  files: [
    { kind: 'wheel', name: 'pkg', version, file: `pkg-${version}-py3-none-any.whl`, integrity, index: 'default' },
  ],
});

test('a layer of byte-code is named by its sources and the interpreter, not by the platform or the rest of the base', () => {
  const layer = bytecodeLayer('dependencies');
  const key = (...below: LayerLock[]) => layerKey(layer, 'linux/amd64', below);
  const here = key(base('3.13.5-2'), wheels('dependencies', '1'));
  expect(layerKey(layer, 'linux/arm64', [base('3.13.5-2', 'arm64'), wheels('dependencies', '1')])).toBe(here);
  expect(key(base('3.13.5-2', 'amd64', '2'), wheels('dependencies', '1'))).toBe(here);
  expect(key(base('3.13.5-2+b1'), wheels('dependencies', '1'))).toBe(here);
  expect(key(base('3.13.5-3'), wheels('dependencies', '1'))).not.toBe(here);
  expect(key(base('3.13.5-2'), wheels('dependencies', '2'))).not.toBe(here);
  expect(sourceLayer(layer, [base('1'), wheels('dependencies', '1')])?.name).toBe('dependencies');
  expect(sourceLayer(layer, [base('1')])).toBeUndefined();
  expect(sourceLayer(wheels('server', '1'), [base('1')])).toBeUndefined();
});

test('a server is checked anew beside other dependencies, and its byte-code is not made anew for them', () => {
  const server = wheels('server', '1');
  const beside = (version: string) => [base('3.13.5-2'), wheels('dependencies', version)];
  expect(layerKey(server, 'linux/amd64', beside('1'))).not.toBe(layerKey(server, 'linux/amd64', beside('2')));
  const own = bytecodeLayer('server');
  expect(layerKey(own, 'linux/amd64', [...beside('1'), server])).toBe(
    layerKey(own, 'linux/amd64', [...beside('2'), server]),
  );
});
