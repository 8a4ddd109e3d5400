import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LOCAL_INDEX } from '../../../builders/index.ts';
import { localWheel } from '../../../builders/pypi/index.ts';
import { localArtifact, localRequirement, openLocal } from '../../../builders/pypi/local.ts';
import { parsePylock } from '../../../builders/pypi/pylock.ts';
import { wheel } from './wheel.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'local wheel-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function written(file: string) {
  const made = wheel({ name: 'srv', version: '1.0' });
  const path = join(folder, file);
  await writeFile(path, made.bytes);
  return { path, made };
}

describe('a wheel on this machine', () => {
  test('is a source by its name and its hash, and its path stays here', async () => {
    const { path, made } = await written('srv-1.0-py3-none-any.whl');
    const { source, local } = await localWheel(path);
    expect(source).toEqual({ ecosystem: 'pypi', name: 'srv', range: '==1.0' });
    expect(localRequirement(source, local)).toMatch(/^srv @ file:\/\/\/.*local%20wheel-.*\.whl$/);
    const artifact = localArtifact('1.0', source, local, 'linux/arm64');
    expect(artifact).toMatchObject({ file: 'srv-1.0-py3-none-any.whl', index: LOCAL_INDEX, size: made.bytes.length });
    expect(JSON.stringify(artifact)).not.toContain(folder);
    await writeFile(path, 'other bytes');
    await expect(
      (async () => {
        for await (const _ of openLocal(local));
      })(),
    ).rejects.toMatchObject({ code: 'integrity' });
  });

  test('is for the platforms that its name says', async () => {
    const { path } = await written('srv-1.0-cp313-cp313-manylinux_2_28_x86_64.whl');
    const { source, local } = await localWheel(path);
    expect(localArtifact('1.0', source, local, 'linux/amd64').file).toContain('x86_64');
    expect(() => localArtifact('1.0', source, local, 'linux/arm64')).toThrow(
      expect.objectContaining({ code: 'no-wheel' }),
    );
  });

  test('with a name that no builder gives is refused', async () => {
    const { path } = await written('renamed.whl');
    await expect(localWheel(path)).rejects.toMatchObject({ code: 'wheel-invalid' });
    await expect(localWheel(join(folder, 'gone-1.0-py3-none-any.whl'))).rejects.toMatchObject({
      code: 'file-unreadable',
    });
  });

  test('is the only one that is not from an index', () => {
    const lock = (name: string) =>
      `lock-version = "1.0"\n[[packages]]\nname = "${name}"\nversion = "1.0"\narchive = { path = "/x.whl" }\n`;
    expect(parsePylock(lock('srv'), 'srv')).toEqual([{ name: 'srv', version: '1.0', wheels: [] }]);
    expect(() => parsePylock(lock('other'), 'srv')).toThrow(expect.objectContaining({ code: 'exotic-dependency' }));
    expect(() => parsePylock(lock('srv'))).toThrow(expect.objectContaining({ code: 'exotic-dependency' }));
  });
});
