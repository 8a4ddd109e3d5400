import { describe, expect, test } from 'vitest';
import { readTarGz } from '../../../builders/archive/index.ts';
import { withLimits } from '../../../builders/archive/limits.ts';
import { DEFAULT_LIMITS, flagOf, formatLock, parseLock } from '../../../builders/index.ts';
import { limitOptions, limitsOf } from '../../../cli/limits.ts';
import { tarball } from '../../fakes/npm-registry.ts';
import { lock } from '../sample-lock.ts';

const deep = tarball([{ path: 'a/b/c/d/e', content: 'x' }]);

async function read(): Promise<number> {
  let count = 0;
  for await (const member of readTarGz([deep], { name: 'deep' })) {
    count += 1;
    if (member.type === 'file' && !(member.content instanceof Uint8Array)) for await (const _ of member.content);
  }
  return count;
}

describe('limits that a lock raises', () => {
  test('hold for what is read under it, and for nothing beside it', async () => {
    const [under, beside] = await Promise.allSettled([withLimits({ depth: 3 }, read), withLimits(undefined, read)]);
    expect(under).toMatchObject({ status: 'rejected', reason: { code: 'archive-unsafe' } });
    expect(beside).toEqual({ status: 'fulfilled', value: 1 });
    await expect(withLimits({ depth: 5, files: undefined }, read)).resolves.toBe(1);
  });

  test('the error names the flag that raises it', async () => {
    await expect(withLimits({ depth: 3 }, read)).rejects.toMatchObject({
      fix: expect.stringContaining('--max-depth 6'),
    });
  });

  test('there is a flag for each, and the lock has what was given', () => {
    expect(limitOptions().map(({ long }) => long)).toEqual(
      (Object.keys(DEFAULT_LIMITS) as (keyof typeof DEFAULT_LIMITS)[]).map(flagOf),
    );
    expect(limitsOf({})).toBeUndefined();
    expect(limitsOf({ maxFileBytes: 7, maxFiles: 8 })).toEqual({ files: 8, fileBytes: 7 });
    const raised = { ...lock, limits: { files: 400_000 } };
    expect(parseLock(formatLock(raised), 'x').limits).toEqual({ files: 400_000 });
  });

  test.each([
    { files: DEFAULT_LIMITS.files * 16 + 1 },
    { files: 0 },
    { files: 1.5 },
    { many: 1 },
    { ratio: Number.MAX_SAFE_INTEGER },
  ])('a lock can not ask for %j', (limits) => {
    expect(() => parseLock(JSON.stringify({ ...lock, limits }), 'x')).toThrow(
      expect.objectContaining({ code: 'lock-invalid' }),
    );
  });
});
