import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Lock } from '../../../builders/index.ts';
import { hasLock, readEditedFolder, readLockFolder, writeLockFolder, writeOutputs } from '../../../cli/line/folder.ts';
import { sha256 } from '../../../digest/index.ts';
import { lock as sample } from '../../builders/sample-lock.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-folder-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const files = { 'package-lock.json': '{"a":1}\n' };
const lock: Lock = { ...sample, native: { 'package-lock.json': sha256(files['package-lock.json']) } };

describe('lock folder', () => {
  it('reads what it wrote', async () => {
    expect(await hasLock(folder)).toBe(false);
    await writeLockFolder(folder, { lock, files });
    expect(await hasLock(folder)).toBe(true);
    expect(await readLockFolder(folder)).toEqual({ lock, files });
    expect((await readdir(folder)).sort()).toEqual(['image.lock.json', 'package-lock.json']);
  });

  it('notices an edited or missing native file, and reads it where it is meant', async () => {
    await writeLockFolder(folder, { lock, files });
    await writeFile(join(folder, 'package-lock.json'), '{"a":2}\n');
    await expect(readLockFolder(folder)).rejects.toMatchObject({ code: 'lock-mismatch', exit: 4 });
    expect((await readEditedFolder(folder)).files).toEqual({ 'package-lock.json': '{"a":2}\n' });
    await rm(join(folder, 'package-lock.json'));
    await expect(readLockFolder(folder)).rejects.toMatchObject({ code: 'lock-mismatch' });
  });

  it('reads no file whose name a lock made up', async () => {
    await writeLockFolder(folder, { lock: { ...lock, native: {} }, files: {} });
    const path = join(folder, 'image.lock.json');
    for (const name of ['../../etc/passwd', '.npmrc', 'image.lock.json']) {
      const text = JSON.stringify({ ...lock, native: { [name]: sha256('x') } });
      await writeFile(path, text);
      await expect(readLockFolder(folder)).rejects.toMatchObject({ code: 'lock-mismatch' });
      await expect(readEditedFolder(folder)).rejects.toMatchObject({ code: 'lock-mismatch' });
    }
  });

  it('keeps its outputs, and its bytes, when it is resolved to the same again', async () => {
    await writeLockFolder(folder, { lock, files });
    await writeOutputs(folder, { ...lock, index: sha256('index'), compressor: 'x' });
    const before = await readFile(join(folder, 'image.lock.json'), 'utf8');
    await writeLockFolder(folder, { lock: { ...lock, before: '2027-01-01T00:00:00.000Z' }, files });
    expect(await readFile(join(folder, 'image.lock.json'), 'utf8')).toBe(before);
    await writeLockFolder(folder, { lock: { ...lock, entrypoint: ['/x'] }, files });
    expect((await readLockFolder(folder)).lock.index).toBeUndefined();
  });

  it('leaves no native lock of another ecosystem behind', async () => {
    await writeLockFolder(folder, { lock, files });
    const other = { 'requirements.txt': 'a==1\n' };
    await writeLockFolder(folder, {
      lock: { ...lock, native: { 'requirements.txt': sha256(other['requirements.txt']) } },
      files: other,
    });
    expect((await readdir(folder)).sort()).toEqual(['image.lock.json', 'requirements.txt']);
  });

  it('says what to do where there is none', async () => {
    await expect(readLockFolder(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'lock-missing', exit: 2 });
  });
});
