import { describe, expect, test } from 'vitest';
import { parseSource, type Resolution, type ResolveOptions } from '../../../builders/index.ts';
import { refreshNpm } from '../../../builders/npm/index.ts';
import { BOTH, filesOf, server, type World, world } from './world.ts';

const SOURCE = parseSource('npm:hello-mcp');

async function locked(): Promise<{ w: World; first: Resolution; later: ResolveOptions }> {
  const w = await world();
  w.registry.publish(server({ dependencies: { dep: '1' } }), { name: 'dep', version: '1.0.0' });
  const first = await w.resolve('npm:hello-mcp');
  w.registry.publish(
    { name: 'dep', version: '1.1.0' },
    { name: 'dep', version: '1.2.0', uploaded: '2026-02-01T00:00:00Z' },
  );
  // Another environment is another process, as far as documents in memory go.
  return { w, first, later: { ...w.options, environment: { ...w.options.environment } } };
}

/** What an update bot does: another version and hash in the native lock, and an address that is none of ours. */
function bump({ files }: Resolution, w: World, version: string): Record<string, string> {
  const lock = JSON.parse(files['package-lock.json'] ?? '');
  Object.assign(lock.packages['node_modules/dep'], {
    version,
    resolved: `http://elsewhere.example.test/dep-${version}.tgz`,
    integrity: w.registry.integrity('dep', version),
  });
  return { ...files, 'package-lock.json': JSON.stringify(lock) };
}

describe('a native lock that something else wrote', () => {
  test('unchanged gives the same resolution, though newer versions are there', async () => {
    const { w, first, later } = await locked();
    await using _ = w;
    expect(await refreshNpm(SOURCE, BOTH, first.files, later)).toEqual(first);
  });

  test('is followed where it was bumped, and made neutral again', async () => {
    const { w, first, later } = await locked();
    await using _ = w;
    const second = await refreshNpm(SOURCE, BOTH, bump(first, w, '1.1.0'), later);
    expect(filesOf(second)[0]).toMatchObject({
      name: 'dep',
      version: '1.1.0',
      integrity: w.registry.integrity('dep', '1.1.0'),
    });
    expect(second.files['package-lock.json']).not.toContain('example.test');
  });

  test('is held to the release age', async () => {
    const { w, first, later } = await locked();
    await using _ = w;
    const files = bump(first, w, '1.2.0');
    await expect(refreshNpm(SOURCE, BOTH, files, later)).rejects.toMatchObject({
      code: 'too-new',
      input: 'dep@1.2.0',
    });
    expect(filesOf(await refreshNpm(SOURCE, BOTH, files, { ...later, before: undefined }))[0]?.version).toBe('1.2.0');
  });

  test.each<[string, (lock: { packages: Record<string, Record<string, unknown>> }) => unknown, string]>([
    ['no JSON', () => '{', 'lock-invalid'],
    ['another format', (lock) => ({ ...lock, lockfileVersion: 1 }), 'lock-invalid'],
    ['no packages', () => ({ lockfileVersion: 3 }), 'lock-invalid'],
    ['no server', (lock) => ({ ...lock, packages: {} }), 'lock-invalid'],
    [
      'a package without a hash',
      ({ packages, ...lock }) => {
        delete packages['node_modules/dep']?.integrity;
        return { ...lock, packages };
      },
      'integrity-missing',
    ],
    [
      'a package that leads out',
      ({ packages, ...lock }) => {
        packages['node_modules/hello-mcp'] = { ...packages['node_modules/hello-mcp'], version: '../../1.0.0' };
        return { ...lock, packages };
      },
      'lock-invalid',
    ],
    [
      'a git dependency',
      ({ packages, ...lock }) => {
        packages['node_modules/hello-mcp'] = {
          ...packages['node_modules/hello-mcp'],
          dependencies: { dep: 'git+https://example.test/x.git' },
        };
        return { ...lock, packages };
      },
      'exotic-dependency',
    ],
    [
      'a link',
      ({ packages, ...lock }) => {
        packages['node_modules/dep'] = { resolved: '../../../etc', link: true };
        return { ...lock, packages };
      },
      'lock-invalid',
    ],
  ])('with %s is refused', async (_what, edit, code) => {
    const { w, first, later } = await locked();
    await using _ = w;
    const edited = edit(JSON.parse(first.files['package-lock.json'] ?? ''));
    const files = { 'package-lock.json': typeof edited === 'string' ? edited : JSON.stringify(edited) };
    await expect(refreshNpm(SOURCE, BOTH, files, later)).rejects.toMatchObject({ code });
  });

  test('two tarballs under one name', async () => {
    const w = await world();
    await using _ = w;
    w.registry.publish(
      server({ dependencies: { a: '1', b: '1', dep: '2' } }),
      ...['a', 'b'].map((name) => ({ name, version: '1.0.0', manifest: { dependencies: { dep: '1' } } })),
      { name: 'dep', version: '1.0.0' },
      { name: 'dep', version: '2.0.0' },
    );
    const { files } = await w.resolve('npm:hello-mcp');
    const lock = JSON.parse(files['package-lock.json'] ?? '');
    lock.packages['node_modules/a/node_modules/dep'].integrity = w.registry.integrity('dep', '2.0.0');
    await expect(
      refreshNpm(SOURCE, BOTH, { 'package-lock.json': JSON.stringify(lock) }, w.options),
    ).rejects.toMatchObject({
      code: 'integrity-conflict',
    });
  });
});
