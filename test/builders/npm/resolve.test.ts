import { describe, expect, test } from 'vitest';
import { BEFORE, baked, filesOf, server, world } from './world.ts';

const code = (name: string) => expect.objectContaining({ code: name });

describe('what a resolution is', () => {
  test('the same bytes twice, without a host, with every file by name, hash and time', async () => {
    await using w = await world();
    w.registry.publish(
      server({ dependencies: { dep: '^1.0.0' }, manifest: { funding: { url: 'https://example.test/pay' } } }),
      { name: 'dep', version: '1.0.0', uploaded: '2025-01-01T00:00:00Z' },
      {
        name: 'dep',
        version: '1.1.0',
        uploaded: '2025-06-01T00:00:00Z',
        manifest: { scripts: { postinstall: 'false' } },
      },
    );
    const first = await w.resolve('npm:hello-mcp');
    const second = await w.resolve('npm:hello-mcp');
    expect(second).toEqual(first);
    expect(first.version).toBe('1.0.0');
    expect(first.entrypoint).toEqual(['/usr/local/bin/node', '/app/node_modules/hello-mcp/cli.js']);
    expect(first.installScripts).toEqual(['dep@1.1.0']);
    const lock = first.files['package-lock.json'] ?? '';
    expect(lock).not.toMatch(/https?:|resolved|127\.0\.0\.1/);
    expect(JSON.parse(lock)).toMatchObject({ name: 'server', lockfileVersion: 3, requires: true });
    expect(JSON.parse(first.files['package.json'] ?? '')).toEqual({
      name: 'server',
      version: '0.0.0',
      private: true,
      dependencies: { 'hello-mcp': '1.0.0' },
    });
    expect(first.layers['linux/amd64']).toEqual([
      {
        name: 'dependencies',
        transform: 'npm/1',
        files: [
          {
            kind: 'npm',
            name: 'dep',
            version: '1.1.0',
            file: 'dep-1.1.0.tgz',
            integrity: w.registry.integrity('dep', '1.1.0'),
            uploaded: '2025-06-01T00:00:00.000Z',
            index: 'default',
            locations: ['node_modules/dep'],
            installScripts: true,
          },
        ],
      },
      {
        name: 'server',
        transform: 'npm/1',
        files: [expect.objectContaining({ name: 'hello-mcp', file: 'hello-mcp-1.0.0.tgz' })],
      },
    ]);
    expect(first.layers['linux/arm64']).toEqual(first.layers['linux/amd64']);
  });

  test('a server alone has one layer', async () => {
    await using w = await world();
    w.registry.publish(server());
    const { layers } = await w.resolve('npm:hello-mcp');
    expect(layers['linux/amd64']?.map(({ name }) => name)).toEqual(['server']);
  });

  test('each platform takes its own optional build, and one the registry lacks is absent', async () => {
    await using w = await world();
    const native = (cpu: string) => ({
      name: `native-${cpu}`,
      version: '1.0.0',
      manifest: { os: ['linux'], cpu: [cpu] },
    });
    w.registry.publish(
      server({ manifest: { optionalDependencies: { 'native-x64': '1', 'native-arm64': '1', 'native-darwin': '1' } } }),
      native('x64'),
      native('arm64'),
    );
    const resolution = await w.resolve('npm:hello-mcp');
    expect(filesOf(resolution).map(({ name }) => name)).toEqual(['native-x64', 'hello-mcp']);
    expect(filesOf(resolution, 'linux/arm64').map(({ name }) => name)).toEqual(['native-arm64', 'hello-mcp']);
  });

  test('musl builds are for other images', async () => {
    await using w = await world();
    const build = (libc: string) => ({
      name: `build-${libc}`,
      version: '1.0.0',
      manifest: { os: ['linux'], libc: [libc] },
    });
    w.registry.publish(
      server({ manifest: { optionalDependencies: { 'build-glibc': '1', 'build-musl': '1' } } }),
      build('glibc'),
      build('musl'),
    );
    expect(filesOf(await w.resolve('npm:hello-mcp')).map(({ name }) => name)).toEqual(['build-glibc', 'hello-mcp']);
  });

  test('peers are installed, optional peers only where something else brings them', async () => {
    await using w = await world();
    w.registry.publish(
      server({ dependencies: { plugin: '1' } }),
      {
        name: 'plugin',
        version: '1.0.0',
        manifest: { peerDependencies: { host: '2', extra: '1' }, peerDependenciesMeta: { extra: { optional: true } } },
      },
      { name: 'host', version: '2.0.0' },
      { name: 'extra', version: '1.0.0' },
    );
    expect(filesOf(await w.resolve('npm:hello-mcp')).map(({ name }) => name)).toEqual(['host', 'plugin', 'hello-mcp']);
  });

  test('two versions of a package lie at two places, one version at several', async () => {
    await using w = await world();
    w.registry.publish(
      server({ dependencies: { a: '1', b: '1', shared: '2' } }),
      { name: 'a', version: '1.0.0', manifest: { dependencies: { shared: '1' } } },
      { name: 'b', version: '1.0.0', manifest: { dependencies: { shared: '1' } } },
      { name: 'shared', version: '1.0.0' },
      { name: 'shared', version: '2.0.0' },
    );
    const files = filesOf(await w.resolve('npm:hello-mcp'));
    expect(files.filter(({ name }) => name === 'shared').map(({ version, locations }) => [version, locations])).toEqual(
      [
        ['1.0.0', ['node_modules/a/node_modules/shared', 'node_modules/b/node_modules/shared']],
        ['2.0.0', ['node_modules/shared']],
      ],
    );
  });

  test('an alias lies under its own name and is fetched under its real one', async () => {
    await using w = await world();
    w.registry.publish(server({ dependencies: { old: 'npm:real@1' } }), {
      name: 'real',
      version: '1.2.0',
      files: { 'index.js': '1' },
    });
    const resolution = await w.resolve('npm:hello-mcp');
    expect(filesOf(resolution)[0]).toMatchObject({
      name: 'real',
      file: 'real-1.2.0.tgz',
      locations: ['node_modules/old'],
    });
    expect((await baked(resolution, w.options)).get('app/node_modules/old/index.js')?.text).toBe('1');
  });

  test('bundled dependencies stay in their parent’s tarball and in the lock', async () => {
    await using w = await world();
    w.registry.publish(
      server({
        dependencies: { inner: '1', outer: '1' },
        manifest: { bundleDependencies: ['inner'] },
        files: {
          'cli.js': '#!/usr/bin/env node\n',
          'node_modules/inner/package.json':
            '{"name":"inner","version":"1.0.0","bin":"i.js","dependencies":{"outer":"1"}}',
          'node_modules/inner/i.js': 'inner',
        },
      }),
      { name: 'inner', version: '1.5.0' },
      { name: 'outer', version: '1.0.0' },
    );
    const resolution = await w.resolve('npm:hello-mcp');
    expect(filesOf(resolution).map(({ name }) => name)).toEqual(['outer', 'hello-mcp']);
    const { packages } = JSON.parse(resolution.files['package-lock.json'] ?? '');
    expect(packages['node_modules/hello-mcp/node_modules/inner']).toMatchObject({ version: '1.0.0', inBundle: true });
    const tree = await baked(resolution, w.options);
    expect(tree.get('app/node_modules/hello-mcp/node_modules/inner/i.js')).toEqual({
      type: 'file',
      mode: 0o755,
      text: 'inner',
    });
    expect(tree.get('app/node_modules/hello-mcp/node_modules/.bin/inner')?.text).toBe('../inner/i.js');
  });

  test('deprecation is said, on one line and without escapes', async () => {
    await using w = await world();
    w.registry.publish(server({ dependencies: { dep: '1' } }), {
      name: 'dep',
      version: '1.0.0',
      manifest: { deprecated: 'use \u001b[31mother\nthing' },
    });
    await w.resolve('npm:hello-mcp');
    expect(w.lines).toContain('warning: dep@1.0.0 is deprecated: use [31mother thing');
  });

  test('nothing but the cache is written, and no temporary folder is left', async () => {
    await using w = await world();
    w.registry.publish(server());
    await w.resolve('npm:hello-mcp');
    const { readdir } = await import('node:fs/promises');
    expect((await readdir(w.folder)).sort()).toEqual(['cache', 'npmrc-0']);
    expect((await readdir(`${w.folder}/cache`)).sort()).toEqual(['packuments', 'staged']);
  });
});

