import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { markdownTable, quoted } from '../../../cli/line/markdown.ts';

describe('text of others in Markdown', () => {
  it.each([
    ['plain', '`plain`'],
    ['a `b` c', '``a `b` c``'],
    ['`', '`` ` ``'],
    ['``` \n# Title\n', '```` ``` # Title ````'],
    ['<img src=x onerror=1> @team #1 https://example.test', '`<img src=x onerror=1> @team #1 https://example.test`'],
    ['a\u202eb\u200bc\u{e0041}', '`a\ufffdb\ufffdc\ufffd`'],
    ['', '` `'],
  ])('%j stands between backticks', (text, expected) => {
    expect(quoted(text)).toBe(expected);
  });

  it('can’t get out, and is not endless', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('`', ' ', '\n', '|', '\\', 'a', '\u200b', '<'), maxLength: 60 }),
        (text) => {
          const out = quoted(text, 30);
          const fence = /^`+/.exec(out)?.[0] ?? '';
          const inside = out.slice(fence.length, out.length - fence.length);
          expect(out.endsWith(fence)).toBe(true);
          expect([...inside.matchAll(/`+/g)].every(([run]) => run.length !== fence.length)).toBe(true);
          expect(out).not.toMatch(/[\n\u200b]/);
          expect(inside.length).toBeLessThanOrEqual(34);
        },
      ),
    );
  });

  it('stays in its cell', () => {
    expect(markdownTable(['a', 'b'], [[quoted('x | y'), 'z']])).toBe('| a | b |\n| --- | --- |\n| `x \\| y` | z |');
  });
});
