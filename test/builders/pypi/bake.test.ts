import { describe, expect, test } from 'vitest';
import type { LayerLock, WheelArtifact } from '../../../builders/lock.ts';
import { pypi, startupHooks } from '../../../builders/pypi/index.ts';
import { integrityFromHex, sha256 } from '../../../digest/index.ts';
import { recordLine, type Wheel, type WheelRecipe, wheel, zip } from './wheel.ts';

const SITE = 'usr/local/lib/python3.13/dist-packages';

interface Baked {
  readonly mode: number | undefined;
  readonly text: string;
}

function artifact(made: Wheel, name: string, version: string): WheelArtifact {
  return {
    kind: 'wheel',
    name,
    version,
    file: made.file,
    integrity: integrityFromHex('sha256', made.sha256),
    index: 'default',
  };
}

async function bake(...made: readonly (readonly [Wheel, string, string])[]): Promise<Map<string, Baked>> {
  const bytes = new Map(made.map(([{ file, bytes: content }]) => [file, content]));
  const layer: LayerLock = {
    name: 'dependencies',
    transform: 'pypi/1',
    files: made.map(([one, name, version]) => artifact(one, name, version)),
  };
  const out = new Map<string, Baked>();
  for await (const entry of pypi.bake(layer, 'linux/amd64', async function* (file) {
    yield bytes.get(file.file)!;
  })) {
    if (entry.type !== 'file') throw new Error(`${entry.path} is no file`);
    const parts: Buffer[] = [];
    if (entry.content instanceof Uint8Array) parts.push(Buffer.from(entry.content));
    else for await (const part of entry.content) parts.push(Buffer.from(part));
    const content = Buffer.concat(parts);
    expect(content.length).toBe(entry.size);
    expect(out.has(entry.path)).toBe(false);
    out.set(entry.path, { mode: entry.mode, text: content.toString('latin1') });
  }
  return out;
}

const one = (recipe: Partial<WheelRecipe>) => {
  const full = { name: 'pkg', version: '1.0', ...recipe };
  return bake([wheel(full), full.name, full.version]);
};
const refused = (code: string) => ({ code });

