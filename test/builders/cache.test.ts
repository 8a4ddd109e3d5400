import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Artifact, artifactCache } from '../../builders/index.ts';
import { hexOf, integrityFromHex, sha256 } from '../../digest/index.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-build-cache-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function artifact(text: string): Artifact {
  return {
    kind: 'npm',
    name: text.slice(0, 5),
    version: '1.0.0',
    file: 'x.tgz',
    index: 'default',
    locations: [],
    integrity: integrityFromHex('sha256', hexOf(sha256(text))),
  };
}

async function text(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const seen: Uint8Array[] = [];
  for await (const chunk of chunks) seen.push(chunk);
  return Buffer.concat(seen).toString();
}

async function files(): Promise<string[]> {
  return (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('artifactCache', () => {
  it('fetches once, then reads by hash', async () => {
    let fetches = 0;
    const cache = artifactCache(folder, async function* () {
      fetches += 1;
      yield Buffer.from('hel');
      yield Buffer.from('lo');
    });
    expect(await text(cache.open(artifact('hello')))).toBe('hello');
    await Promise.all([cache.fill([artifact('hello')]), text(cache.open(artifact('hello')))]);
    expect(fetches).toBe(1);
    const unplugged = artifactCache(folder, () => {
      throw new Error('network');
    });
    expect(await text(unplugged.open(artifact('hello')))).toBe('hello');
  });

  it('keeps nothing of wrong bytes, and gives none out', async () => {
    const cache = artifactCache(folder, async function* () {
      yield Buffer.from('evil!');
    });
    await expect(text(cache.open(artifact('hello')))).rejects.toMatchObject({ code: 'integrity' });
    expect(await files()).toEqual([]);
  });

  it('stops a download that is larger than its ceiling', async () => {
    let given = 0;
    const cache = artifactCache(
      folder,
      async function* () {
        for (;;) {
          given += 10;
          yield Buffer.alloc(10);
        }
      },
      100,
    );
    await expect(text(cache.open(artifact('hello')))).rejects.toMatchObject({ code: 'integrity' });
    expect(given).toBeLessThan(200);
    expect(await files()).toEqual([]);
  });

  it('heals: a rotten or truncated file is fetched again before anything is given out', async () => {
    const source = 'x'.repeat(9 * 1024 * 1024);
    for (const body of ['hello', source]) {
      const cache = artifactCache(folder, async function* () {
        yield Buffer.from(body);
      });
      await text(cache.open(artifact(body)));
      for (const rot of [body.replace(/.$/, '!'), body.slice(1), '']) {
        const path = (await files()).find((file) => file.endsWith(hexOf(sha256(body)).slice(2)))!;
        await writeFile(path, rot);
        expect((await text(cache.open(artifact(body)))) === body).toBe(true);
      }
    }
  });

  it('can be filled again after a failure, and reports the first one', async () => {
    let broken = true;
    const cache = artifactCache(folder, async function* (wanted) {
      if (broken) throw new Error(`no ${wanted.name}`);
      yield Buffer.from(wanted.name);
    });
    const wanted = ['aaaaa', 'bbbbb', 'ccccc'].map(artifact);
    await expect(cache.fill(wanted, 2)).rejects.toThrow('no aaaaa');
    broken = false;
    await cache.fill(wanted, 2);
    expect((await files()).length).toBe(3);
  });
});