describe('release age', () => {
  test('the newest version that is old enough', async () => {
    await using w = await world();
    w.registry.publish(
      server({ uploaded: '2025-01-01T00:00:00Z' }),
      server({ version: '1.1.0', uploaded: '2026-02-01T00:00:00Z' }),
    );
    expect((await w.resolve('npm:hello-mcp')).version).toBe('1.0.0');
    expect((await w.resolve('npm:hello-mcp@latest')).version).toBe('1.0.0');
    expect((await w.resolve('npm:hello-mcp', { before: undefined })).version).toBe('1.1.0');
  });

  test('a version asked for that is too young', async () => {
    await using w = await world();
    w.registry.publish(server({ version: '1.1.0', uploaded: '2026-02-01T00:00:00Z' }));
    await expect(w.resolve('npm:hello-mcp@1.1.0')).rejects.toEqual(code('too-new'));
    await expect(w.resolve('npm:hello-mcp')).rejects.toEqual(code('too-new'));
    await expect(w.resolve('npm:hello-mcp@1.1.0')).rejects.toMatchObject({
      exit: 4,
      fix: expect.stringMatching(/20\d\d-/),
    });
  });

  test('a dependency of which only too young versions fit', async () => {
    await using w = await world();
    w.registry.publish(server({ dependencies: { dep: '^2' } }), {
      name: 'dep',
      version: '2.0.0',
      uploaded: '2026-02-01T00:00:00Z',
    });
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({ code: 'too-new', input: 'dep@2.0.0' });
  });

  test('an unknown time is refused, unless the check is off', async () => {
    await using w = await world();
    w.registry.publish(server({ dependencies: { dep: '1' } }), { name: 'dep', version: '1.0.0', uploaded: null });
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({ code: 'age-unknown', input: 'dep@1.0.0' });
    const dep = filesOf(await w.resolve('npm:hello-mcp', { before: undefined }))[0];
    expect(dep?.name).toBe('dep');
    expect(dep).not.toHaveProperty('uploaded');
  });

  test('the source’s own time counts as well', async () => {
    await using w = await world();
    w.registry.publish(server({ uploaded: null }));
    await expect(w.resolve('npm:hello-mcp')).rejects.toEqual(code('age-unknown'));
  });

  test('an exception is for one release: of the server, or of a dependency', async () => {
    await using w = await world();
    w.registry.publish(
      server({ version: '1.0.0', uploaded: '2025-01-01T00:00:00Z', dependencies: { dep: '1' } }),
      server({ version: '1.1.0', uploaded: '2026-02-01T00:00:00Z', dependencies: { dep: '1' } }),
      { name: 'dep', version: '1.0.0', uploaded: '2025-01-01T00:00:00Z' },
      { name: 'dep', version: '1.1.0', uploaded: '2026-02-01T00:00:00Z' },
    );
    const resolved = async (...young: { name: string; version: string }[]) => {
      const { version, layers } = await w.resolve('npm:hello-mcp', { young });
      return [version, layers['linux/amd64']?.[0]?.files[0]?.version];
    };
    expect(await resolved()).toEqual(['1.0.0', '1.0.0']);
    expect(await resolved({ name: 'hello-mcp', version: '1.1.0' })).toEqual(['1.1.0', '1.0.0']);
    expect(await resolved({ name: 'dep', version: '1.1.0' })).toEqual(['1.0.0', '1.1.0']);
    expect(await resolved({ name: 'hello-mcp', version: '1.2.0' })).toEqual(['1.0.0', '1.0.0']);
    await expect(resolved({ name: 'dep', version: '1.0.5' })).rejects.toEqual(code('too-new'));
  });

  test('an override is taken whatever a dependent asks for, and stands in package.json for bots to keep', async () => {
    await using w = await world();
    w.registry.publish(
      server({ dependencies: { dep: '1.0.0' } }),
      { name: 'dep', version: '1.0.0', uploaded: '2025-01-01T00:00:00Z' },
      { name: 'dep', version: '1.2.0', uploaded: '2025-01-01T00:00:00Z' },
    );
    const { files, layers } = await w.resolve('npm:hello-mcp', { overrides: { dep: '1.2.0' } });
    expect(layers['linux/amd64']?.[0]?.files).toMatchObject([{ name: 'dep', version: '1.2.0' }]);
    expect(JSON.parse(files['package.json'] ?? '')).toMatchObject({ overrides: { dep: '1.2.0' } });
  });

  test('an exemption in npm’s own configuration doesn’t soften ours', async () => {
    await using w = await world();
    w.registry.publish(server({ dependencies: { dep: '1' } }), {
      name: 'dep',
      version: '1.0.0',
      uploaded: '2026-02-01T00:00:00Z',
    });
    const options = await w.configured(`registry=${w.registry.url}\nmin-release-age-exclude[]=dep\n`);
    await expect(w.resolve('npm:hello-mcp', options)).rejects.toEqual(code('too-new'));
  });

  test('a stricter cut-off in npm’s configuration holds', async () => {
    await using w = await world();
    w.registry.publish(
      server({ dependencies: { dep: '1' } }),
      { name: 'dep', version: '1.0.0', uploaded: '2025-06-01T00:00:00Z' },
      { name: 'dep', version: '1.1.0', uploaded: '2025-09-01T00:00:00Z' },
    );
    const options = await w.configured(`registry=${w.registry.url}\nbefore=2025-07-01\n`);
    expect(filesOf(await w.resolve('npm:hello-mcp', options))[0]?.version).toBe('1.0.0');
    expect(BEFORE.getTime()).toBeGreaterThan(Date.parse('2025-09-01'));
  });
});