describe('installing wheels', () => {
  test('every part goes where the format says', async () => {
    const out = await one({
      files: {
        'pkg/__init__.py': 'x = 1\n',
        'pkg/native.so': Buffer.alloc(100, 7),
        '<data>/scripts/tool': '#!python -E\nprint(1)\n',
        '<data>/scripts/shell': '#!/bin/sh\n',
        '<data>/data/share/doc/pkg.txt': 'doc',
        '<data>/headers/pkg.h': 'h',
        '<data>/purelib/pure.py': 'p',
        '<data>/platlib/plat.py': 'q',
      },
      modes: { 'pkg/native.so': 0o755 },
      scripts: { 'mcp-pkg': 'pkg:main' },
    });
    const paths = [...out.keys()];
    expect(paths).toEqual([
      `${SITE}/pkg/__init__.py`,
      `${SITE}/pkg/native.so`,
      'usr/local/bin/tool',
      'usr/local/bin/shell',
      'usr/local/share/doc/pkg.txt',
      'usr/local/include/python3.13/pkg/pkg.h',
      `${SITE}/pure.py`,
      `${SITE}/plat.py`,
      `${SITE}/pkg-1.0.dist-info/METADATA`,
      `${SITE}/pkg-1.0.dist-info/WHEEL`,
      `${SITE}/pkg-1.0.dist-info/entry_points.txt`,
      'usr/local/bin/mcp-pkg',
      `${SITE}/pkg-1.0.dist-info/INSTALLER`,
      `${SITE}/pkg-1.0.dist-info/RECORD`,
    ]);
    expect(out.get('usr/local/bin/tool')).toEqual({ mode: 0o755, text: '#!/usr/bin/python3.13 -E\nprint(1)\n' });
    expect(out.get('usr/local/bin/shell')).toEqual({ mode: 0o755, text: '#!/bin/sh\n' });
    expect(out.get(`${SITE}/pkg/native.so`)?.mode).toBe(0o755);
    expect(out.get(`${SITE}/pkg/__init__.py`)?.mode).toBe(0o644);
    expect(out.get('usr/local/bin/mcp-pkg')?.mode).toBe(0o755);
    const record = out.get(`${SITE}/pkg-1.0.dist-info/RECORD`)!.text.split('\n');
    expect(record).toContain(recordLine('../../../bin/tool', Buffer.from('#!/usr/bin/python3.13 -E\nprint(1)\n')));
    expect(record).toContain(recordLine('../../../share/doc/pkg.txt', Buffer.from('doc')));
    expect(record).toContain('pkg-1.0.dist-info/RECORD,,');
    expect(record.length - 1).toBe(paths.length);
    expect(record.slice(0, -1)).toEqual([...record.slice(0, -1)].sort());
  });

  test('a large script is rewritten as it streams, and recorded as it is written', async () => {
    const body = `#!python\n${'x'.repeat(3 * 1024 * 1024)}`;
    const out = await one({ files: { '<data>/scripts/big': body, 'pkg/big.bin': 'y'.repeat(2 * 1024 * 1024) } });
    const written = `#!/usr/bin/python3.13\n${'x'.repeat(3 * 1024 * 1024)}`;
    expect(out.get('usr/local/bin/big')?.text === written).toBe(true);
    expect(out.get(`${SITE}/pkg-1.0.dist-info/RECORD`)!.text).toContain(
      recordLine('../../../bin/big', Buffer.from(written)),
    );
  });

  test('the same wheels give the same entries', async () => {
    const recipe = { files: { 'b.py': 'b', 'a.py': 'a' }, scripts: { z: 'a:b', y: 'a:c' } };
    expect([...(await one(recipe))]).toEqual([...(await one(recipe))]);
  });

  test('an old spelling of the folder of metadata is the own one', async () => {
    const made = wheel({ name: 'my.pkg', version: '1.0', files: { 'a.py': 'a' } });
    const renamed = wheel({
      name: 'my.pkg',
      version: '1.0',
      members: (members) =>
        members.map((member) => {
          const path = member.path.replace('my_pkg-1.0', 'My.Pkg-1.0.0');
          const bytes = Buffer.from(Buffer.from(member.bytes).toString().replaceAll('my_pkg-1.0', 'My.Pkg-1.0.0'));
          return { ...member, path, bytes };
        }),
    });
    expect((await bake([made, 'my-pkg', '1.0'])).size).toBe(5);
    expect((await bake([renamed, 'my-pkg', '1.0'])).has(`${SITE}/My.Pkg-1.0.0.dist-info/RECORD`)).toBe(true);
  });

  test('what RECORD names and the wheel lacks is left out, and its own INSTALLER is replaced', async () => {
    const out = await one({
      files: { '<info>/INSTALLER': 'pip\n' },
      record: (lines) => [...lines, recordLine('gone.py', Buffer.from('x'))],
    });
    expect(out.get(`${SITE}/pkg-1.0.dist-info/INSTALLER`)?.text).toBe('mcp-build\n');
    expect(out.get(`${SITE}/pkg-1.0.dist-info/RECORD`)?.text).not.toContain('gone.py');
  });

  test('a hash in hex is the same hash, and no other', async () => {
    const inHex = (lines: readonly string[]) =>
      lines.map((line) =>
        line.replace(/sha256=([\w-]{43})/, (_, hash) => `sha256=${Buffer.from(hash, 'base64url').toString('hex')}`),
      );
    const files = { 'a.py': 'a' };
    const out = await one({ files, record: inHex });
    expect(out.get(`${SITE}/pkg-1.0.dist-info/RECORD`)!.text).toBe(
      (await one({ files })).get(`${SITE}/pkg-1.0.dist-info/RECORD`)!.text,
    );
    const other = (lines: readonly string[]) => inHex([recordLine('a.py', Buffer.from('b')), ...lines.slice(1)]);
    await expect(one({ files, record: other })).rejects.toMatchObject(refused('record-mismatch'));
    const short = (lines: readonly string[]) => inHex(lines).map((line) => line.replace(/(sha256=\w{63})\w,/, '$1,'));
    await expect(one({ files, record: short })).rejects.toMatchObject(refused('wheel-invalid'));
  });

  test('a path with a comma or a quote is recorded as CSV', async () => {
    const files = { 'a,b.txt': '1', 'c"d.txt': '2' };
    const quoted = (line: string) =>
      line.startsWith('a,b') ? line.replace('a,b.txt', '"a,b.txt"') : line.replace('c"d.txt', '"c""d.txt"');
    const out = await one({ files, record: (lines) => lines.map(quoted) });
    const record = out.get(`${SITE}/pkg-1.0.dist-info/RECORD`)!.text;
    expect(record).toContain('"a,b.txt",sha256=');
    expect(record).toContain('"c""d.txt",sha256=');
  });

  test.each<[string, (lines: readonly string[]) => readonly string[], string]>([
    ['another hash', (lines) => [recordLine('a.py', Buffer.from('other')), ...lines.slice(1)], 'record-mismatch'],
    ['another size', (lines) => lines.map((line) => (line.startsWith('a.py') ? `${line}9` : line)), 'record-mismatch'],
    ['no entry', (lines) => lines.slice(1), 'record-mismatch'],
    ['no hash', (lines) => ['a.py,,', ...lines.slice(1)], 'record-mismatch'],
    ['a weak hash', (lines) => ['a.py,md5=1B2M2Y8AsgTpgAmY7PhCfg,1', ...lines.slice(1)], 'wheel-invalid'],
    ['two hashes', (lines) => [...lines, recordLine('a.py', Buffer.from('b'))], 'wheel-invalid'],
    ['a size that is none', (lines) => [...lines, 'b.py,,x'], 'wheel-invalid'],
    ['an open quote', (lines) => [...lines, '"b.py,,'], 'wheel-invalid'],
  ])('RECORD with %s', async (_, record, code) => {
    await expect(one({ files: { 'a.py': 'a' }, record })).rejects.toMatchObject(refused(code));
  });

  test.each<[string, Partial<WheelRecipe>, string]>([
    ['a script named ../x', { files: { '<data>/scripts/../x': 'x' } }, 'archive-unsafe'],
    ['a path that climbs', { files: { '../x': 'x' } }, 'archive-unsafe'],
    ['an absolute path', { files: { '/etc/passwd': 'x' } }, 'archive-unsafe'],
    ['data that climbs', { files: { '<data>/data/../../../etc/x': 'x' } }, 'archive-unsafe'],
    ['a script in a folder', { files: { '<data>/scripts/a/b': 'x' } }, 'wheel-invalid'],
    ['a script named like an option', { files: { '<data>/scripts/-x': 'x' } }, 'wheel-invalid'],
    ['an unknown kind of data', { files: { '<data>/etc/passwd': 'x' } }, 'wheel-invalid'],
    ['data that is a file', { files: { '<data>/scripts': 'x' } }, 'wheel-invalid'],
    ["another package's metadata", { files: { 'other-1.0.dist-info/METADATA': 'Name: other' } }, 'wheel-invalid'],
    [
      "another package's metadata as data",
      { files: { '<data>/purelib/other-1.0.dist-info/METADATA': 'x' } },
      'wheel-invalid',
    ],
    [
      "another package's metadata by the long way",
      { files: { '<data>/data/lib/python3.13/dist-packages/other-1.0.dist-info/METADATA': 'x' } },
      'wheel-invalid',
    ],
    ['another name', { metadata: { name: 'other' } }, 'manifest-mismatch'],
    ['another version', { metadata: { version: '2.0' } }, 'manifest-mismatch'],
    ['an entry point that is a path', { scripts: { '../../../etc/cron.d/x': 'a:b' } }, 'wheel-invalid'],
    ['an entry point that is code', { scripts: { x: 'os:system("id")' } }, 'wheel-invalid'],
    [
      'a script over its own launcher',
      { scripts: { x: 'a:b' }, files: { '<data>/scripts/x': 'else' } },
      'file-conflict',
    ],
    ['two files at one place', { files: { 'a.py': '1', '<data>/purelib/a.py': '2' } }, 'file-conflict'],
    [
      'a header that disagrees',
      {
        files: { 'a.py': 'a' },
        members: (all) => all.map((m) => (m.path === 'a.py' ? { ...m, localPath: 'b.py' } : m)),
      },
      'archive-unsafe',
    ],
    [
      'a link',
      { members: (all) => [...all, { path: 'link', bytes: Buffer.from('/etc/passwd'), type: 0o120000 }] },
      'archive-unsafe',
    ],
    [
      'a member twice',
      { files: { 'a.py': 'a' }, members: (all) => [...all, { path: 'a.py', bytes: Buffer.from('b') }] },
      'archive-unsafe',
    ],
    ['no RECORD', { members: (all) => all.filter(({ path }) => !path.endsWith('/RECORD')) }, 'wheel-invalid'],
    ['no METADATA', { members: (all) => all.filter(({ path }) => !path.endsWith('/METADATA')) }, 'wheel-invalid'],
    ['no WHEEL', { members: (all) => all.filter(({ path }) => !path.endsWith('/WHEEL')) }, 'wheel-invalid'],
    [
      'a newer format',
      {
        files: { '<info>/WHEEL': 'x' },
        members: (all) =>
          all.map((m) => (m.path.endsWith('/WHEEL') ? { ...m, bytes: Buffer.from('Wheel-Version: 2.0\n') } : m)),
      },
      'wheel-invalid',
    ],
  ])('a wheel with %s is refused', async (_, recipe, code) => {
    await expect(one(recipe)).rejects.toMatchObject(refused(code));
  });

  test('what is no zip is refused', async () => {
    const bytes = Buffer.from('PK but not really');
    const file = 'pkg-1.0-py3-none-any.whl';
    await expect(bake([{ file, bytes, sha256: sha256(bytes).slice(7) }, 'pkg', '1.0'])).rejects.toMatchObject({
      code: expect.stringMatching(/^archive-/),
    });
    const empty = zip([]);
    await expect(bake([{ file, bytes: empty, sha256: sha256(empty).slice(7) }, 'pkg', '1.0'])).rejects.toMatchObject({
      code: expect.stringMatching(/^(?:archive|wheel)-/),
    });
  });

  test('two wheels may share a file only when it is the same', async () => {
    const a = wheel({ name: 'a', version: '1', files: { 'ns/__init__.py': '', 'ns/a.py': 'a' } });
    const same = wheel({ name: 'b', version: '1', files: { 'ns/__init__.py': '', 'ns/b.py': 'b' } });
    const other = wheel({ name: 'b', version: '1', files: { 'ns/__init__.py': 'evil', 'ns/b.py': 'b' } });
    const out = await bake([a, 'a', '1'], [same, 'b', '1']);
    expect(out.has(`${SITE}/ns/b.py`)).toBe(true);
    expect(out.get(`${SITE}/b-1.dist-info/RECORD`)?.text).toContain('ns/__init__.py');
    await expect(bake([a, 'a', '1'], [other, 'b', '1'])).rejects.toMatchObject(refused('file-conflict'));
  });

  test('the same holds for files that are streamed', async () => {
    const big = 'x'.repeat(2 * 1024 * 1024);
    const a = wheel({ name: 'a', version: '1', files: { 'big.bin': big } });
    const same = wheel({ name: 'b', version: '1', files: { 'big.bin': big } });
    const other = wheel({ name: 'b', version: '1', files: { 'big.bin': `${big.slice(1)}y` } });
    expect((await bake([a, 'a', '1'], [same, 'b', '1'])).size).toBe(9);
    await expect(bake([a, 'a', '1'], [other, 'b', '1'])).rejects.toMatchObject(refused('file-conflict'));
  });

  test('a file where another wheel has a folder is a conflict, both ways', async () => {
    const folder = wheel({ name: 'a', version: '1', files: { 'x/y.py': '' } });
    const file = wheel({ name: 'b', version: '1', files: { x: '' } });
    await expect(bake([folder, 'a', '1'], [file, 'b', '1'])).rejects.toMatchObject(refused('file-conflict'));
    await expect(bake([file, 'b', '1'], [folder, 'a', '1'])).rejects.toMatchObject(refused('file-conflict'));
    const large = wheel({ name: 'b', version: '1', files: { x: 'y'.repeat(2 * 1024 * 1024) } });
    await expect(bake([folder, 'a', '1'], [large, 'b', '1'])).rejects.toMatchObject(refused('file-conflict'));
  });

  test('start-up hooks are told, with the lines that run', async () => {
    const made = wheel({
      name: 'pkg',
      version: '1.0',
      files: {
        'evil.pth': 'some/path\nimport os; os.system("id")\n# import x\nimportant\n',
        '<data>/purelib/sitecustomize.py': 'x',
        'pkg/inner.pth': 'import os',
        'usercustomize/__init__.py': '',
      },
    });
    const layer: LayerLock = { name: 'server', transform: 'pypi/1', files: [artifact(made, 'pkg', '1.0')] };
    const hooks = await startupHooks(layer, async function* () {
      yield made.bytes;
    });
    expect(hooks).toEqual([
      { package: 'pkg@1.0', path: `${SITE}/evil.pth`, lines: ['import os; os.system("id")'] },
      { package: 'pkg@1.0', path: `${SITE}/sitecustomize.py`, lines: [] },
      { package: 'pkg@1.0', path: `${SITE}/usercustomize/__init__.py`, lines: [] },
    ]);
  });
});

