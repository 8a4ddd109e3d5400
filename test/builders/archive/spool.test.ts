import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { inMemory, spool } from '../../../builders/archive/index.ts';
import { cut } from '../../fakes/archives.ts';

const folder = await mkdtemp(join(tmpdir(), 'spool-test-'));
afterAll(() => rm(folder, { recursive: true }));

const bytes = Buffer.from(Array.from({ length: 10_000 }, (_, index) => index % 251));

describe.each([
  ['in memory', 10_000],
  ['in a file', 5000],
  ['in a file from the start', 0],
])('%s', (_, threshold) => {
  test('any range can be read, in any order', async () => {
    await using spooled = await spool(cut(bytes, [777]), { folder, threshold, name: 'sample' });
    expect(spooled.size).toBe(bytes.length);
    for (const [offset, length] of [
      [9000, 1000],
      [0, 10],
      [4321, 5000],
      [10_000, 0],
    ] as const) {
      expect(bytes.subarray(offset, offset + length).equals(await spooled.read(offset, length))).toBe(true);
    }
    // Async, so that a throw counts as well as a rejection.
    await expect((async () => spooled.read(9999, 2))()).rejects.toThrow(RangeError);
    await expect((async () => spooled.read(-1, 2))()).rejects.toThrow(RangeError);
    expect(await readdir(folder)).toEqual([]);
  });

  test('no more than the limit is taken, and nothing left behind', async () => {
    const work = spool(cut(bytes, [777]), { folder, threshold, name: 'sample', limit: 9999 });
    await expect(work).rejects.toMatchObject({ code: 'too-large', input: 'sample' });
    expect(await readdir(folder)).toEqual([]);
  });

  test('an error of the stream comes through', async () => {
    async function* failing() {
      yield* cut(bytes, [777]);
      throw new TypeError('from below');
    }
    await expect(spool(failing(), { folder, threshold, name: 'sample' })).rejects.toThrow(TypeError);
    expect(await readdir(folder)).toEqual([]);
  });
});

test('memory refuses what is outside', () => {
  expect(() => inMemory(bytes).read(9999, 2)).toThrow(RangeError);
});
