import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFolders, readBounded, withFileLock, withTemporaryFolder, writeAtomic } from '../../files/index.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-files-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('makeFolders', () => {
  it('makes all that are missing, with the mode, and is content with what is there', async () => {
    const path = join(folder, 'a', 'b', 'c');
    await makeFolders(path, 0o700);
    for (const each of [path, join(path, '..'), join(path, '../..')])
      expect((await stat(each)).mode & 0o777).toBe(0o700);
    await Promise.all([makeFolders(path), makeFolders(join(path, 'd')), makeFolders(join(path, 'd'))]);
    expect(await readdir(path)).toEqual(['d']);
  });

  it('says what is in the way', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(makeFolders(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeFolders(join(folder, 'file', 'below'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it.runIf(process.platform === 'linux')(
    'ends where the system makes none, which Node’s own way does not',
    async () => {
      await expect(makeFolders('/proc/none/below')).rejects.toMatchObject({ code: 'EPERM' });
    },
  );
});

describe('writeAtomic', () => {
  it('makes parents, sets the mode whatever the umask, and leaves no temporary file', async () => {
    const path = join(folder, 'a', 'b', 'key');
    const umask = process.umask(0o077);
    try {
      await writeAtomic(path, 'x', 0o644);
    } finally {
      process.umask(umask);
    }
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    await writeAtomic(path, 'y', 0o600);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, 'utf8')).toBe('y');
    expect(await readdir(join(folder, 'a', 'b'))).toEqual(['key']);
  });

  it('leaves the old file and nothing else when it cannot finish', async () => {
    const path = join(folder, 'taken');
    await writeAtomic(join(path, 'inside'), 'x');
    await expect(writeAtomic(path, 'y')).rejects.toThrow();
    expect(await readdir(folder)).toEqual(['taken']);
  });
});

it('readBounded refuses a file that is too large', async () => {
  await writeFile(join(folder, 'big'), 'x'.repeat(11));
  await expect(readBounded(join(folder, 'big'), 10)).rejects.toMatchObject({ code: 'too-large' });
  expect((await readBounded(join(folder, 'big'), 11)).length).toBe(11);
});

it('withTemporaryFolder removes what was made, also after an error', async () => {
  await expect(
    withTemporaryFolder(folder, async (inside) => {
      await writeFile(join(inside, 'x'), 'x');
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect(await readdir(folder)).toEqual([]);
});

describe('withFileLock', () => {
  it('lets one at a time in', async () => {
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 12 }, () =>
        withFileLock(join(folder, 'lock'), async () => {
          inside += 1;
          most = Math.max(most, inside);
          await new Promise((resolve) => setTimeout(resolve, 3));
          inside -= 1;
        }),
      ),
    );
    expect(most).toBe(1);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is released by an error', async () => {
    await expect(withFileLock(join(folder, 'lock'), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await withFileLock(join(folder, 'lock'), async () => 1)).toBe(1);
  });

  it('gives up with one error while the holder lives', async () => {
    await withFileLock(join(folder, 'lock'), async () => {
      await expect(withFileLock(join(folder, 'lock'), async () => 1, 50)).rejects.toMatchObject({ code: 'busy' });
    });
  });

  it('counts between processes, and is taken over from one that was killed', async () => {
    const counter = join(folder, 'counter');
    await writeFile(counter, '0');
    const script = `
      import { withFileLock } from ${JSON.stringify(new URL('../../files/index.ts', import.meta.url).href)};
      import { readFileSync, writeFileSync } from 'node:fs';
      for (let i = 0; i < 20; i += 1) await withFileLock(${JSON.stringify(join(folder, 'lock'))}, async () => {
        const n = Number(readFileSync(${JSON.stringify(counter)}, 'utf8'));
        await new Promise((r) => setTimeout(r, 1));
        writeFileSync(${JSON.stringify(counter)}, String(n + 1));
      });`;
    const run = (code: string) =>
      spawn(process.execPath, ['--input-type=module-typescript', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    const holder = run(`
      import { withFileLock } from ${JSON.stringify(new URL('../../files/index.ts', import.meta.url).href)};
      await withFileLock(${JSON.stringify(join(folder, 'lock'))}, () => new Promise(() => { setInterval(() => {}, 1000); console.log('held'); }));`);
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const workers = Array.from({ length: 4 }, () => run(script));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await readFile(counter, 'utf8')).toBe('0');
    holder.kill('SIGKILL');
    const codes = await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
    expect(codes).toEqual([0, 0, 0, 0]);
    expect(await readFile(counter, 'utf8')).toBe('80');
  });
});
