import { chmod, link, lstat, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { exchange, readClient } from '../../../cli/clients/index.ts';

const others = vi.hoisted(() => ({ beforeRename: async () => {} }));
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    rename: async (from: string, to: string) => {
      await others.beforeRename();
      return real.rename(from, to);
    },
  };
});

const NOW = new Date('2026-11-22T10:20:30.400Z');

describe('a client’s file', () => {
  let folder: string;
  let file: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-build-client-'));
    file = join(folder, 'mcp.json');
    await writeFile(file, '{"old": 1}\r\n', { mode: 0o640 });
    await chmod(file, 0o640);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('is exchanged whole, with what it was beside it and its mode kept', async () => {
    const { backup } = await exchange(await readClient(file), '{"new": 1}', NOW);
    expect(await readFile(file, 'utf8')).toBe('{"new": 1}');
    expect(backup).toBe(`${await readdir(folder).then(() => file)}.before-mcp-build-20261122T102030Z`);
    expect(await readFile(backup, 'utf8')).toBe('{"old": 1}\r\n');
    expect((await stat(file)).mode & 0o777).toBe(0o640);
    expect((await readdir(folder)).length).toBe(2);
  });

  it('keeps every backup', async () => {
    for (const text of ['1', '2', '3']) await exchange(await readClient(file), text, NOW);
    expect((await readdir(folder)).length).toBe(4);
    expect(await readFile(`${file}.before-mcp-build-20261122T102030Z-2`, 'utf8')).toBe('2');
  });

  it.each([
    ['written in place', async () => writeFile(file, '{"theirs": 1}')],
    [
      'put in its place by an editor',
      async () => {
        await writeFile(`${file}~`, '{"theirs": 1}');
        await rename(`${file}~`, file);
      },
    ],
  ])('%s since it was read is left as it is', async (_, edit) => {
    const before = await readClient(file);
    await edit();
    await expect(exchange(before, 'mine', NOW)).rejects.toMatchObject({ code: 'client-file-changed' });
    expect(await readFile(file, 'utf8')).toBe('{"theirs": 1}');
    expect(await readdir(folder)).toEqual(['mcp.json']);
  });

  it('an editor that still holds the old file writes into the backup, not into nothing', async () => {
    const { open } = await import('node:fs/promises');
    const editor = await open(file, 'a');
    const { backup } = await exchange(await readClient(file), 'mine', NOW);
    await editor.write('late');
    await editor.close();
    expect(await readFile(backup, 'utf8')).toBe('{"old": 1}\r\nlate');
  });

  describe.each(['EPERM', 'ENOTSUP', 'ENOSYS', 'EXDEV', 'EMLINK'])('where second names fail with %s', (code) => {
    const refuse = async () => {
      throw Object.assign(new Error(`${code}: link`), { code });
    };

    it('is copied to its backup, which is on the disk before the file is exchanged', async () => {
      const { backup } = await exchange(await readClient(file), '{"new": 1}', NOW, refuse);
      expect(await readFile(file, 'utf8')).toBe('{"new": 1}');
      expect(await readFile(backup, 'utf8')).toBe('{"old": 1}\r\n');
      expect((await stat(backup)).mode & 0o777).toBe(0o640);
      expect((await stat(backup)).ino).not.toBe((await stat(file)).ino);
      expect((await readdir(folder)).length).toBe(2);
    });

    it('keeps every backup', async () => {
      for (const text of ['1', '2', '3']) await exchange(await readClient(file), text, NOW, refuse);
      expect((await readdir(folder)).length).toBe(4);
      expect(await readFile(`${file}.before-mcp-build-20261122T102030Z-2`, 'utf8')).toBe('2');
    });

    it('is left as it is when somebody writes it in the last instant, and nothing stays beside it', async () => {
      const before = await readClient(file);
      const late = async () => {
        await writeFile(file, '{"theirs": 1}');
        return refuse();
      };
      await expect(exchange(before, 'mine', NOW, late)).rejects.toMatchObject({ code: 'client-file-changed' });
      expect(await readFile(file, 'utf8')).toBe('{"theirs": 1}');
      expect(await readdir(folder)).toEqual(['mcp.json']);
    });
  });

  it('what a writer puts into it between the last look and the exchange is in the backup, linked or copied', async () => {
    const refuse = async () => {
      throw Object.assign(new Error('EPERM: link'), { code: 'EPERM' });
    };
    for (const second of [undefined, refuse]) {
      await writeFile(file, '{"old": 1}');
      const before = await readClient(file);
      others.beforeRename = async () => {
        others.beforeRename = async () => {};
        await writeFile(file, '{"late": 1}');
      };
      const { backup } = await exchange(before, 'mine', NOW, second);
      expect(await readFile(file, 'utf8')).toBe('mine');
      expect(await readFile(backup, 'utf8')).toBe('{"late": 1}');
    }
  });

  it.each(['EBUSY', 'EXDEV'])('that is mounted by itself (%s) is left as it is, and told', async (code) => {
    others.beforeRename = async () => {
      others.beforeRename = async () => {};
      throw Object.assign(new Error(`${code}: rename`), { code });
    };
    await expect(exchange(await readClient(file), 'mine', NOW)).rejects.toMatchObject({
      code: 'client-file-read-only',
    });
    expect(await readFile(file, 'utf8')).toBe('{"old": 1}\r\n');
    expect(await readdir(folder)).toEqual(['mcp.json']);
  });

  it('a backup that can’t be made for another reason leaves it as it is', async () => {
    const full = async () => {
      throw Object.assign(new Error('ENOSPC: link'), { code: 'ENOSPC' });
    };
    await expect(exchange(await readClient(file), 'mine', NOW, full)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(await readFile(file, 'utf8')).toBe('{"old": 1}\r\n');
    expect(await readdir(folder)).toEqual(['mcp.json']);
  });

  it('stays a link where it is one', async () => {
    const target = join(folder, 'dotfiles.json');
    await rename(file, target);
    await symlink('dotfiles.json', file);
    await exchange(await readClient(file), 'mine', NOW);
    expect((await lstat(file)).isSymbolicLink()).toBe(true);
    expect(await readFile(target, 'utf8')).toBe('mine');
  });

  it('is left alone where it is read-only', async () => {
    await chmod(file, 0o440);
    await expect(exchange(await readClient(file), 'mine', NOW)).rejects.toMatchObject({
      code: 'client-file-read-only',
    });
    expect(await readFile(file, 'utf8')).toBe('{"old": 1}\r\n');
    expect(await readdir(folder)).toEqual(['mcp.json']);
  });

  it.each([
    ['missing', 'client-file-missing', async () => rm(file)],
    ['no UTF-8', 'client-file-unreadable', async () => writeFile(file, Buffer.from([0xff, 0xfe, 0x7b, 0x00]))],
    [
      'a folder',
      'client-file-unreadable',
      async () => {
        file = folder;
      },
    ],
    [
      'a link to itself',
      'client-file-unreadable',
      async () => {
        await rm(file);
        await symlink('mcp.json', file);
      },
    ],
  ])('%s is refused', async (_, code, make) => {
    await make();
    await expect(readClient(file)).rejects.toMatchObject({ code });
  });

  it('with a second name is exchanged under this one', async () => {
    await link(file, join(folder, 'second'));
    await exchange(await readClient(file), 'mine', NOW);
    expect(await readFile(join(folder, 'second'), 'utf8')).toBe('{"old": 1}\r\n');
  });
});
