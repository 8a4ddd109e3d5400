import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Platform, Resolution, ResolveOptions } from '../../builders/index.ts';
import { pypi, refreshPypi } from '../../builders/pypi/index.ts';
import { parseSource } from '../../builders/source.ts';
import { type WheelRecipe, wheel } from '../builders/pypi/wheel.ts';
import { type FakeIndex, type IndexFile, type IndexOptions, pypiIndex } from '../fakes/pypi-index.ts';
import { commandPath, describeWith } from './harness/needs.ts';

// The real uv against an index on loopback: what it says when something is wrong is what these verdicts are made of.
describeWith(['uv', 'python3'], 'resolving with uv', () => {
  const before = new Date('2026-05-15T00:00:00Z');
  const open: FakeIndex[] = [];
  let home: string;
  let base: Readonly<Record<string, string>>;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'pypi-resolve-'));
    const folders = [...new Set(['uv', 'python3'].map((name) => dirname(commandPath(name) ?? '/')))];
    base = {
      HOME: home,
      XDG_CONFIG_DIRS: home,
      PIP_CONFIG_FILE: '/dev/null',
      PATH: [...folders, process.env.PATH].join(delimiter),
      UV_HTTP_TIMEOUT: '5',
      UV_HTTP_RETRIES: '1',
    };
  });
  afterAll(() => rm(home, { recursive: true, force: true }));
  afterEach(async () => {
    await Promise.all(open.splice(0).map((index) => index.close()));
  });

  const file = (recipe: WheelRecipe, more: Partial<IndexFile> = {}): IndexFile => ({ ...wheel(recipe), ...more });
  const server = (recipe: Partial<WheelRecipe> = {}, more: Partial<IndexFile> = {}): IndexFile =>
    file({ name: 'srv', version: '1.0', scripts: { srv: 'srv:main' }, files: { 'srv.py': 'x' }, ...recipe }, more);

  async function index(projects: Record<string, readonly IndexFile[]>, options: IndexOptions = {}): Promise<FakeIndex> {
    const started = await pypiIndex(options);
    open.push(started);
    for (const [project, files] of Object.entries(projects)) started.add(project, ...files);
    return started;
  }

  interface Asking extends Partial<ResolveOptions> {
    readonly platforms?: readonly Platform[];
    readonly variables?: Readonly<Record<string, string>>;
  }

  async function resolve(at: FakeIndex | undefined, source: string, asking: Asking = {}): Promise<Resolution> {
    const { platforms = ['linux/amd64'], variables = {}, ...rest } = asking;
    const cache = await mkdtemp(join(home, 'cache-'));
    const environment = { ...base, ...(at ? { UV_DEFAULT_INDEX: at.url } : {}), ...variables };
    return pypi.resolve(parseSource(source), platforms, { cache, before, workspace: undefined, environment, ...rest });
  }

  /** The options of a resolution, as `resolve` makes them. */
  async function refreshed(at: FakeIndex, files: Record<string, string>): Promise<Resolution> {
    const cache = await mkdtemp(join(home, 'cache-'));
    const environment = { ...base, UV_DEFAULT_INDEX: at.url };
    return refreshPypi(parseSource('pypi:srv'), ['linux/amd64'], files, {
      cache,
      before,
      workspace: undefined,
      environment,
    });
  }

  const codeOf = async (projects: Record<string, readonly IndexFile[]>, source: string, options: IndexOptions = {}) => {
    const at = await index(projects, options);
    const error = await resolve(at, source).then(
      () => undefined,
      (found: unknown) => found as { code?: string; message: string },
    );
    return error?.code ?? error?.message;
  };

  test('a server and what it needs, on both platforms', async () => {
    const at = await index({
      srv: [
        server({
          requires: ['Dep_One>=1', 'native', 'x86 ; platform_machine == "x86_64"', 'never ; sys_platform == "win32"'],
        }),
      ],
      'dep-one': [file({ name: 'dep-one', version: '1.0' }), file({ name: 'dep-one', version: '0.9' })],
      native: [
        file({ name: 'native', version: '2', tag: 'cp313-cp313-manylinux_2_17_x86_64' }),
        file({ name: 'native', version: '2', tag: 'cp39-abi3-manylinux_2_34_x86_64' }),
        file({ name: 'native', version: '2', tag: 'cp313-cp313-manylinux_2_28_aarch64' }),
        file({ name: 'native', version: '2', tag: 'cp313-cp313-musllinux_1_2_x86_64' }),
      ],
      x86: [file({ name: 'x86', version: '3' })],
    });
    const asking: Asking = { platforms: ['linux/amd64', 'linux/arm64'] };
    const found = await resolve(at, 'pypi:srv', asking);
    expect(found.version).toBe('1.0');
    expect(found.entrypoint).toEqual(['/usr/local/bin/srv']);
    expect(found.installScripts).toEqual([]);
    const names = (platform: Platform) =>
      found.layers[platform]?.map(({ name, transform, files }) => [name, transform, files.map((one) => one.file)]);
    expect(names('linux/amd64')).toEqual([
      [
        'dependencies',
        'pypi/1',
        ['dep_one-1.0-py3-none-any.whl', 'native-2-cp313-cp313-manylinux_2_17_x86_64.whl', 'x86-3-py3-none-any.whl'],
      ],
      ['server', 'pypi/1', ['srv-1.0-py3-none-any.whl']],
    ]);
    expect(names('linux/arm64')?.[0]?.[2]).toEqual([
      'dep_one-1.0-py3-none-any.whl',
      'native-2-cp313-cp313-manylinux_2_28_aarch64.whl',
    ]);
    expect(found.layers['linux/amd64']?.[1]?.files[0]).toMatchObject({
      kind: 'wheel',
      name: 'srv',
      version: '1.0',
      uploaded: '2026-01-01T00:00:00.000Z',
      index: 'default',
    });
    expect(found.files['requirements.in']).toBe('srv\n');
    expect(found.files['requirements.txt']).toContain('x86==3 ; platform_machine == "x86_64" \\\n');
    expect(JSON.stringify(found)).not.toMatch(/https?:|127\.0\.0\.1/);
    const again = await resolve(at, 'pypi:srv', asking);
    expect(again).toEqual(found);
    // Nothing but metadata and the server's own wheel was read.
    const wheels = at.asked.filter(({ path, range }) => path.endsWith('.whl') && range === undefined);
    expect(new Set(wheels.map(({ path }) => path))).toContain('/files/srv/srv-1.0-py3-none-any.whl');
  });

  test('extras bring what they need', async () => {
    const at = await index({
      srv: [server({ extras: ['cli'], requires: ['dep ; extra == "cli"'] })],
      dep: [file({ name: 'dep', version: '1.0' })],
    });
    const plain = await resolve(at, 'pypi:srv');
    expect(plain.layers['linux/amd64']?.map(({ name }) => name)).toEqual(['server']);
    const extra = await resolve(at, 'pypi:srv[cli]@1.0');
    expect(extra.layers['linux/amd64']?.map(({ name }) => name)).toEqual(['dependencies', 'server']);
    expect(extra.files['requirements.in']).toBe('srv[cli]==1.0\n');
  });

  test('a release that one platform lacks does not give way in silence', async () => {
    const at = await index({
      srv: [
        server({ tag: 'cp313-cp313-manylinux_2_17_x86_64', version: '2.0' }),
        server({ tag: 'cp313-cp313-manylinux_2_17_x86_64' }),
        server({ tag: 'cp313-cp313-manylinux_2_17_aarch64' }),
      ],
    });
    const platforms = ['linux/amd64', 'linux/arm64'] as const;
    const refused = await resolve(at, 'pypi:srv', { platforms }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'no-wheel', input: 'srv' });
    expect((refused as { fix: string }).fix).toContain('pypi:srv==1.0.');
    expect((await resolve(at, 'pypi:srv==1.0', { platforms })).version).toBe('1.0');
    expect((await resolve(at, 'pypi:srv')).version).toBe('2.0');
  });

  test('nor does one whose dependency is only source, or that is only source itself', async () => {
    const sdist = (name: string) => ({ file: `${name}.tar.gz`, bytes: Buffer.from('x') });
    const at = await index({
      srv: [server(), server({ version: '2.0', requires: ['mid'] })],
      mid: [file({ name: 'mid', version: '1', requires: ['raw==3'] })],
      raw: [sdist('raw-3')],
      own: [file({ name: 'own', version: '1', scripts: { own: 'own:main' } }), sdist('own-2')],
    });
    const refused = (await resolve(at, 'pypi:srv').catch((error: unknown) => error)) as Error;
    expect(refused).toMatchObject({ code: 'no-wheel', input: 'raw' });
    expect(refused.message).toContain('mid');
    expect(refused.message).not.toContain('warning:');
    await expect(resolve(at, 'pypi:own')).rejects.toMatchObject({ code: 'no-wheel', input: 'own' });
    for (const older of ['pypi:srv==1.0', 'pypi:srv<2']) expect((await resolve(at, older)).version).toBe('1.0');
    // What takes the place of the dependency makes the newest one that can be had.
    const overrides = { raw: '>=4' };
    at.add('raw', file({ name: 'raw', version: '4' }));
    expect((await resolve(at, 'pypi:srv', { overrides })).version).toBe('2.0');
  });

  test('a release whose dependency is still too young does', async () => {
    const at = await index({
      srv: [server(), server({ version: '2.0', requires: ['dep>=2'] })],
      dep: [
        file({ name: 'dep', version: '1' }),
        file({ name: 'dep', version: '2' }, { uploaded: '2026-05-16T00:00:00Z' }),
      ],
    });
    expect((await resolve(at, 'pypi:srv')).version).toBe('1.0');
    expect((await resolve(at, 'pypi:srv', { before: undefined })).version).toBe('2.0');
    await expect(resolve(at, 'pypi:srv==2.0')).rejects.toMatchObject({ code: 'too-new' });
  });

  test('a release after the cut-off does not exist, unless the cut-off is off', async () => {
    const young = '2026-05-15T00:00:01Z';
    const at = await index({
      srv: [server({ requires: ['dep'] }), server({ version: '2.0' }, { uploaded: young })],
      dep: [file({ name: 'dep', version: '1.0' }), file({ name: 'dep', version: '1.1' }, { uploaded: young })],
    });
    const careful = await resolve(at, 'pypi:srv');
    expect(careful.version).toBe('1.0');
    expect(careful.files['requirements.txt']).toContain('dep==1.0 ');
    expect((await resolve(at, 'pypi:srv', { before: undefined })).version).toBe('2.0');
    await expect(resolve(at, 'pypi:srv==2.0')).rejects.toMatchObject({ code: 'too-new', exit: 4 });
  });

  test.each<[string, Record<string, readonly IndexFile[]>, string, string]>([
    ['a project nobody has', {}, 'pypi:srv', 'package-not-found'],
    ['a dependency nobody has', { srv: [server({ requires: ['gone'] })] }, 'pypi:srv', 'package-not-found'],
    ['a version nobody has', { srv: [server()] }, 'pypi:srv==9', 'version-not-found'],
    ['a range nobody fits', { srv: [server()] }, 'pypi:srv>2,<3', 'version-not-found'],
    [
      'a source distribution alone',
      { srv: [{ file: 'srv-1.0.tar.gz', bytes: Buffer.from('x') }] },
      'pypi:srv',
      'no-wheel',
    ],
    [
      'a dependency for Windows alone',
      {
        srv: [server({ requires: ['win'] })],
        win: [file({ name: 'win', version: '1', tag: 'cp313-cp313-win_amd64' })],
      },
      'pypi:srv',
      'no-wheel',
    ],
    [
      'a dependency by git',
      { srv: [server({ requires: ['dep @ git+https://127.0.0.1:9/x'] })] },
      'pypi:srv',
      'exotic-dependency',
    ],
    [
      'a dependency by URL',
      { srv: [server({ requires: ['dep @ http://127.0.0.1:9/d-1-py3-none-any.whl'] })] },
      'pypi:srv',
      'exotic-dependency',
    ],
    [
      'a dependency by folder',
      { srv: [server({ requires: ['dep @ file:///etc/'] })] },
      'pypi:srv',
      'exotic-dependency',
    ],
    [
      'a dependency by path',
      { srv: [server({ requires: ['dep[x] @ ../../etc/passwd'] })] },
      'pypi:srv',
      'exotic-dependency',
    ],
    ['an unknown age', { srv: [server({}, { uploaded: null })] }, 'pypi:srv', 'age-unknown'],
    [
      'a dependency of unknown age',
      { srv: [server({ requires: ['dep'] })], dep: [file({ name: 'dep', version: '1' }, { uploaded: null })] },
      'pypi:srv',
      'age-unknown',
    ],
    ['a server that is too new', { srv: [server({}, { uploaded: '2026-05-16T00:00:00Z' })] }, 'pypi:srv', 'too-new'],
    [
      'a conflict',
      {
        srv: [server({ requires: ['a', 'b'] })],
        a: [file({ name: 'a', version: '1', requires: ['c==1'] })],
        b: [file({ name: 'b', version: '1', requires: ['c==2'] })],
        c: [file({ name: 'c', version: '1' }), file({ name: 'c', version: '2' })],
      },
      'pypi:srv',
      'unresolvable',
    ],
    ['no command', { srv: [file({ name: 'srv', version: '1.0' })] }, 'pypi:srv', 'not-a-server'],
    ['two commands', { srv: [server({ scripts: { a: 'a:b', b: 'a:c' } })] }, 'pypi:srv', 'bin-ambiguous'],
    ['another package inside', { srv: [server({ metadata: { version: '2.0' } })] }, 'pypi:srv', 'manifest-mismatch'],
  ])('%s', async (_, projects, source, code) => {
    expect(await codeOf(projects, source)).toBe(code);
  });

  test('a hash that the index leaves out is made from the bytes', async () => {
    const made = server({}, { sha256: null });
    const found = await resolve(await index({ srv: [made] }), 'pypi:srv');
    const { sha256 } = wheel({ name: 'srv', version: '1.0', scripts: { srv: 'srv:main' }, files: { 'srv.py': 'x' } });
    expect(found.files['requirements.txt']).toContain(`--hash=sha256:${sha256}\n`);
  });

  test('a page in HTML has no ages, so it serves only without a cut-off', async () => {
    const at = await index({ srv: [server()] }, { format: 'html' });
    await expect(resolve(at, 'pypi:srv')).rejects.toMatchObject({ code: 'age-unknown' });
    const found = await resolve(at, 'pypi:srv', { before: undefined });
    expect(found.layers['linux/amd64']?.[0]?.files[0]).not.toHaveProperty('uploaded');
  });

  test.each<[string, IndexOptions['fault'], RegExp]>([
    ['503', () => ({ kind: 'status', status: 503 }), /^registry-unavailable$/],
    ['401', () => ({ kind: 'status', status: 401 }), /^registry-unauthorized$/],
    ['silence', () => ({ kind: 'silent' }), /^registry-unavailable$/],
    ['garbage', () => ({ kind: 'body', type: 'application/vnd.pypi.simple.v1+json', text: '{' }), /^registry-invalid$/],
    ['a picture', () => ({ kind: 'body', type: 'image/png', text: 'x' }), /^registry-invalid$/],
  ])('an index that answers with %s', async (_, fault, code) => {
    expect(await codeOf({ srv: [server()] }, 'pypi:srv', fault ? { fault } : {})).toMatch(code);
  });

  test('nobody there', async () => {
    const gone = await index({});
    await gone.close();
    open.pop();
    await expect(resolve(gone, 'pypi:srv')).rejects.toMatchObject({ code: 'registry-unavailable', exit: 5 });
  });

  test("several indexes, one of them with a password: the lock names each file's index, and holds no secret", async () => {
    const own = await index(
      { srv: [server({ requires: ['dep'] })] },
      { auth: { username: 'me', password: 'hunter2' } },
    );
    const all = await index({ dep: [file({ name: 'dep', version: '1.0' })], srv: [server({ version: '9.9' })] });
    const variables = {
      UV_DEFAULT_INDEX: all.url,
      UV_INDEX: `corp=${own.url}`,
      UV_INDEX_CORP_USERNAME: 'me',
      UV_INDEX_CORP_PASSWORD: 'hunter2',
    };
    const found = await resolve(undefined, 'pypi:srv', { variables });
    // The first index that has a name is the only one that is asked for it.
    expect(found.version).toBe('1.0');
    expect(found.layers['linux/amd64']?.map(({ files }) => files.map(({ name, index: from }) => [name, from]))).toEqual(
      [[['dep', 'default']], [['srv', 'corp']]],
    );
    expect(JSON.stringify(found)).not.toContain('hunter2');
    const wrong = await resolve(undefined, 'pypi:srv', {
      variables: { ...variables, UV_INDEX_CORP_PASSWORD: 'wrong-one' },
    }).catch((error: unknown) => error as Error);
    expect(wrong).toMatchObject({ code: 'registry-unauthorized', exit: 5 });
    expect((wrong as Error).message).not.toContain('wrong-one');
  });

  test("the URL's own password works, and pip's configuration when uv has none", async () => {
    const own = await index({ srv: [server()] }, { auth: { username: 'me', password: 'p@ss/w' } });
    const url = own.url.replace('//', '//me:p%40ss%2Fw@');
    expect((await resolve(undefined, 'pypi:srv', { variables: { PIP_INDEX_URL: url } })).version).toBe('1.0');
  });

  test('a uv.toml in the folder it is started in means nothing', async () => {
    const at = await index({ srv: [server()] });
    const work = await mkdtemp(join(home, 'work-'));
    await writeFile(join(work, 'uv.toml'), 'index-url = "http://127.0.0.1:9/simple"\n[[broken');
    await writeFile(join(work, '.python-version'), '2.7\n');
    const was = process.cwd();
    process.chdir(work);
    try {
      expect((await resolve(at, 'pypi:srv')).version).toBe('1.0');
    } finally {
      process.chdir(was);
    }
  });

  test('nothing of a package runs, and nothing is left behind', async () => {
    const canary = join(home, 'canary');
    const evil = `import pathlib; pathlib.Path(${JSON.stringify(canary)}).touch()\n`;
    const at = await index({
      srv: [
        server({
          requires: ['dep'],
          files: { 'srv.py': evil, 'srv.pth': evil, 'setup.py': evil, 'sitecustomize.py': evil },
        }),
      ],
      dep: [
        file({ name: 'dep', version: '1.0', files: { 'dep.pth': evil } }),
        { file: 'dep-2.0.tar.gz', bytes: Buffer.from('not read') },
      ],
    });
    const cache = await mkdtemp(join(home, 'own-cache-'));
    const found = await resolve(at, 'pypi:srv', { cache });
    expect(found.files['requirements.txt']).toContain('dep==1.0 ');
    expect(existsSync(canary)).toBe(false);
    expect((await readdir(join(cache, 'uv'))).sort()).toEqual(['cache']);
  });

  test('no Python is said, not guessed', async () => {
    const at = await index({ srv: [server()] });
    const only = await mkdtemp(join(home, 'bin-'));
    await symlink(commandPath('uv')!, join(only, 'uv'));
    await expect(resolve(at, 'pypi:srv', { variables: { PATH: only } })).rejects.toMatchObject({
      code: 'python-missing',
    });
  });

  test('a uv that is too old is passed over, and the pinned one must have the pinned hash', async () => {
    const { UV_WHEELS } = await import('../../builders/pypi/uv-release.ts');
    const files = Object.values(UV_WHEELS).map(({ file: name, sha256 }) => ({
      file: name,
      bytes: Buffer.from('evil'),
      sha256,
    }));
    const at = await index({ srv: [server()], uv: files });
    const only = await mkdtemp(join(home, 'bin-'));
    await writeFile(join(only, 'uv'), '#!/bin/sh\necho uv 0.1.0\n', { mode: 0o755 });
    await symlink(commandPath('python3')!, join(only, 'python3'));
    const cache = await mkdtemp(join(home, 'own-cache-'));
    const work = resolve(at, 'pypi:srv', { cache, variables: { PATH: `${only}:/usr/bin:/bin` } });
    await expect(work).rejects.toMatchObject({ code: 'integrity' });
    expect(await readdir(join(cache, 'uv'))).toEqual([]);
  });

  test('requirements.txt is the same file however often it is made', async () => {
    const at = await index({
      srv: [server({ requires: ['b', 'a'] })],
      a: [file({ name: 'a', version: '1' })],
      b: [file({ name: 'b', version: '1' })],
    });
    const one = await resolve(at, 'pypi:srv');
    const two = await resolve(at, 'pypi:srv');
    expect(one.files).toEqual(two.files);
  });

  test('native locks that a bot brought up to date are followed, and held to the same rules', async () => {
    const dep = (version: string, more: Partial<WheelRecipe> = {}, at: Partial<IndexFile> = {}) =>
      file({ name: 'dep', version, ...more }, at);
    const two = wheel({ name: 'dep', version: '2', requires: ['leaf'] });
    const at = await index({
      srv: [server({ requires: ['dep', 'old ; python_version < "3"'] })],
      dep: [dep('1'), two, dep('3'), dep('4', {}, { uploaded: '2026-05-16T00:00:00Z' })],
      leaf: [file({ name: 'leaf', version: '1' })],
      old: [file({ name: 'old', version: '1' })],
    });
    const input = { 'requirements.in': 'srv\n' };
    const hash = `--hash=sha256:${two.sha256}`;
    const found = await refreshed(at, { ...input, 'requirements.txt': `dep==2 ${hash}\nold==1\nsrv==1.0\n` });
    const names = found.layers['linux/amd64']?.flatMap(({ files }) =>
      files.map(({ name, version }) => `${name} ${version}`),
    );
    expect(names).toEqual(['dep 2', 'leaf 1', 'srv 1.0']);
    const { files } = found;
    expect((await refreshed(at, files)).files).toEqual(files);
    const refused = (text: string, code: string) =>
      expect(refreshed(at, { ...input, 'requirements.txt': text })).rejects.toMatchObject({ code });
    await refused(`dep==2 --hash=sha256:${'0'.repeat(64)}\n`, 'lock-mismatch');
    await refused('dep==4\n', 'too-new');
    await refused('dep==9\n', 'unresolvable');
    await refused('dep @ http://127.0.0.1:9/dep-1-py3-none-any.whl\n', 'lock-invalid');
  });
});
