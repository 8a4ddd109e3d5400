import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseControl, parseStanza, streamControl } from '../../../builders/debian/control.ts';
import { parseRelations } from '../../../builders/debian/relation.ts';
import { isFault } from '../../../errors/index.ts';

const TEXT = 'Package: a\nDepends: b,\n c\n\n\nPackage: d\nDescription: short\n long\n .\n end\n';

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function* inPieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('parseControl', () => {
  test('reads paragraphs with folded values', () => {
    expect(parseControl(TEXT, 'x').map((stanza) => Object.fromEntries(stanza))).toEqual([
      { package: 'a', depends: 'b,\nc' },
      { package: 'd', description: 'short\nlong\n.\nend' },
    ]);
  });

  test('passes over comments only where they are allowed', () => {
    expect(parseControl('# a\nTypes: deb\n# b\nURIs: x\n', 'x', true)).toHaveLength(1);
    expect(() => parseControl('# a\nTypes: deb\n', 'x')).toThrow(expect.objectContaining({ code: 'control-invalid' }));
  });

  test.each([' continued\n', 'no colon\n', ': no name\n', 'A: 1\na: 2\n', '<html>\n', '-A: 1\n'])(
    'refuses %j',
    (text) => {
      expect(() => parseControl(text, 'x')).toThrow(expect.objectContaining({ code: 'control-invalid', input: 'x' }));
    },
  );

  test('throws nothing else, whatever it is given', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('A', ':', ' ', '\n', '\t', '#', 'é', '-') }), (text) => {
        try {
          parseControl(text, 'x');
        } catch (error) {
          expect(isFault(error, 'control-invalid')).toBe(true);
        }
      }),
    );
  });
});

describe('streamControl', () => {
  test.each([1, 2, 3, 7, 1000])('finds the same stanzas in pieces of %i bytes', async (size) => {
    const found = await all(streamControl(inPieces(`${TEXT}\nPackage: é`, size), 'x', new Set(['package'])));
    expect(found.map((stanza) => [...stanza])).toEqual([[['package', 'a']], [['package', 'd']], [['package', 'é']]]);
  });

  test('bounds one paragraph', async () => {
    const endless = inPieces(`A: ${'x'.repeat(5_000_000)}`, 65_536);
    await expect(all(streamControl(endless, 'x', new Set()))).rejects.toMatchObject({
      code: 'control-invalid',
    });
  });
});

test('a field that was not asked for takes its continuation lines with it', () => {
  expect([...parseStanza('A: 1\n 2\nB: 3\n 4', 'x', false, new Set(['b']))]).toEqual([['b', '3\n4']]);
});

describe('parseRelations', () => {
  test('reads alternatives, versions and qualifiers', () => {
    expect(parseRelations('a, b (>= 1:2~) | c:any, libx.y+z-1 (<<3),', 'p')).toEqual([
      [{ name: 'a', constraint: undefined }],
      [
        { name: 'b', constraint: { operator: '>=', version: '1:2~' } },
        { name: 'c', constraint: undefined },
      ],
      [{ name: 'libx.y+z-1', constraint: { operator: '<<', version: '3' } }],
    ]);
  });

  test.each(['a (1)', 'a (> 1)', 'A', 'a b', '../a', 'a (>= 1', 'a | | b'])('refuses %j', (text) => {
    expect(() => parseRelations(text, 'p')).toThrow(expect.objectContaining({ code: 'relation-invalid', input: 'p' }));
  });
});
