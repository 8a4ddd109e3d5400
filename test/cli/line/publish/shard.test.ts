import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseShard } from '../../../../cli/line/publish/index.ts';
import { shardOf } from '../../../../cli/line/publish/shard.ts';

test('each server is in exactly one part, and no part is much larger than another', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (all, of) => {
      const parts = Array.from({ length: of }, (_, at) => shardOf(all, parseShard(`${at + 1}/${of}`)));
      expect(parts.flat().sort()).toEqual([...all].sort());
      const sizes = parts.map((part) => part.length);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }),
  );
});

test.each(['', '0/4', '5/4', '1', '1/0', 'a/b', '1/4/2', '-1/4', '1.5/4', ' 1/4'])('"%s" is none', (text) => {
  expect(() => parseShard(text)).toThrow(expect.objectContaining({ code: 'shard-invalid' }));
});