describe('a server over its dependencies', () => {
  const dependency = { name: 'dep', version: '1.0' };

  async function over(server: Partial<WheelRecipe>, below: Partial<WheelRecipe>): Promise<readonly string[]> {
    const [own, other] = [wheel({ name: 'srv', version: '1.0', ...server }), wheel({ ...dependency, ...below })];
    const bytes = new Map([own, other].map(({ file, bytes: content }) => [file, content]));
    const layers: readonly LayerLock[] = [
      { name: 'dependencies', transform: 'pypi/1', files: [artifact(other, 'dep', '1.0')] },
      { name: 'server', transform: 'pypi/1', files: [artifact(own, 'srv', '1.0')] },
    ];
    const paths: string[] = [];
    const open = async function* (file: { readonly file: string }) {
      yield bytes.get(file.file)!;
    };
    for await (const entry of pypi.bake(layers[1]!, 'linux/amd64', open, layers.slice(0, 1))) {
      paths.push(entry.path);
      if (entry.type === 'file' && !(entry.content instanceof Uint8Array)) for await (const _ of entry.content);
    }
    return paths;
  }

  test.each<[string, Partial<WheelRecipe>, Partial<WheelRecipe>]>([
    ['replaces a module', { files: { 'dep.py': 'evil' } }, { files: { 'dep.py': 'good' } }],
    ['replaces a large file', { files: { big: Buffer.alloc(3e6, 1) } }, { files: { big: Buffer.alloc(3e6, 2) } }],
    ['replaces a launcher', { files: { '<data>/scripts/tool': 'evil' } }, { scripts: { tool: 'dep:main' } }],
    ['has a launcher where a script is', { scripts: { tool: 'srv:main' } }, { files: { '<data>/scripts/tool': 'x' } }],
    ['has a file below a file', { files: { 'dep/x.py': '' } }, { files: { dep: 'a file' } }],
    ['has a file where a folder is', { files: { dep: 'a file' } }, { files: { 'dep/x.py': '' } }],
  ])('is refused where it %s', async (_, server, below) => {
    await expect(over(server, below)).rejects.toMatchObject({ code: 'file-conflict' });
  });

  test.each<[string, Partial<WheelRecipe>, Partial<WheelRecipe>]>([
    ['the same file', { files: { 'ns/__init__.py': 'x' } }, { files: { 'ns/__init__.py': 'x' } }],
    ['the same large file', { files: { big: Buffer.alloc(3e6, 1) } }, { files: { big: Buffer.alloc(3e6, 1) } }],
    ['its own files in a folder of both', { files: { 'ns/a.py': '1' } }, { files: { 'ns/b.py': '2' } }],
    ['a name that begins alike', { files: { 'dep-x/a.py': '1' } }, { files: { 'dep.py': '2' } }],
  ])('may have %s', async (_, server, below) => {
    expect((await over(server, below)).length).toBeGreaterThan(3);
  });
});
