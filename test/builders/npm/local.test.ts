import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fetchLocal, LOCAL_INDEX, type NpmArtifact } from '../../../builders/index.ts';
import { localTarball } from '../../../builders/npm/index.ts';
import { pack, type Release, tarball } from '../../fakes/npm-registry.ts';
import { baked, filesOf, server, type World, world } from './world.ts';

const code = (name: string) => expect.objectContaining({ code: name });

async function file(w: World, release: Release, name = 'my build.tgz'): Promise<string> {
  const path = join(w.folder, name);
  await writeFile(path, pack(release));
  return path;
}

test('a tarball is the package that it says it is, and nobody is asked about it or how old it is', async () => {
  await using w = await world();
  // A stranger has the name, with a newer version.
  w.registry.publish(server({ version: '9.9.9', files: { 'cli.js': 'stolen' } }), {
    name: 'dep',
    version: '1.0.0',
    uploaded: '2025-01-01T00:00:00Z',
  });
  const { source, local } = await localTarball(await file(w, server({ dependencies: { dep: '^1.0.0' } })));
  expect(source).toEqual({ ecosystem: 'npm', name: 'hello-mcp', range: '1.0.0' });
  const resolution = await w.resolve('npm:hello-mcp@1.0.0', { local });
  const [dep, own] = filesOf(resolution) as [NpmArtifact, NpmArtifact];
  expect(dep).toMatchObject({ name: 'dep', index: 'default', uploaded: '2025-01-01T00:00:00.000Z' });
  expect(own).toEqual({
    kind: 'npm',
    name: 'hello-mcp',
    version: '1.0.0',
    file: 'my build.tgz',
    integrity: local.integrity,
    index: LOCAL_INDEX,
    locations: ['node_modules/hello-mcp'],
  });
  expect(w.registry.asked.map(({ path }) => path).filter((path) => path.includes('hello'))).toEqual([]);
  expect(JSON.stringify(resolution)).not.toContain(w.folder);
  const tree = await baked(resolution, w.options);
  expect(tree.get('app/node_modules/hello-mcp/cli.js')?.text).toContain('console.log(1)');
});

test.each<[string, Buffer]>([
  ['no package.json', tarball([{ path: 'package/index.js', content: '1' }])],
  ['a package.json that is none', tarball([{ path: 'package/package.json', content: '[1' }])],
  ['a name that is a path', tarball([{ path: 'package/package.json', content: '{"name":"../x","version":"1.0.0"}' }])],
  ['no version', tarball([{ path: 'package/package.json', content: '{"name":"x"}' }])],
])('a tarball with %s is no source', async (_, bytes) => {
  await using w = await world();
  const path = join(w.folder, 'x.tgz');
  await writeFile(path, bytes);
  await expect(localTarball(path)).rejects.toEqual(code('package-invalid'));
});

test('what can not be read is said so', async () => {
  await using w = await world();
  await expect(localTarball(w.folder)).rejects.toBeDefined();
  const { local } = await localTarball(await file(w, server()));
  expect(local.file).toBe('my build.tgz');
});

test('the bytes are found by their hash, at a path or in a folder, whatever else lies there', async () => {
  await using w = await world();
  const path = await file(w, server());
  const { local } = await localTarball(path);
  const artifact: NpmArtifact = {
    ...{ kind: 'npm', name: 'hello-mcp', version: '1.0.0', index: LOCAL_INDEX, locations: [] },
    ...{ file: local.file, integrity: local.integrity },
  };
  const read = async (one: NpmArtifact, places: readonly string[]) => {
    const parts: Uint8Array[] = [];
    for await (const part of fetchLocal(one, places)) parts.push(part);
    return Buffer.concat(parts);
  };
  const other = join(w.folder, 'other');
  await mkdir(other);
  await writeFile(join(other, local.file), 'something else');
  const bytes = pack(server());
  expect(await read(artifact, [other, path])).toEqual(bytes);
  expect(await read(artifact, [other, w.folder])).toEqual(bytes);
  await expect(read(artifact, [other])).rejects.toEqual(code('artifact-unavailable'));
  await expect(read(artifact, [])).rejects.toEqual(code('artifact-unavailable'));
  // A lock is a file that someone may have edited: its names lead nowhere else.
  await expect(read({ ...artifact, file: `../${local.file}` }, [join(w.folder, 'other', 'x')])).rejects.toEqual(
    code('artifact-unavailable'),
  );
});