describe('refusals', () => {
  test.each([
    ['git', 'git+ssh://git@git.example.test/a/b.git'],
    ['github shorthand', 'someone/something'],
    ['url', 'https://example.test/a.tgz'],
    ['file', 'file:../a.tgz'],
    ['directory', 'file:../a'],
    ['workspace', 'workspace:*'],
    ['alias to a url', 'npm:https://example.test/a.tgz'],
  ])('%s dependencies, required or optional', async (_kind, spec) => {
    await using w = await world();
    w.registry.publish(
      server({ dependencies: { middle: '1' } }),
      { name: 'middle', version: '1.0.0', manifest: { dependencies: { dep: spec } } },
      server({ name: 'optional-mcp', dependencies: { 'middle-optional': '1' } }),
      { name: 'middle-optional', version: '1.0.0', manifest: { optionalDependencies: { dep: spec } } },
    );
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({
      code: 'exotic-dependency',
      exit: 4,
      message: expect.stringContaining('middle'),
    });
    await expect(w.resolve('npm:optional-mcp')).rejects.toMatchObject({
      code: 'exotic-dependency',
      message: expect.stringContaining('middle-optional'),
    });
  });

  test.each([
    ['none', { integrity: undefined, shasum: undefined }],
    ['only SHA-1', { integrity: undefined }],
    ['SHA-1 as integrity', { integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }],
    ['several', { integrity: `sha512-${'A'.repeat(86)}== sha512-${'B'.repeat(85)}A==` }],
  ])('an integrity that is missing or weak: %s', async (_what, dist) => {
    await using w = await world();
    w.registry.publish(server({ dependencies: { dep: '1' } }), { name: 'dep', version: '1.0.0', dist });
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({ code: 'integrity-missing', input: 'dep@1.0.0' });
  });

  test('names and versions that would lead elsewhere', async () => {
    await using w = await world();
    w.registry.publish(server({ manifest: { dependencies: { '../../evil': '1', '..': '1' } } }));
    const files = filesOf(await w.resolve('npm:hello-mcp'));
    expect(files.map(({ locations }) => locations)).toEqual([['node_modules/hello-mcp']]);
    // A version is taken only as what its key calls it.
    w.registry.publish({ name: 'liar', version: '1.0.0', registryManifest: { version: '../../1.0.0' } });
    await expect(w.resolve('npm:liar')).rejects.toEqual(code('version-not-found'));
    w.registry.publish({ name: 'impostor', version: '1.0.0', registryManifest: { name: 'hello-mcp' } });
    await expect(w.resolve('npm:impostor')).rejects.toEqual(code('version-not-found'));
  });

  test('what there isn’t', async () => {
    await using w = await world();
    w.registry.publish(
      server({ dependencies: { dep: '^9' } }),
      { name: 'dep', version: '1.0.0' },
      server({ name: 'lost-mcp', dependencies: { nowhere: '1' } }),
    );
    await expect(w.resolve('npm:absent-mcp')).rejects.toMatchObject({ code: 'package-not-found', exit: 1 });
    await expect(w.resolve('npm:hello-mcp@3')).rejects.toMatchObject({ code: 'version-not-found', exit: 1 });
    await expect(w.resolve('npm:hello-mcp@nightly')).rejects.toEqual(code('version-not-found'));
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({ code: 'version-not-found', input: 'dep@^9' });
    await expect(w.resolve('npm:lost-mcp')).rejects.toMatchObject({ code: 'package-not-found', input: 'nowhere' });
  });

  test('what doesn’t run on the platform, whatever this machine is', async () => {
    await using w = await world();
    w.registry.publish(
      server({ name: 'mac-mcp', manifest: { os: ['darwin'] } }),
      server({ name: 'arm-mcp', manifest: { cpu: ['arm64'] } }),
      server({ name: 'deep-mcp', dependencies: { arm: '1' } }),
      { name: 'arm', version: '1.0.0', manifest: { cpu: ['!x64'] } },
    );
    await expect(w.resolve('npm:mac-mcp')).rejects.toEqual(code('platform-unsupported'));
    await expect(w.resolve('npm:arm-mcp')).rejects.toEqual(code('platform-unsupported'));
    await expect(w.resolve('npm:deep-mcp', {}, ['linux/amd64'])).rejects.toMatchObject({
      code: 'platform-unsupported',
      input: 'arm@1.0.0',
    });
    expect(filesOf(await w.resolve('npm:arm-mcp', {}, ['linux/arm64']), 'linux/arm64')).toHaveLength(1);
  });

  test('a tarball that is another package than its registry says', async () => {
    await using w = await world();
    w.registry.publish(
      server({ registryManifest: { version: '1.0.0' }, manifest: { version: '1.0.1', bin: 'cli.js' } }),
    );
    await expect(w.resolve('npm:hello-mcp')).rejects.toMatchObject({ code: 'manifest-mismatch', exit: 4 });
  });

  test('a server whose tarball would replace a dependency unseen', async () => {
    await using w = await world();
    w.registry.publish(
      server({
        dependencies: { a: '1', b: '2' },
        files: { 'cli.js': '', 'node_modules/b/index.js': 'shadow' },
      }),
      { name: 'a', version: '1.0.0', manifest: { peerDependencies: { b: '1' } } },
      { name: 'b', version: '1.0.0' },
      { name: 'b', version: '2.0.0' },
    );
    const outcome = await w.resolve('npm:hello-mcp').then(
      (resolution) => filesOf(resolution).flatMap(({ locations }) => locations),
      (error: { code: string }) => error.code,
    );
    if (Array.isArray(outcome)) expect(outcome).not.toContain('node_modules/hello-mcp/node_modules/b');
    else expect(outcome).toBe('bundle-conflict');
  });

  test('a cancelled resolution', async () => {
    await using w = await world();
    w.registry.publish(server());
    await expect(w.resolve('npm:hello-mcp', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
  });
});
